"""Windows, scaling, and layouts: inputs depend on no value after the forecast origin, and agree with NumPy."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from deeprnn_keras.forecasting.frames import read_panel
from deeprnn_keras.forecasting.layouts import LAYOUTS
from deeprnn_keras.forecasting.panel import Covariates
from deeprnn_keras.forecasting.scaling import check_scaling, running_statistics, window_statistics
from deeprnn_keras.forecasting.windows import WindowCutter

CONTEXT, HORIZON, STEPS = 6, 3, 40
SCALINGS = [
    ("window", "mean"),
    ("window", "standard"),
    ("window", "robust"),
    ("series", "mean"),
    ("series", "standard"),
]


def frame(rng):
    y = np.cumsum(rng.normal(size=STEPS)) + 5
    y[rng.random(STEPS) < 0.15] = np.nan
    y[-1] = 1.0
    stamps = pd.date_range("2024-03-01", periods=STEPS, freq="h")
    return pd.DataFrame({"ds": stamps, "y": y, "past": rng.normal(size=STEPS), "known": rng.normal(size=STEPS)})


def cutter_of(data, strategy, scaling, scaler):
    past = ("past",) if strategy != "recursive" else ()
    data = data if past else data.drop(columns="past")
    panel, _ = read_panel(data, Covariates(past=past, known_future=("known",)))
    layout = LAYOUTS[strategy](HORIZON, True)
    options = {"scaling": scaling, "scaler": scaler, "calendar": True, "counts": False}
    return WindowCutter(panel, np.array([[0.5]], "float32"), layout, CONTEXT, **options)


@pytest.mark.parametrize("strategy", LAYOUTS)
@pytest.mark.parametrize(("scaling", "scaler"), [*SCALINGS, (None, "mean")])
@pytest.mark.parametrize("seed", range(5))
def test_shifting_the_future_changes_no_past_input(strategy, scaling, scaler, seed):
    """Change y and past covariates after the origin, and known-future covariates after the horizon."""
    rng = np.random.default_rng(seed)
    before = frame(rng)
    start = int(rng.integers(0, STEPS - CONTEXT - HORIZON))
    origin = start + CONTEXT
    after = before.copy()
    after.loc[origin:, "y"] = after.loc[origin:, "y"] * 100 + rng.normal(size=STEPS - origin) * 50
    after.loc[origin:, "past"] += 1000
    after.loc[origin + HORIZON :, "known"] += 1000
    cutters = [cutter_of(data, strategy, scaling, scaler) for data in (before, after)]
    scales = [cutter.scales(cutter.raw(np.array([start]), cutter.length), np.array([origin - 1])) for cutter in cutters]
    for name in ("y", "past", "known"):
        np.testing.assert_array_equal(*(getattr(one, name) for one in scales))
    inputs = [cutter.batch(np.array([start]), False)[0] for cutter in cutters]
    # the input for step t of a recursive network holds the value of step t - 1, which training reads up to the end
    steps = CONTEXT if strategy == "recursive" else None
    np.testing.assert_array_equal(inputs[0][:, :steps], inputs[1][:, :steps])


@pytest.mark.parametrize("scaler", ["mean", "standard", "robust"])
def test_window_statistics_equal_numpy(scaler):
    rng = np.random.default_rng(1)
    context = rng.normal(3, 2, size=(20, 9))
    context[rng.random(context.shape) < 0.3] = np.nan
    shift, scale = window_statistics(context, scaler)
    median = np.nanmedian(context, axis=1)
    expected = {
        "mean": (np.zeros(20), np.nanmean(np.abs(context), axis=1)),
        "standard": (np.nanmean(context, axis=1), np.nanstd(context, axis=1)),
        "robust": (median, np.nanmedian(np.abs(context - median[:, None]), axis=1)),
    }[scaler]
    np.testing.assert_allclose([shift, scale], expected)


@pytest.mark.parametrize("scaler", ["mean", "standard", "robust"])
@pytest.mark.parametrize(
    "row, scale",
    [([2.0, 2.0, 2.0], 2.0), ([0.0, 0.0, 0.0], 1.0), ([np.nan, np.nan, np.nan], 1.0), ([-3.0, np.nan, -3.0], 3.0)],
)
def test_scale_of_a_constant_is_positive(scaler, row, scale):
    assert window_statistics(np.array([row]), scaler)[1].tolist() == [scale]
    if scaler != "robust":
        assert running_statistics(np.array(row), np.array([0, 3]), scaler)[1][-1] == scale


@pytest.mark.parametrize("scaler", ["mean", "standard"])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_running_statistics_are_those_of_each_prefix(scaler, offset):
    rng = np.random.default_rng(2)
    y = rng.normal(size=30) + offset
    y[[3, 4, 17]] = np.nan
    bounds = np.array([0, 12, 30])
    shift, scale = running_statistics(y, bounds, scaler)
    for low, high in pairwise(bounds):
        for end in range(low + 2, high):
            expected = window_statistics(y[None, low : end + 1], scaler)
            np.testing.assert_allclose([shift[end], scale[end]], np.ravel(expected), rtol=1e-6)


def test_robust_scaling_of_the_series_is_refused():
    with pytest.raises(ValueError, match="scaler='robust' is not supported with scaling='series'"):
        check_scaling("series", "robust")


@pytest.mark.parametrize("strategy", LAYOUTS)
def test_batch_equals_its_definition(strategy):
    rng = np.random.default_rng(3)
    data = frame(rng)
    cutter = cutter_of(data, strategy, "window", "mean")
    start = 10
    x, y, weights = cutter.batch(np.array([start]), False)
    values = data["y"].to_numpy()
    scale = np.nanmean(np.abs(values[start : start + CONTEXT]))
    z = values / scale
    targets = {
        "recursive": np.arange(start + 1, start + CONTEXT + HORIZON),
        "direct": np.arange(start + CONTEXT, start + CONTEXT + HORIZON),
        "shifted": np.arange(start + HORIZON, start + HORIZON + CONTEXT),
    }[strategy]
    np.testing.assert_allclose(y[0, :, 0], np.nan_to_num(z[targets]), rtol=1e-6)
    counted = ~np.isnan(values[targets])
    if strategy == "shifted":
        counted &= targets >= start + CONTEXT
    np.testing.assert_array_equal(weights[0], counted)
    first = start
    count = CONTEXT if strategy != "recursive" else CONTEXT + HORIZON - 1
    np.testing.assert_allclose(x[0, :, 0], np.nan_to_num(z[first : first + count]), rtol=1e-6)
    np.testing.assert_array_equal(x[0, :, 1], ~np.isnan(values[first : first + count]))
    assert x.shape[2] == cutter.input_width()
    known = data["known"].to_numpy()
    mean, deviation = known[start : start + CONTEXT].mean(), known[start : start + CONTEXT].std()
    standard = (known - mean) / deviation
    ahead = standard[start + CONTEXT : start + CONTEXT + HORIZON]
    if strategy == "direct":
        np.testing.assert_allclose(x[0, -1, -HORIZON:], ahead, rtol=1e-4)
        assert not x[0, :-1, -HORIZON:].any()
    elif strategy == "shifted":
        np.testing.assert_allclose(x[0, -HORIZON:, -1], ahead, rtol=1e-4)
    else:
        np.testing.assert_allclose(x[0, :, -2], standard[start + 1 : start + CONTEXT + HORIZON], rtol=1e-4)


def test_windows_do_not_cross_series_and_have_values():
    y = [np.arange(12.0), np.where(np.arange(20) < 9, np.nan, 1.0), np.arange(9.0)]
    panel, _ = read_panel(y, Covariates())
    layout = LAYOUTS["direct"](HORIZON, True)
    cutter = WindowCutter(
        panel, np.zeros((3, 0)), layout, CONTEXT, scaling="window", scaler="mean", calendar=False, counts=False
    )
    starts = cutter.window_starts(held_out=1)
    expected = [start for start in (*range(3), *range(12, 12 + 11), 32 - 1 + 1) if start < 3 or start >= 12 + 4]
    assert starts.tolist() == [start for start in expected if start != 32]
    assert cutter.last_starts(2, 2).tolist() == [1, 3, 21, 23, 32]
