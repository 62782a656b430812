"""`Forecaster.windows` and `probe_levels` on a forecaster: rows, inputs, targets, and errors."""

import numpy as np
import pandas as pd
import pytest

from deeprnn_keras import Forecaster, probe_levels
from deeprnn_keras.forecasting.frames import read_panel
from deeprnn_keras.forecasting.layouts import LAYOUTS
from deeprnn_keras.forecasting.origins import OriginWindows
from deeprnn_keras.forecasting.panel import Covariates
from deeprnn_keras.forecasting.windows import WindowCutter

CONTEXT, HORIZON, STEPS = 6, 2, 60


def frame():
    """Two series of hours, one of which lacks a row, in random order."""
    stamps = pd.date_range("2024-01-01", periods=STEPS, freq="h")
    y = np.random.default_rng(0).normal(size=2 * STEPS)
    data = pd.DataFrame({"unique_id": np.repeat(["a", "b"], STEPS), "ds": [*stamps, *stamps], "y": y})
    return data.drop(index=STEPS + 20).sample(frac=1, random_state=0).reset_index(drop=True)


def windows_of(data, strategy="direct"):
    panel, _ = read_panel(data, Covariates())
    options = {"scaling": "window", "scaler": "standard", "cycles": ("day",), "counts": False}
    layout = LAYOUTS[strategy](HORIZON)
    return OriginWindows(WindowCutter(panel, np.zeros((len(panel), 0), np.float32), layout, CONTEXT, **options))


def test_windows_end_at_rows_of_the_frame():
    data = frame()
    windows = windows_of(data)
    assert len(windows) == 2 * (STEPS - CONTEXT - HORIZON + 1) and (windows.rows < 0).sum() == 1
    with_row = windows.rows >= 0
    rows = data.iloc[windows.rows[with_row]]
    np.testing.assert_array_equal(rows["ds"], windows.times[with_row])
    np.testing.assert_array_equal(rows["unique_id"], data["unique_id"].unique()[windows.series[with_row]])
    np.testing.assert_array_equal(windows.align("target", data["y"])[with_row], rows["y"])
    assert repr(windows).endswith("windows of 6 steps that end from 2024-01-01 05:00 to 2024-01-03 09:00")


@pytest.mark.parametrize("strategy", LAYOUTS)
def test_inputs_are_those_of_a_forecast_from_the_origin(strategy):
    """The last value is that of the row, standardized over the window, and later values change nothing."""
    data = frame()
    windows = windows_of(data, strategy)
    chosen = np.array([3, 70])
    x = windows.inputs(chosen)
    assert x.shape[:2] == (2, CONTEXT)
    np.testing.assert_array_equal(x, windows.inputs()[chosen])
    for one, row in zip(x, windows.rows[chosen], strict=True):
        own = data[data["unique_id"] == data["unique_id"][row]].set_index("ds").sort_index().asfreq("h")["y"]
        context = own[: data["ds"][row]].to_numpy()[-CONTEXT:]
        standardized = (context - np.nanmean(context)) / np.nanstd(context)
        np.testing.assert_allclose(one[:, 0], np.nan_to_num(standardized), atol=1e-5)
    later = data["ds"] > windows.times[chosen].max()
    changed = data.assign(y=np.where(later, 1e3, data["y"]))
    np.testing.assert_array_equal(windows_of(changed, strategy).inputs(chosen), x)


def test_rows_of_arrays():
    series = [np.random.default_rng(seed).normal(size=30) for seed in (0, 1)]
    windows = windows_of(series)
    np.testing.assert_array_equal(windows.align("target", series), np.concatenate(series)[windows.rows])
    assert windows.series.tolist() == [0] * 23 + [1] * 23 and windows.times.tolist() == [*range(5, 28)] * 2


@pytest.fixture(scope="module")
def trained():
    from eagerly import eagerly

    options = {"units": 3, "num_layers": 2, "implementation": "loop", "context": CONTEXT, "updates_per_epoch": 1}
    with eagerly():
        return Forecaster(HORIZON, strategy="direct", season=6, **options).fit(frame(), epochs=1, verbose=False)


def test_levels_are_probed_at_the_rows(trained):
    """A target that is linear in an input has R² = 1 at level X; the network has the same scores."""
    data = frame()
    windows = trained.windows(data)
    x, of_a = windows.inputs(), (windows.align("id", data["unique_id"]) == "a") & (windows.rows >= 0)
    target = np.full(len(data), np.nan)
    target[windows.rows[of_a]] = 3 * x[of_a, -1, 0] + 1
    report = probe_levels(trained, data, target)
    assert [(row.level, row.width) for row in report] == [("X", x.shape[2]), ("H^(1)", 3), ("H^(2)", 3)]
    assert report[0].score > 0.999
    same = probe_levels(trained.model, x[of_a], target[windows.rows[of_a]], split="last")
    np.testing.assert_allclose([row.score for row in report], [row.score for row in same], rtol=1e-4)
    everywhere = np.where(np.isnan(target), 1e6, target)
    masked = probe_levels(trained, data, everywhere, mask=data["unique_id"] == "a")
    np.testing.assert_allclose([row.score for row in report], [row.score for row in masked])


def test_classes_and_chosen_rows_to_score_on(trained):
    data = frame()
    windows = trained.windows(data)
    last = data["ds"] > pd.Timestamp("2024-01-02 12:00")
    report = probe_levels(trained, data, data["unique_id"], held_out=last)
    used = data.iloc[windows.rows[windows.rows >= 0]]
    counts = used.loc[~last[used.index], "unique_id"].value_counts()
    scored = used.loc[last[used.index], "unique_id"]
    assert report.metric == "accuracy" and report.baseline == pytest.approx((scored == counts.idxmax()).mean())


def test_invalid_input(trained):
    data = frame()
    with pytest.raises(ValueError, match=r"target must have one value per row of the series, \(119,\), got \(5,\)"):
        probe_levels(trained, data, np.zeros(5))
    with pytest.raises(ValueError, match=r"mask must be an array of booleans of shape \(.*,\), got int64"):
        probe_levels(trained, data, np.zeros(len(data)), mask=np.ones(len(data), int))
    with pytest.raises(ValueError, match=r"a window of context=6 and horizon=2 requires 8 steps"):
        trained.windows(data.sort_values("ds").groupby("unique_id").head(7))
    with pytest.raises(ValueError, match=r"has not been trained; call fit\(df\)"):
        probe_levels(Forecaster(3), data, np.zeros(len(data)))
