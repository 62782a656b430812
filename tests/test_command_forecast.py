"""The command `deeprnn forecast`: files, report, and errors."""

import numpy as np
import pandas as pd
import pytest
from eagerly import eagerly
from test_command import deeprnn, error_of

from deeprnn_keras import Forecaster, zoo
from deeprnn_keras.forecasting import ZeroShotForecaster, tables
from deeprnn_keras.training import plotting
from deeprnn_keras.training.callbacks import EpochHistory

SMALL = ["--horizon", "4", "--epochs", "2", "--season", "6"]
COLUMNS = ["--time", "when", "--target", "load", "--id", "meter"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    stamps = pd.date_range("2024-01-01", periods=140, freq="h")
    y = 5 + np.sin(np.arange(140) * np.pi / 3) + 0.1 * np.random.default_rng(0).normal(size=140)
    frame = pd.concat([pd.DataFrame({"meter": name, "when": stamps, "load": y, "note": "x"}) for name in ("a", "b")])
    path = tmp_path_factory.mktemp("tables") / "loads.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def finished(table):
    """Return the result of a run, and its directory."""
    pytest.importorskip("utilsforecast")
    output = table.parent / "out"
    return deeprnn("forecast", "deepar", "--csv", table, *COLUMNS, *SMALL, "--output", output), output


@pytest.mark.slow
def test_forecast_of_a_file(finished):
    result, output = finished
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("2 series, 280 steps of 1 hour (0 missing), season of 6 steps; the last 8 windows")
    assert any("the best simple method" in line for line in lines) and any(line.startswith("theta") for line in lines)
    forecast = pd.read_csv(output / "forecast.csv")
    assert list(forecast) == ["unique_id", "ds", "y_hat", "q0.1", "q0.5", "q0.9"] and len(forecast) == 8
    assert forecast["ds"].iloc[0] == "2024-01-06 20:00:00" and (output / "forecast.png").stat().st_size > 1000
    assert len(Forecaster.load(output / "model").forecast(seed=0)) == 8


@pytest.mark.slow
def test_forecast_without_training(table, tmp_path):
    pytest.importorskip("utilsforecast")
    options = ["--horizon", "6", "--season", "6", "--output", tmp_path / "out"]
    result = deeprnn("forecast", "recurrent_forecaster_150k", "--csv", table, *COLUMNS, *options)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].endswith("the last 5 windows of 6 steps are compared with simple methods; no training")
    assert any("the best simple method" in line for line in lines)
    forecast = pd.read_csv(tmp_path / "out" / "forecast.csv")
    assert len(forecast) == 12 and forecast["ds"].iloc[0] == "2024-01-06 20:00:00"
    expected = 5 + np.sin(np.arange(140, 146) * np.pi / 3)
    np.testing.assert_allclose(forecast["y_hat"][:6], expected, atol=0.25)
    loaded = ZeroShotForecaster.load(tmp_path / "out" / "model")
    stamps = pd.date_range("2024-01-06 20:00:00", periods=6, freq="h")
    new = pd.concat([pd.DataFrame({"unique_id": name, "ds": stamps, "y": expected}) for name in ("a", "b")])
    assert loaded.update(new).forecast(horizon=1)["ds"].iloc[0] == stamps[-1] + pd.Timedelta("1h")


@pytest.mark.slow
@pytest.mark.parametrize("columns, label", [(COLUMNS[:4], "load"), (COLUMNS, "a")], ids=["one series", "named series"])
def test_vertical_axis_names_the_series_or_the_column(table, tmp_path, monkeypatch, columns, label):
    pytest.importorskip("utilsforecast")
    figures = []
    monkeypatch.setattr(plotting, "save_figure", lambda figure, path: figures.append(figure))
    pd.read_csv(table).query("meter == 'a'").to_csv(tmp_path / "one.csv", index=False)
    options = ["--horizon", "6", "--season", "6", "--output", tmp_path / "out"]
    result = deeprnn("forecast", "recurrent_forecaster_150k", "--csv", tmp_path / "one.csv", *columns, *options)
    assert result.exit_code == 0, result.output
    assert [axes.get_ylabel() for axes in figures[0].axes] == [label]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--epochs", "2"], "is not trained on the series and does not support --epochs; leave it out"),
        (["--known-future", "note"], "is not trained on the series and does not support covariates"),
        (["--horizon", "0"], "horizon must be a positive integer, got 0"),
    ],
    ids=range(3),
)
def test_options_of_a_zero_shot_forecaster(table, tmp_path, arguments, message):
    command = ["forecast", "recurrent_forecaster_150k", "--csv", table, *COLUMNS, *arguments]
    assert message in error_of(*command, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_interrupted_run_resumes(finished, table, tmp_path, monkeypatch):
    """Ctrl-C after an epoch and in the evaluation does not change the forecasts; --resume needs no other option."""
    monkeypatch.chdir(tmp_path)
    command = ["forecast", "deepar", "--output", "out"]
    options = ["--csv", table, *COLUMNS, *SMALL]
    for owner, method, arguments in (
        (EpochHistory, "on_epoch_end", options),
        (Forecaster, "evaluate", ["--resume"]),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, method, interrupt)
            result = deeprnn(*command, *arguments)
        assert result.exit_code == 130, result.output
        assert "Resume with: deeprnn forecast deepar --resume --output out" in result.stdout
    assert "was started with seed = 0, got seed = 1" in error_of(*command, "--resume", "--seed", 1)
    result = deeprnn(*command, "--resume")
    assert result.exit_code == 0 and result.stdout.startswith("Resuming the run in out"), result.output
    assert (tmp_path / "out" / "forecast.csv").read_text() == (finished[1] / "forecast.csv").read_text()
    assert not (tmp_path / "out" / "checkpoints").exists()
    assert "holds no run to resume" in error_of(*command, "--resume")


def test_interrupt_before_training_saves_nothing(table, tmp_path, monkeypatch):
    monkeypatch.setattr(Forecaster, "fit", interrupt)
    result = deeprnn("forecast", "deepar", "--csv", table, *COLUMNS, *SMALL, "--output", tmp_path / "out")
    assert result.exit_code == 130 and "nothing to resume" in result.stdout and not (tmp_path / "out").exists()


def test_missing_option(table, tmp_path):
    message = error_of("forecast", "deepar", "--csv", table, "--time", "when", "--output", tmp_path / "out", code=2)
    assert "Missing option '--target'" in message


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--time", "time", "--target", "load"], "has no column 'time'; its columns are meter, when, load, note"),
        (["--time", "when", "--target", "note", "--id", "meter"], "column 'y' must hold numbers, got 'x' in row 0"),
        (["--time", "when", "--target", "load"], "rows repeat a time stamp of their series"),
        ([*COLUMNS, "--known-future", "load2"], "has no column 'load2'"),
        ([*COLUMNS, "--horizon", "0"], "horizon must be a positive integer, got 0"),
        ([*COLUMNS, "--horizon", "200"], "requires"),
        ([*COLUMNS, "--frequency", "year"], "frequency must be s, min, h, D"),
    ],
    ids=range(7),
)
def test_errors(table, tmp_path, arguments, message):
    assert message in error_of("forecast", "deepar", "--csv", table, *arguments, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_file_and_model_that_do_not_exist(table, tmp_path):
    end = ["--time", "when", "--target", "load", "--output", tmp_path / "out"]
    assert "none.csv' does not exist" in error_of("forecast", "deepar", "--csv", "none.csv", *end)
    assert "did you mean 'deepar'" in error_of("forecast", "depar", "--csv", table, *end)
    assert "kjv_lstm_2x256 is not a forecaster" in error_of("forecast", "kjv_lstm_2x256", "--csv", table, *end)


def test_train_names_the_command_for_forecasters():
    assert "train it with deeprnn forecast deepar --csv FILE" in error_of("train", "deepar")


@pytest.mark.parametrize("name", zoo.list_models(task="forecasting"))
@pytest.mark.usefixtures("eager")
def test_forecasters_of_the_zoo_have_the_counted_parameters(name):
    """On an hourly series of its length, two years by default, the trained network has the parameters of the entry."""
    steps = 8_280 if name in zoo.list_models(task="forecasting", pretrained=True) else 17_532
    stamps = pd.date_range("2022-01-01", periods=steps, freq="h")
    frame = pd.DataFrame({"ds": stamps, "y": np.sin(np.arange(float(steps)))})
    made = zoo.create_forecaster(name, horizon=3, context=6, updates_per_epoch=1)
    made.fit(frame, epochs=1, verbose=False)
    assert made.model.count_params() == zoo.count_params(name) == zoo.info(name).params and made.model.name == name
    assert len(made.forecast(seed=0, num_samples=2)) == 3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"pretrained": True}, "deepar has no trained weights; models with trained weights: "),
        ({"inputs": 3}, "inputs of a forecaster follows from its data"),
        ({"horizonn": 3}, "unknown override 'horizonn'; did you mean 'horizon'"),
    ],
)
def test_invalid_overrides(options, message):
    with pytest.raises(ValueError, match=message):
        zoo.create_forecaster("deepar", **options)


# === Trained forecasters and large tables ===


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    stamps = pd.date_range("2024-01-01", periods=60, freq="h")
    frame = pd.DataFrame({"ds": stamps, "y": np.sin(np.arange(60.0))})
    made = Forecaster(horizon=3, strategy="direct", context=6, units=2, season=4, updates_per_epoch=1, calendar=False)
    with eagerly():
        made.fit(frame, epochs=1, verbose=False)
    directory = tmp_path_factory.mktemp("trained") / "model"
    made.save(directory)
    return made, directory


def long_table(count=7):
    stamps = pd.date_range("2024-02-01", periods=20, freq="h")
    values = np.random.default_rng(1).normal(size=(count, 20))
    return pd.concat([pd.DataFrame({"meter": f"0{k}", "when": stamps, "load": y}) for k, y in enumerate(values)])


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("kind", ["file", "directory", "parquet", "partitions"])
def test_trained_forecaster_reads_a_table_in_pieces(trained, tmp_path, monkeypatch, kind):
    forecaster, directory = trained
    frame, path = long_table(), tmp_path / "loads"
    if kind == "file":
        path = tmp_path / "loads.csv"
        frame.to_csv(path, index=False)
    elif kind == "directory":
        path.mkdir()
        for number in range(2):  # the second file continues a series of the first
            frame.iloc[number * 50 : 50 + number * 100].to_csv(path / f"{number}.csv", index=False)
    else:
        pytest.importorskip("pyarrow")
        frame = frame.assign(group=frame["meter"] > "03")
        path = tmp_path / "loads.parquet" if kind == "parquet" else path
        frame.to_parquet(path, index=False, partition_cols=["group"] if kind == "partitions" else None)
    monkeypatch.setattr(tables.read_tables, "__defaults__", (33,))  # rows of a piece
    result = deeprnn("forecast", directory.parent, "--csv", path, *COLUMNS, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "Saved forecast.csv in" in result.stdout and "7 series, 3 steps" in result.stdout
    found = pd.read_csv(tmp_path / "out" / "forecast.csv", dtype={"unique_id": str}, parse_dates=["ds"])
    renamed = long_table().rename(columns={"meter": "unique_id", "when": "ds", "load": "y"})
    expected = forecaster.forecast(renamed.reset_index(drop=True))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, options, message",
    [
        (
            lambda frame: frame.sample(frac=1, random_state=0),
            [],
            "must follow each other, but other series are between",
        ),
        (lambda frame: frame, ["--horizon", "2"], "holds a trained forecaster, which determines --horizon"),
        (lambda frame: frame.iloc[:0], [], "could not be read as a table: it has no rows"),
        (lambda frame: frame.rename(columns={"load": "power"}), [], "has no column 'load'"),
    ],
    ids=["unsorted", "horizon", "empty", "column"],
)
def test_errors_of_a_trained_forecaster(trained, tmp_path, monkeypatch, change, options, message):
    monkeypatch.setattr(tables.read_tables, "__defaults__", (33,))
    change(long_table()).to_csv(tmp_path / "loads.csv", index=False)
    arguments = ["--csv", tmp_path / "loads.csv", *COLUMNS, *options, "--output", tmp_path / "out"]
    assert message in error_of("forecast", trained[1], *arguments)
    assert not (tmp_path / "out" / "forecast.csv").exists()


@pytest.mark.slow
def test_directory_without_tables_is_an_error(trained, tmp_path):
    (tmp_path / "loads").mkdir()
    error = error_of("forecast", trained[1], "--csv", tmp_path / "loads", *COLUMNS, "--output", tmp_path / "out")
    assert "contains no file with the suffix .parquet, .pq, .csv" in error
