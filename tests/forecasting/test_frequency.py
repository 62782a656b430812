"""Frequencies inferred from time stamps, compared with the date ranges of pandas."""

import numpy as np
import pandas as pd
import pytest

from deeprnn_keras.forecasting.calendar_features import calendar_cycles, calendar_features
from deeprnn_keras.forecasting.frequency import Frequency, infer_frequency
from deeprnn_keras.forecasting.time_zones import to_local, to_utc


def locate(row):
    return f"row {row}"


def infer(times, **options):
    times = np.asarray(times)
    times = times.astype("datetime64[ns]") if times.dtype.kind == "M" else times
    return infer_frequency(times, np.array([0, len(times)]), locate, **options)


@pytest.mark.parametrize(
    "alias, text, season, cycles",
    [
        ("h", "1 hour", 24, ("day", "week", "year")),
        ("15min", "15 minutes", 96, ("day", "week", "year")),
        ("s", "1 second", 3600, ("day", "week", "year")),
        ("D", "1 day", 7, ("week", "year")),
        ("B", "1 business day", 5, ("week", "year")),
        ("W-MON", "1 week", 52, ("year",)),
        ("2D", "2 days", 1, ("week", "year")),
        ("MS", "1 month", 12, ("year",)),
        ("ME", "1 month", 12, ("year",)),
        ("QS", "3 months", 4, ("year",)),
        ("QE", "3 months", 4, ("year",)),
        ("YS", "12 months", 1, ()),
        ("YE", "12 months", 1, ()),
    ],
)
@pytest.mark.parametrize("start", ["2019-11-15 00:00", "2020-02-28 00:00"])
def test_grid_equals_that_of_pandas(alias, text, season, cycles, start):
    times = pd.date_range(start, periods=80, freq=alias)
    known = np.delete(times.to_numpy()[:60], [20, 21, 40])  # with gaps
    frequency = infer(known)
    assert (str(frequency), frequency.season, calendar_cycles(frequency, 10**9)) == (text, season, cycles)
    steps = frequency.steps(known.astype("datetime64[ns]"))
    later = frequency.times(steps[-1] + 1 + np.arange(20))
    np.testing.assert_array_equal(later, times.to_numpy()[60:].astype("datetime64[ns]"))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("alias", ["h", "D", "MS"])
def test_daylight_saving(zone, alias):
    """An hour is equal in UTC, a day and a month in local time."""
    times = pd.date_range("2024-01-01", periods=24 * 200 if alias == "h" else 400, freq=alias, tz=zone)
    utc = times.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ns]")
    frequency = infer(utc[:-30], zone=zone)
    assert frequency.local == (alias != "h")
    steps = frequency.steps(utc)
    np.testing.assert_array_equal(np.diff(steps), 1)
    np.testing.assert_array_equal(frequency.times(steps), utc)
    local = times.tz_localize(None).to_numpy().astype("datetime64[ns]")
    np.testing.assert_array_equal(frequency.local_times(steps), local)


def test_local_time_round_trip():
    utc = pd.date_range("2024-03-30", periods=100, freq="h").to_numpy().astype("datetime64[ns]")
    np.testing.assert_array_equal(to_utc(to_local(utc, "Asia/Kolkata"), "Asia/Kolkata"), utc)
    assert to_local(utc, None) is utc


@pytest.mark.parametrize("values, step", [([5, 6, 7, 9], 1), ([0, 10, 20, 40], 10)])
def test_integers(values, step):
    frequency = infer(np.array(values))
    assert (frequency.unit, frequency.step, frequency.season) == ("integer", step, 1)
    np.testing.assert_array_equal(frequency.times(frequency.steps(np.array(values))), values)


@pytest.mark.parametrize("name", ["h", "15min", "D", "B", "W", "M", "MS", "ME", "Q", "Y"])
def test_named_frequency(name):
    alias = {"M": "MS", "Q": "QS", "Y": "YS", "W": "W-THU"}.get(name, name)
    times = pd.date_range("2020-01-02", periods=9, freq=alias).to_numpy()
    frequency, inferred = infer(times[[0]], given=name), infer(times)
    assert (frequency.unit, frequency.step) == (inferred.unit, inferred.step)


@pytest.mark.parametrize(
    "times, options, message",
    [
        (["2024-01-01"], {}, "no frequency follows from series of one row; pass frequency, for example 'D'"),
        (["2024-01-01"], {"given": "fortnight"}, "frequency must be s, min, h, D, .*, got 'fortnight'"),
        (["2024-01-01"], {"given": "0h"}, "frequency must be"),
        (["2024-01-01"], {"given": 3}, "frequency must be s, min"),
        (
            ["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00", "2024-01-01 02:17"],
            {"given": "h"},
            "1 of 4 time stamps are not multiples of 1 hour after 2024-01-01: the first is 2024-01-01 02:17 at row 3",
        ),
        (
            ["2024-01-01", "2024-02-01", "2024-03-01", "2024-04-02"],
            {},
            "time stamps are not multiples of 1 month .*: the first is 2024-04-02 at row 3; correct or resample",
        ),
    ],
)
def test_invalid_grids(times, options, message):
    with pytest.raises(ValueError, match=message):
        infer(np.array(times, "datetime64[ns]"), **options)


def test_calendar_features_are_points_on_circles():
    times = np.array(["2024-01-01T00:00", "2024-01-01T06:00", "2024-07-01T12:00"], "datetime64[ns]")
    features = calendar_features(times, ("day", "week", "year"))
    assert features.shape == (3, 6) and features.dtype == np.float32
    np.testing.assert_allclose(features[:, 0::2] ** 2 + features[:, 1::2] ** 2, 1, atol=1e-6)
    np.testing.assert_allclose(features[:2], [[0, 1, 0, 1, 0, 1], [1, 0, *features[1, 2:]]], atol=1e-6)
    stamps = pd.DatetimeIndex(times)
    week = 2 * np.pi * (stamps.dayofweek + stamps.hour / 24) / 7
    year = 2 * np.pi * (stamps.dayofyear - 1 + stamps.hour / 24) / 366
    np.testing.assert_allclose(
        features[:, 2:], np.stack([np.sin(week), np.cos(week), np.sin(year), np.cos(year)], 1), atol=1e-6
    )


def test_month_of_another_day_is_not_on_the_grid():
    frequency = infer(np.array(["2024-01-31", "2024-02-29", "2024-03-31"], "datetime64[ns]"))
    assert frequency.steps(np.array(["2024-04-30", "2024-04-29"], "datetime64[ns]")).tolist() == [3, -(2**63)]
    assert isinstance(frequency, Frequency)


@pytest.mark.parametrize(
    "unit, step, length, cycles",
    [
        ("fixed", 3_600 * 10**9, 48, ("day",)),
        ("fixed", 3_600 * 10**9, 47, ()),
        ("fixed", 3_600 * 10**9, 336, ("day", "week")),
        ("month", 1, 24, ("year",)),
        ("month", 1, 23, ()),
        ("integer", 1, 10**6, ()),
    ],
)
def test_cycles_that_the_series_do_not_repeat_are_left_out(unit, step, length, cycles):
    assert calendar_cycles(Frequency(unit, step), length) == cycles
