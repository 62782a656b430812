"""`Forecaster`: training, forecasts, carried states, files, and rejected arguments."""

import keras
import numpy as np
import pandas as pd
import pytest

from deeprnn_keras import Forecaster, Recipe, SequenceModel, explain_kernels
from deeprnn_keras.forecasting import Quantiles
from deeprnn_keras.forecasting.layouts import LAYOUTS
from deeprnn_keras.forecasting.panel import encode_static
from deeprnn_keras.forecasting.windows import RawWindow
from deeprnn_keras.training import GeometricDecay

STEPS = 90
SMALL = {"units": 4, "num_layers": 1, "context": 8, "updates_per_epoch": 2, "season": 6}


def frame(ids=("a", "b"), steps=STEPS, future=0, freq="h"):
    """Series with a season of 6, and covariates; the last `future` rows have no y."""
    parts = []
    for number, name in enumerate(ids):
        stamps = pd.date_range("2024-01-01", periods=steps, freq=freq)
        y = (
            10 * (number + 1)
            + 3 * np.sin(np.arange(steps) * np.pi / 3)
            + 0.1 * np.random.default_rng(number).normal(size=steps)
        )
        y[steps - future :] = np.nan
        promotion, load = np.arange(steps) % 5 == 0, np.cos(np.arange(steps))
        columns = {
            "unique_id": name,
            "ds": stamps,
            "y": y,
            "promotion": promotion * 1.0,
            "load": load,
            "kind": f"k{number}",
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


PLAIN = ["unique_id", "ds", "y"]


def forecaster(strategy="recursive", covariates=True, **options):
    known = {"static": "kind", "known_future": "promotion"} if covariates else {}
    if covariates and strategy != "recursive":
        known["past"] = "load"
    return Forecaster(3, strategy=strategy, **{**SMALL, **known, **options})


def columns(made, data):
    """Return the columns of a frame that a forecaster reads."""
    return data[[*PLAIN, *made.arguments.covariates.names]]


@pytest.fixture(scope="module", params=LAYOUTS)
def trained(request):
    from eagerly import eagerly

    with eagerly():
        made = forecaster(request.param)
        return made.fit(columns(made, frame(future=3)), epochs=1, verbose=False)


def test_forecast_has_the_steps_after_each_series(trained):
    data = columns(trained, frame(future=3))
    forecast = trained.forecast(data, quantiles=(0.1, 0.25, 0.9), seed=0)
    assert list(forecast) == ["unique_id", "ds", "y_hat", "q0.1", "q0.25", "q0.9"]
    pd.testing.assert_frame_equal(
        forecast[["unique_id", "ds"]],
        data.loc[data["y"].isna(), ["unique_id", "ds"]].reset_index(drop=True),
        check_dtype=False,
    )
    values = forecast.to_numpy()[:, 3:].astype(float)
    assert np.all(np.diff(values, axis=1) >= 0) and np.isfinite(values).all()
    pd.testing.assert_frame_equal(forecast, trained.forecast(quantiles=(0.1, 0.25, 0.9), seed=0))


def test_order_of_the_series_does_not_matter(trained):
    if trained.arguments.strategy == "recursive":
        pytest.skip("the random numbers of the sample paths follow the order of the series")
    data = columns(trained, frame(future=3))
    reverse = data[data["unique_id"] == "b"], data[data["unique_id"] == "a"]
    first, second = trained.forecast(data), trained.forecast(pd.concat(reverse))
    both = first.merge(second, on=["unique_id", "ds"])
    np.testing.assert_allclose(both["y_hat_x"], both["y_hat_y"], rtol=1e-6)


def test_updates_one_by_one_equal_one_update(trained, tmp_path):
    trained.save(tmp_path / "model")
    data = columns(trained, frame(steps=STEPS + 4, future=0))
    cut = {name: rows.iloc[STEPS - 3 : STEPS + 1] for name, rows in data.groupby("unique_id")}
    future = data.groupby("unique_id").tail(3).assign(y=np.nan)
    at_once, stepwise = Forecaster.load(tmp_path / "model"), Forecaster.load(tmp_path / "model")
    at_once.update(pd.concat([*cut.values(), future]))
    for step in range(4):
        stepwise.update(pd.concat([rows.iloc[step : step + 1] for rows in cut.values()]))
    stepwise_future = replace_future(stepwise, at_once)
    for name, state in at_once._fitted.carried.states.items():
        np.testing.assert_allclose(state, stepwise_future.states[name], atol=1e-6)
    np.testing.assert_array_equal(at_once._fitted.carried.raw.y, stepwise_future.raw.y)
    assert at_once.forecast(seed=0)["ds"].min() == data["ds"].iloc[STEPS + 1]


def replace_future(made, other):
    """Return what a forecaster carries after checking that a forecast without future covariates is refused."""
    with pytest.raises(ValueError, match=r"known-future covariates of series 'a' end before the horizon of 3 steps"):
        made.forecast()
    return made._fitted.carried


def test_update_reads_each_observation_once(trained, monkeypatch, tmp_path):
    """The number of steps that the network reads is that of the new rows, whatever the history."""
    from deeprnn_keras.forecasting import carried as streams

    trained.save(tmp_path / "model")
    made, read = Forecaster.load(tmp_path / "model"), []

    class Counted(streams.Stream):
        def push(self, x, out=None):
            read.append(x.shape[1])
            return super().push(x, out)

    monkeypatch.setattr(streams, "Stream", Counted)
    data = columns(made, frame(steps=STEPS))
    made.update(data.groupby("unique_id").tail(3).groupby("unique_id").head(2))
    assert sum(read) == 2


def test_states_equal_those_of_the_keras_model(trained):
    """The forecast of a direct network from carried states equals that of the Keras model on the window."""
    if trained.arguments.strategy == "recursive":
        pytest.skip("its outputs are sampled")
    data = columns(trained, frame(future=3))
    fitted, _ = trained._carried(data)
    panel, _ = trained._read(data, fitted)
    static, _ = encode_static(panel, trained.arguments.static, fitted.encoding)
    cutter = trained._cutter(panel, static, fitted)
    ends = panel.bounds[1:]
    raw, steps = cutter.raw(ends, 0), cutter.raw(ends, 0).steps[:, -1:] + 1 + np.arange(3)
    scales = cutter.scales(raw, ends - 1)
    empty = np.full((2, 3), np.nan)
    ahead = RawWindow(empty, empty > 0, np.zeros((2, 3, raw.past.shape[2])), cutter.future(np.arange(2)), steps)
    window = cutter.builder.scaled(raw.joined(ahead), scales, static)
    x = cutter.layout.inputs(window, fitted.context, 1, final=True)
    outputs = np.asarray(trained.model(x)).reshape(2, -1, 3)[:, -3:]
    last_season = np.stack([panel.values(series)[-6:-3] for series in (0, 1)])
    median = last_season + scales.target[:, None] * outputs[..., 0]
    np.testing.assert_allclose(trained.forecast(data)["y_hat"], median.ravel(), rtol=1e-5)


def test_sample_paths(trained):
    if trained.arguments.strategy != "recursive":
        with pytest.raises(ValueError, match="sample requires strategy='recursive'"):
            trained.sample()
        return
    paths = trained.sample(num_samples=50, seed=1)
    assert paths.shape == (2, 50, 3)
    np.testing.assert_array_equal(paths, trained.sample(num_samples=50, seed=1))
    quantiles = trained.forecast(quantiles=(0.2,), num_samples=50, seed=1)
    np.testing.assert_allclose(quantiles["q0.2"], np.quantile(paths, 0.2, axis=1).ravel())
    np.testing.assert_allclose(quantiles["y_hat"], np.median(paths, axis=1).ravel())


def test_saved_forecaster_continues(trained, tmp_path):
    trained.save(tmp_path / "model")
    loaded = Forecaster.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.forecast(seed=3), trained.forecast(seed=3))
    assert loaded.history == trained.history and repr(loaded) == repr(trained)
    assert loaded.recipe == trained.recipe and loaded.arguments == trained.arguments
    with pytest.raises(ValueError, match="exists and is not empty"):
        trained.save(tmp_path / "model")


def test_model_is_a_keras_model(trained):
    assert isinstance(trained.model, SequenceModel) and "deep_rnn" in str(explain_kernels(trained.model))
    assert set(trained.history) == {"loss", "val_loss"}


# === Training ===


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["recursive", "direct"])
def test_training_learns_the_season(strategy):
    """The forecast of a sine is better than repeating the last value, in the units of each series."""
    made = Forecaster(
        6,
        units=16,
        num_layers=1,
        strategy=strategy,
        scaler="standard",
        context=18,
        recipe=Recipe("adam", 0.01, epochs=12),
    )
    data = frame(steps=240)[PLAIN]
    made.fit(data, holdout=6, verbose=False)
    truth = data.groupby("unique_id").tail(6)["y"].to_numpy()
    error = np.abs(made.forecast(seed=0)["y_hat"].to_numpy() - truth)
    naive = np.abs(np.repeat(data["y"].to_numpy()[[-7 + 240 - 240, -7]], 6) - truth)
    assert error.mean() < 0.5 and error.mean() < 0.3 * naive.mean()


@pytest.mark.usefixtures("eager")
def test_weights_of_the_best_epoch_are_kept():
    data, losses, weights = frame()[PLAIN], [], []

    def record(epoch, logs):
        losses.append(logs["val_loss"])
        weights.append(made.model.get_weights())

    made = forecaster(
        covariates=False, recipe=Recipe("adam", 0.02, GeometricDecay(1000.0, after=2), epochs=4), patience=None
    )
    made.fit(data, verbose=False, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=record)])
    best = int(np.argmin(losses))
    assert best < 3, "the last epoch is the best one, so that the test proves nothing"
    for weight, expected in zip(made.model.get_weights(), weights[best], strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.usefixtures("eager")
def test_interrupted_training_resumes(tmp_path):
    data = frame()[PLAIN]

    class Interrupt(keras.callbacks.Callback):
        _active = True

        def on_train_batch_end(self, batch, logs=None):
            if batch == 1 and Interrupt._active:
                raise KeyboardInterrupt

    def fit(**options):
        return forecaster(covariates=False).fit(data, epochs=2, verbose=False, callbacks=[Interrupt()], **options)

    with pytest.raises(KeyboardInterrupt):
        fit(resume=tmp_path / "run")
    Interrupt._active = False
    resumed, uninterrupted = fit(resume=tmp_path / "run"), fit()
    for weight, expected in zip(resumed.model.get_weights(), uninterrupted.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("likelihood", ["gaussian", "negative_binomial", "quantiles", "mae", "mse"])
@pytest.mark.parametrize("strategy", LAYOUTS)
def test_likelihoods(likelihood, strategy):
    if (likelihood, strategy) == ("quantiles", "recursive"):
        with pytest.raises(ValueError, match="'quantiles' is not supported with strategy='recursive'"):
            forecaster(strategy, covariates=False, likelihood=likelihood)
        return
    counts = np.random.default_rng(0).poisson(4, size=60)
    made = forecaster(strategy, covariates=False, likelihood=likelihood).fit(counts, epochs=1, verbose=False)
    forecast = made.forecast(seed=0, num_samples=20)
    expected = [] if likelihood in ("mae", "mse") else ["q0.1", "q0.5", "q0.9"]
    assert list(forecast)[3:] == expected and forecast["y_hat"].shape == (3,)
    if likelihood == "negative_binomial":
        assert np.all(forecast["q0.9"] >= 0) and (strategy == "recursive" or np.all(forecast["q0.9"] % 1 == 0))


@pytest.mark.usefixtures("eager")
def test_polars_in_polars_out():
    polars = pytest.importorskip("polars")
    data = polars.DataFrame({name: frame()[name].tolist() for name in PLAIN})
    made = forecaster(covariates=False).fit(data, epochs=1, verbose=False)
    forecast = made.forecast(seed=0)
    assert (
        isinstance(forecast, polars.DataFrame) and forecast["ds"].dtype == polars.Datetime("ns") and len(forecast) == 6
    )


@pytest.mark.usefixtures("eager")
def test_constant_series_is_a_warning():
    with pytest.warns(UserWarning, match="1 of 1 series are constant, for example 0 with 5; .* leave them out"):
        made = forecaster(covariates=False).fit(np.full(60, 5.0), epochs=1, verbose=False)
    assert np.isfinite(made.forecast(seed=0)["y_hat"]).all()


# === Rejected arguments and data ===


@pytest.mark.parametrize(
    "options, message",
    [
        ({"strategy": "iterated"}, "unknown strategy 'iterated'"),
        ({"past": "load"}, r"past=\['load'\] is not supported with strategy='recursive'"),
        ({"static": "a", "known_future": "a"}, "column 'a' is declared twice"),
        ({"context": 1}, "context must be at least 2"),
        ({"context": 2, "strategy": "shifted"}, "context must be at least 3 with strategy='shifted' and horizon=3"),
        ({"scaling": "batch"}, "unknown scaling 'batch'"),
        ({"scaler": "minmax"}, "unknown scaler 'minmax'"),
        ({"likelihood": "negative_binomial", "scaler": "standard"}, "requires scaler='mean'"),
        ({"likelihood": "negative_binomial", "difference": True}, "requires difference=False"),
        ({"lags": (2,), "strategy": "direct"}, r"lags=\[2\] are not supported with strategy='direct'"),
        ({"lags": (1, 7)}, "lags must be at least 2, got 1"),
        ({"lags": 24}, "lags must be a list of integers of at least 2, got 24"),
        ({"likelihood": Quantiles((0.5,))}, "'quantiles' is not supported with strategy='recursive'"),
        ({"recipe": 3}, "recipe must be a Recipe, got 3"),
        ({"kernel_initializer": keras.initializers.Zeros()}, "kernel_initializer must consist of numbers, names"),
        ({"outputs": 3}, "Forecaster determines outputs of its network itself; leave it out"),
        ({"static": 3}, "static must be names of columns"),
        ({"validation_windows": -1}, "validation_windows must be a non-negative integer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_invalid_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        Forecaster(3, **options)


NO_FIT = {"epochs": 1, "verbose": False}


@pytest.mark.parametrize(
    "options, data, message",
    [
        (
            {"missing_flag": False},
            frame(steps=10)[PLAIN],
            "requires 11 steps of each series, but 2 of 2 have fewer: series 'a' has 10",
        ),
        ({}, np.arange(4.0), "1 of 1 series have no training window, which requires 5 steps .* series 0 has 4 steps"),
        (
            {"validation_windows": 40},
            frame(steps=40)[PLAIN],
            "training with validation_windows=40 requires 47 steps",
        ),
        ({"missing_flag": False}, [1.0, np.nan] + [1.0, 2.0] * 20, "y of series 0 is missing at 1; fill it"),
        ({"likelihood": "negative_binomial"}, np.arange(50) / 2, "requires counts, but y of series 0 is 0.5 at 1"),
        ({"likelihood": "negative_binomial"}, np.arange(50) - 1, "requires counts, but y of series 0 is -1 at 0"),
    ],
    ids=range(6),
)
def test_data_that_do_not_fit(options, data, message):
    with pytest.raises(ValueError, match=message):
        forecaster(covariates=False, **options).fit(data, **NO_FIT)


def test_forecaster_that_is_not_trained():
    made = Forecaster(3)
    for call in (made.forecast, made.sample, lambda: made.update(np.arange(3)), lambda: made.save("unused")):
        with pytest.raises(ValueError, match=r"has not been trained; call fit\(df\) or Forecaster.load\(path\) first"):
            call()


def test_forecast_and_update_reject_data(trained):
    data = columns(trained, frame(future=3))
    with pytest.raises(
        ValueError, match=r"covariates of series 'a' end before the horizon: 3 steps .* got 2; add rows from"
    ):
        trained.forecast(data.drop(index=STEPS - 1))
    with pytest.raises(ValueError, match="column 'kind' of series 'a' has the category 'new'"):
        trained.forecast(data.assign(kind="new"))
    with pytest.raises(ValueError, match="series 'c' is not in the training data; pass its history to forecast"):
        trained.update(columns(trained, frame(ids=("c",))))
    with pytest.raises(
        ValueError, match=r"rows of series 'a' begin at 2024-01-01, but must begin after 2024-01-04 14:00"
    ):
        trained.update(columns(trained, frame()))
    late = columns(trained, frame(steps=STEPS + 9)).groupby("unique_id").tail(3)
    with pytest.raises(ValueError, match=r"rows of series 'a' begin 9 steps late, .* require a row for every step"):
        trained.update(late)
    with pytest.raises(ValueError, match="quantiles must be a number in"):
        trained.forecast(quantiles=(0.5, 2.0))


@pytest.mark.usefixtures("eager")
def test_update_after_a_gap_reads_missing_values():
    made = forecaster(covariates=False).fit(np.arange(40.0), **NO_FIT)
    carried = made._fitted.carried
    made.update(pd.DataFrame({"unique_id": 0, "ds": [42, 43], "y": [42.0, 43.0]}))
    assert made.forecast(seed=0)["ds"].tolist() == [44, 45, 46]
    assert any(np.any(made._fitted.carried.states[name] != state) for name, state in carried.states.items())


@pytest.mark.parametrize("damage", ["missing", "truncated", "format", "likelihood"])
def test_damaged_files(trained, damage, tmp_path):
    import json

    directory = tmp_path / "model"
    trained.save(directory)
    path = directory / "forecaster.json"
    if damage == "missing":
        (directory / "states.safetensors").unlink()
    elif damage == "truncated":
        path.write_text(path.read_text()[:100])
    else:
        values = json.loads(path.read_text())
        values |= (
            {"format": 9}
            if damage == "format"
            else {"likelihood": {"class_name": "system", "module": "os", "config": {}}}
        )
        path.write_text(json.dumps(values))
    with pytest.raises((FileNotFoundError, ValueError), match=r"states\.safetensors|forecaster\.json"):
        Forecaster.load(directory)


def test_plot(trained):
    figure = trained.plot(columns(trained, frame(future=3)), series=["b"], history=10)
    (axes,) = figure.axes
    assert [len(line.get_ydata()) for line in axes.lines] == [2, 10, 4] and axes.get_ylabel() == "b"
    with pytest.raises(ValueError, match="series 'z' is not in df"):
        trained.plot(columns(trained, frame(future=3)), series=["z"])
