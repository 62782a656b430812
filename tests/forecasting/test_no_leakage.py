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


def cutter_of(data, strategy, scaling, scaler, lags=(), season=0):
    past = ("past",) if strategy != "recursive" else ()
    data = data if past else data.drop(columns="past")
    panel, _ = read_panel(data, Covariates(past=past, known_future=("known",)))
    layout = LAYOUTS[strategy](HORIZON, True, lags, season)
    options = {
        "scaling": scaling,
        "scaler": scaler,
        "cycles": ("day", "week", "year"),
        "counts": False,
        "log_scale": (0.0, 2.0),
    }
    options["scale_input"] = True
    return WindowCutter(panel, np.array([[0.5]], "float32"), layout, CONTEXT, **options)


@pytest.mark.parametrize("strategy", LAYOUTS)
@pytest.mark.parametrize("season", [0, 1, 4])
@pytest.mark.parametrize(("scaling", "scaler"), [*SCALINGS, (None, "mean")])
@pytest.mark.parametrize("seed", range(3))
def test_shifting_the_future_changes_no_past_input(strategy, season, scaling, scaler, seed):
    """Change y and past covariates after the origin, and known-future covariates after the horizon."""
    rng = np.random.default_rng(seed)
    before = frame(rng)
    origin = int(rng.integers(3, STEPS - HORIZON))  # a context may begin before the series
    after = before.copy()
    after.loc[origin:, "y"] = after.loc[origin:, "y"] * 100 + rng.normal(size=STEPS - origin) * 50
    after.loc[origin:, "past"] += 1000
    after.loc[origin + HORIZON :, "known"] += 1000
    lags = (2, 5, 9) if strategy == "recursive" else ()
    cutters = [cutter_of(data, strategy, scaling, scaler, lags, season) for data in (before, after)]
    origins = np.array([origin])
    scales = [cutter.scales(cutter.raw(origins, HORIZON), origins - 1) for cutter in cutters]
    for name in ("y", "past", "known", "target"):
        np.testing.assert_array_equal(*(getattr(one, name) for one in scales))
    inputs = [cutter.batch(origins, False)[0] for cutter in cutters]
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
@pytest.mark.parametrize("season", [0, 4])
@pytest.mark.parametrize("start", [10, -3])
def test_batch_equals_its_definition(strategy, season, start):
    """Compare with a loop over the steps of one series, whose steps before the start are missing."""
    rng = np.random.default_rng(3)
    data = frame(rng)
    lags = (2, 9) if strategy == "recursive" else ()
    cutter = cutter_of(data, strategy, "window", "standard", lags, season)
    origin = start + CONTEXT
    x, y, weights = cutter.batch(np.array([origin]), False)
    values = {step: value for step, value in enumerate(data["y"]) if not np.isnan(value)}
    context = [values[step] for step in range(start, origin) if step in values]
    mean, scale = np.mean(context), np.std(context)
    first = start - max([season, *(lag - 1 for lag in lags)])  # the first step that is read

    def z(step):
        """Return the scaled value of a step, or of the last season with a value, or 0."""
        while season and step not in values and step - season >= first:
            step -= season
        return (values[step] - mean) / scale if step in values else 0.0

    pairs = [values[t] - values[t - season] for t in range(start, origin) if {t, t - season} <= values.keys()]
    ratio = np.sqrt(np.mean(np.square(pairs))) / scale if pairs and season else 1.0
    offset, count = (1, CONTEXT + HORIZON - 1) if strategy == "recursive" else (0, CONTEXT)
    known = dict(enumerate(data["known"]))
    known_context = [known[step] for step in range(max(start, 0), origin)]
    past_context = data["past"].to_numpy()[max(start, 0) : origin]
    for row, step in enumerate(range(start, start + count)):
        later = step + offset
        expected = [z(step), step in values]
        expected += [(z(step) - z(step - season)) / ratio] if season else []
        expected += [z(later - lag) for lag in lags]
        if strategy != "recursive":
            expected += [(data["past"][step] - past_context.mean()) / past_context.std() if step >= 0 else 0.0]
        np.testing.assert_allclose(x[0, row, : len(expected)], expected, rtol=1e-5, atol=1e-6)
        standard = (known[later] - np.mean(known_context)) / np.std(known_context) if later >= 0 else 0.0
        assert x[0, row, len(expected) + 6] == pytest.approx(standard, rel=1e-4, abs=1e-6)  # after the calendar
        assert x[0, row, len(expected) + 7 : len(expected) + 9].tolist() == pytest.approx([0.5, np.log(scale) / 2])
    targets = {
        "recursive": range(start + 1, origin + HORIZON),
        "direct": range(origin, origin + HORIZON),
        "shifted": range(start + HORIZON, origin + HORIZON),
    }[strategy]
    for row, step in enumerate(targets):
        counted = step in values and (strategy == "recursive" or step >= origin)
        assert weights[0, row] == counted
        if counted:
            seasons = 1 if strategy == "recursive" else (step - origin) // season + 1 if season else 0
            reference = z(step - season * seasons) if season else 0.0
            assert y[0, row, 0] == pytest.approx((z(step) - reference) / ratio, rel=1e-4, abs=1e-6)
    ahead = [(known[step] - np.mean(known_context)) / np.std(known_context) for step in range(origin, origin + HORIZON)]
    if strategy == "direct":
        np.testing.assert_allclose(x[0, -1, -HORIZON:], ahead, rtol=1e-4)
        assert not x[0, :-1, -HORIZON:].any()
    elif strategy == "shifted":
        np.testing.assert_allclose(x[0, -HORIZON:, -1], ahead, rtol=1e-4)
    assert x.shape[1:] == (count, cutter.input_width())


def test_windows_do_not_cross_series_and_have_values():
    y = [np.arange(12.0), np.where(np.arange(20) < 9, np.nan, 1.0), np.arange(9.0)]
    panel, _ = read_panel(y, Covariates())
    layout = LAYOUTS["direct"](HORIZON, True)
    cutter = WindowCutter(
        panel, np.zeros((3, 0)), layout, CONTEXT, scaling="window", scaler="mean", cycles=(), counts=False
    )
    # the contexts of short series begin before them, down to half of the steps before the horizon
    expected = [*range(4, 9), *range(12 + 10, 12 + 17), 32 + 2, 32 + 3, 32 + 4, 32 + 5]
    assert cutter.window_origins(np.array([1, 1, 1])).tolist() == expected
    assert cutter.last_origins(np.array([2, 2, 1]), 2).tolist() == [7, 9, 27, 29, 38]
    assert cutter.last_origins(np.array([0, 0, 5]), 2).tolist() == [34, 36, 38]
    without_flags = WindowCutter(
        panel,
        np.zeros((3, 0)),
        LAYOUTS["direct"](HORIZON, False),
        CONTEXT,
        scaling="window",
        scaler="mean",
        cycles=(),
        counts=False,
    )
    assert without_flags.window_origins(np.array([1, 1, 1])).tolist() == [*range(6, 9), *range(22, 29)]
