"""The answer of a search: its table, figures and pictures, against what was planted."""

import csv
import io
import itertools
import math

import keras_tuner
import numpy as np
import pytest
from rich.console import Console

from deeprnn_keras.tuning import HyperDeepRNN
from deeprnn_keras.tuning.importance import importance
from deeprnn_keras.tuning.records import TrialRecord
from deeprnn_keras.tuning.results import SearchResults

MIN = keras_tuner.Objective("val_loss", "min")
HYPER = HyperDeepRNN(inputs=4, outputs=1, loss="mse")


def record(number, score, seeds=(), status="COMPLETED", rung=None, ms=2.0, **values):
    values = {"num_layers": 1, "units": 32, "cell": "lstm", "learning_rate": 1e-3, **values}
    seeds = list(enumerate(seeds or [score]))
    return TrialRecord(f"{number:02}", status, values, score, [], seeds, {"ms_per_step": ms}, None, 3.0, rung)


def grid(value, noise=0.0, direction="min"):
    """Every L, h, cell and three rates, the objective given by a function of them."""
    rng = np.random.default_rng(0)
    drawn = itertools.product((1, 2, 3, 4), (32, 64, 128, 256), ("lstm", "gru"), (1e-3, 3e-3, 1e-2))
    records = [
        record(
            number,
            value(layers, units, cell, rate) + noise * rng.normal(),
            num_layers=layers,
            units=units,
            cell=cell,
            learning_rate=rate,
        )
        for number, (layers, units, cell, rate) in enumerate(drawn)
    ]
    return SearchResults(records, HYPER, keras_tuner.Objective("val_loss", direction))


def text_of(thing, width=200):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(thing)
    return console.export_text()


def test_rows_are_ranked_by_the_mean_over_seeds():
    """A lucky single run does not stand before configurations that were seen three times."""
    records = [
        record(0, 1.0, [1.0, 1.3, 1.3]),
        record(1, 1.1, [1.1, 1.1, 1.1], cell="gru"),
        record(2, 0.9, units=64),
        record(3, 5.0, status="FAILED"),
    ]
    answer = SearchResults(records, HYPER, MIN)
    assert [row.trial_id for row in answer.rows] == ["01", "00", "02"]
    assert answer.rows[1].value == pytest.approx(1.2) and answer.rows[1].spread == pytest.approx(math.sqrt(0.03))
    assert [r.trial_id for r in answer.failed] == ["03"]
    with pytest.raises(ValueError, match="no trial of the search is complete"):
        SearchResults([], HYPER, MIN).best()


def test_objective_to_maximize():
    answer = grid(lambda layers, units, cell, rate: layers, direction="max")
    assert answer.best().layers == 4
    assert [row.layers for row in answer.pareto()][-1] == 4


def test_last_round_of_hyperband_counts():
    records = [record(0, 3.0, rung=1), record(1, 2.0, rung=2), record(2, 2.5, rung=1, units=64)]
    assert [row.trial_id for row in SearchResults(records, HYPER, MIN).rows] == ["01", "02"]


def test_table_shows_active_hyperparameters():
    records = [
        record(0, 1.234567, [1.2, 1.3], num_layers=3, connection="residual", dropout=0.25),
        record(1, 2.0, status="PRUNED", cell="rnn", global_clipnorm=5.0),
    ]
    text = text_of(SearchResults(records, HYPER, MIN).table())
    best, pruned = text.splitlines()[1:3]
    assert "1.2500 ± 0.071 (2)" in best and "connection residual, dropout 0.25" in best and "lr 0.001" in best
    assert "3  32  lstm" in best and "2.0" in best
    assert "broken off" in pruned and "clip 5" in pruned and "dropout" not in pruned


def test_weights_of_a_row_equal_those_of_its_model():
    answer = grid(lambda *values: 1.0)
    for row in answer.rows[::17]:
        assert row.weights == HYPER.resolve(row.values).config.count_params()


def test_pareto_front():
    answer = grid(lambda layers, units, cell, rate: math.sin(7 * layers) + math.cos(units) + rate)
    front = {row.trial_id for row in answer.pareto()}
    by_hand = {
        row.trial_id
        for row in answer.rows
        if not any(
            (o.weights <= row.weights and o.value < row.value) or (o.weights < row.weights and o.value <= row.value)
            for o in answer.rows
        )
    }
    assert front == by_hand


@pytest.mark.parametrize("what", ["L", "h", "cell", "learning_rate"])
def test_importance_finds_the_planted_effect(what):
    effects = {
        "L": lambda layers, units, cell, rate: layers,
        "h": lambda layers, units, cell, rate: math.log(units),
        "cell": lambda layers, units, cell, rate: cell == "gru",
        "learning_rate": lambda layers, units, cell, rate: math.log(rate),
    }
    found = importance(grid(effects[what], noise=0.05))
    (first, share), (_, second) = found.shares[:2]
    assert first == what and share > 0.8 and second < 0.1 and found.trusted
    assert f"{what} " in str(found)


def test_two_effects_share_the_variance():
    found = importance(
        grid(lambda layers, units, cell, rate: layers / math.sqrt(1.25) + math.log2(units) / math.sqrt(1.25))
    )
    shares = dict(found.shares)
    assert shares["L"] == pytest.approx(0.5, abs=0.1) and shares["h"] == pytest.approx(0.5, abs=0.1)


def test_importance_of_noise_is_not_trusted():
    found = importance(grid(lambda *values: 0.0, noise=1.0))
    assert not found.trusted and "do not tell" in str(found)
    few = SearchResults([record(number, float(number), units=32 + number) for number in range(5)], HYPER, MIN)
    assert importance(few) is None


def test_files(tmp_path):
    answer = grid(lambda layers, units, cell, rate: layers + 1 / units + rate, noise=0.01)
    paths = answer.save(tmp_path)
    assert [path.name for path in paths] == ["trials.csv", "heat_map.png", "weights.png", "importance.png", "hparams"]
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(answer.rows)
    assert float(rows[0]["val_loss"]) == pytest.approx(answer.best().value, rel=1e-5)
    assert rows[0]["learning_rate"] == str(answer.best().values["learning_rate"])
    assert all(path.stat().st_size > 5_000 for path in paths if path.suffix == ".png")


def test_tensorboard_reads_the_hyperparameters(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    answer = SearchResults([record(0, 1.5, num_layers=2, dropout=0.25)], HYPER, MIN)
    answer.save(tmp_path)
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
