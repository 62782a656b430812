"""Results of a search: ranking, table, importance, and files, for planted values."""

import csv
import io
import itertools
import math

import keras_tuner
import numpy as np
import pytest
from rich.console import Console

from deeprnn_keras.tuning import HyperDeepRNN
from deeprnn_keras.tuning.importance import hyperparameter_importance
from deeprnn_keras.tuning.results import SearchResults
from deeprnn_keras.tuning.trial_records import TrialRecord

MIN = keras_tuner.Objective("val_loss", "min")
HYPER = HyperDeepRNN(inputs=4, outputs=1, loss="mse")


def record(number, score, seeds=(), status="COMPLETED", hyperband_epochs=None, ms=2.0, **values):
    values = {"num_layers": 1, "units": 32, "cell": "lstm", "learning_rate": 1e-3, **values}
    seeds = list(enumerate(seeds or [score]))
    return TrialRecord(
        f"{number:02}", status, values, score, [], seeds, {"ms_per_step": ms}, None, 3.0, hyperband_epochs
    )


def grid(value, noise=0.0, direction="min"):
    """Return results for a grid over L, h, cell, and learning rate; `value` computes the objective from these."""
    rng = np.random.default_rng(0)
    combinations = itertools.product((1, 2, 3, 4), (32, 64, 128, 256), ("lstm", "gru"), (1e-3, 3e-3, 1e-2))
    records = [
        record(
            number,
            value(layers, units, cell, rate) + noise * rng.normal(),
            num_layers=layers,
            units=units,
            cell=cell,
            learning_rate=rate,
        )
        for number, (layers, units, cell, rate) in enumerate(combinations)
    ]
    return SearchResults(records, HYPER, keras_tuner.Objective("val_loss", direction))


def rendered(table, width=200):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_rows_with_more_seeds_come_first_and_are_ranked_by_the_mean():
    records = [
        record(0, 1.0, [1.0, 1.3, 1.3]),
        record(1, 1.1, [1.1, 1.1, 1.1], cell="gru"),
        record(2, 0.9, units=64),
        record(3, 5.0, status="FAILED"),
    ]
    results = SearchResults(records, HYPER, MIN)
    assert [row.trial_id for row in results.rows] == ["01", "00", "02"]
    assert results.rows[1].value == pytest.approx(1.2) and results.rows[1].std == pytest.approx(math.sqrt(0.03))
    assert [r.trial_id for r in results.failed] == ["03"]
    with pytest.raises(ValueError, match="no trial of the search is complete"):
        SearchResults([], HYPER, MIN).best()


def test_objective_to_maximize():
    results = grid(lambda layers, units, cell, rate: layers, direction="max")
    assert results.best().layers == 4
    assert [row.layers for row in results.pareto()][-1] == 4


def test_only_the_last_hyperband_round_of_a_configuration_is_shown():
    records = [
        record(0, 3.0, hyperband_epochs=1),
        record(1, 2.0, hyperband_epochs=2),
        record(2, 2.5, hyperband_epochs=1, units=64),
    ]
    assert [row.trial_id for row in SearchResults(records, HYPER, MIN).rows] == ["01", "02"]


def test_table_shows_active_hyperparameters():
    records = [
        record(0, 1.234567, [1.2, 1.3], num_layers=3, connection="residual", dropout=0.25),
        record(1, 2.0, status="PRUNED", cell="rnn", global_clipnorm=5.0),
    ]
    text = rendered(SearchResults(records, HYPER, MIN).table())
    best, pruned = text.splitlines()[1:3]
    assert "1.2500 ± 0.071 (2)" in best and "connection residual, dropout 0.25" in best and "lr 0.001" in best
    assert "3  32  lstm" in best and "2.0" in best
    assert "pruned" in pruned and "clip 5" in pruned and "dropout" not in pruned


def test_num_params_of_a_row_is_that_of_its_configuration():
    results = grid(lambda *values: 1.0)
    for row in results.rows[::17]:
        assert row.num_params == HYPER.resolve(row.values).config.count_params()


def test_pareto_front_has_all_undominated_rows():
    results = grid(lambda layers, units, cell, rate: math.sin(7 * layers) + math.cos(units) + rate)
    front = {row.trial_id for row in results.pareto()}
    expected = {
        row.trial_id
        for row in results.rows
        if not any(
            (o.num_params <= row.num_params and o.value < row.value)
            or (o.num_params < row.num_params and o.value <= row.value)
            for o in results.rows
        )
    }
    assert front == expected


@pytest.mark.parametrize("name", ["L", "h", "cell", "learning_rate"])
def test_importance_finds_the_planted_effect(name):
    effects = {
        "L": lambda layers, units, cell, rate: layers,
        "h": lambda layers, units, cell, rate: math.log(units),
        "cell": lambda layers, units, cell, rate: cell == "gru",
        "learning_rate": lambda layers, units, cell, rate: math.log(rate),
    }
    importance = hyperparameter_importance(grid(effects[name], noise=0.05))
    (first, share), (_, second) = importance.shares[:2]
    assert first == name and share > 0.8 and second < 0.1 and importance.reliable
    assert f"{name} " in str(importance)


def test_two_effects_share_the_variance():
    importance = hyperparameter_importance(
        grid(lambda layers, units, cell, rate: layers / math.sqrt(1.25) + math.log2(units) / math.sqrt(1.25))
    )
    shares = dict(importance.shares)
    assert shares["L"] == pytest.approx(0.5, abs=0.1) and shares["h"] == pytest.approx(0.5, abs=0.1)


def test_importance_of_noise_is_not_reliable():
    importance = hyperparameter_importance(grid(lambda *values: 0.0, noise=1.0))
    assert not importance.reliable and "not reliable" in str(importance)
    few = SearchResults([record(number, float(number), units=32 + number) for number in range(5)], HYPER, MIN)
    assert hyperparameter_importance(few) is None


def test_saved_files(tmp_path):
    results = grid(lambda layers, units, cell, rate: layers + 1 / units + rate, noise=0.01)
    paths = results.save(tmp_path)
    assert [path.name for path in paths] == [
        "trials.csv",
        "heat_map.png",
        "parameters.png",
        "importance.png",
        "hparams",
    ]
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(results.rows)
    assert float(rows[0]["val_loss"]) == pytest.approx(results.best().value, rel=1e-5)
    assert rows[0]["learning_rate"] == str(results.best().values["learning_rate"])
    assert all(path.stat().st_size > 5_000 for path in paths if path.suffix == ".png")


def test_tensorboard_reads_the_hyperparameters(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    results = SearchResults([record(0, 1.5, num_layers=2, dropout=0.25)], HYPER, MIN)
    results.save(tmp_path)
    events = EventAccumulator(str(tmp_path / "hparams" / "trial_00"))
    events.Reload()
    content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    stored = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert stored["num_layers"].number_value == 2 and stored["dropout"].number_value == 0.25
    assert stored["cell"].string_value == "lstm"
    assert "val_loss" in events.Tags()["tensors"]


def test_plots_of_a_single_trial_and_of_many_widths(tmp_path):
    SearchResults([record(0, 1.0)], HYPER, MIN).save(tmp_path / "one")
    many = [record(number, 1 + 1 / (number + 1), units=30 + 9 * number) for number in range(40)]
    SearchResults(many, HYPER, MIN).save(tmp_path / "many")
    assert (tmp_path / "one" / "heat_map.png").exists() and (tmp_path / "many" / "heat_map.png").exists()
