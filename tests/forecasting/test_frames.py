"""Reading of data frames and arrays, and rejected data: each message names the row, column, or series."""

import numpy as np
import pandas as pd
import pytest

from deeprnn_keras.forecasting.frames import FrameKind, build_frame, read_panel
from deeprnn_keras.forecasting.panel import Covariates, encode_static

NONE = Covariates()
DAYS = pd.date_range("2024-01-01", periods=6, freq="D")


def long_frame(**columns):
    """Two series of 6 and 4 days; `columns` replaces or adds columns."""
    frame = {"unique_id": ["a"] * 6 + ["b"] * 4, "ds": [*DAYS, *DAYS[2:]], "y": np.arange(10.0)}
    return pd.DataFrame({**frame, **columns})


def read(data, covariates=NONE, **options):
    return read_panel(data, covariates, **options)[0]


def test_rows_may_be_in_any_order():
    panel = read(long_frame())
    shuffled = read(long_frame().sample(frac=1.0, random_state=3))
    assert panel.ids == ("a", "b") and set(shuffled.ids) == {"a", "b"}
    for series in (0, 1):
        other = shuffled.ids.index(panel.ids[series])
        np.testing.assert_array_equal(panel.values(series), shuffled.values(other))
        assert panel.first_steps[series] == shuffled.first_steps[other]
    assert panel.lengths.tolist() == [6, 4] and str(panel.frequency) == "1 day"
    assert panel.time_text(1, 0) == "2024-01-03"


def test_gaps_and_empty_values_are_missing():
    frame = long_frame(y=[0, np.nan, 2, 3, 4, 5, 6, 7, 8, 9]).drop(index=[3, 7])
    panel = read(frame)
    np.testing.assert_array_equal(panel.y, [0, np.nan, 2, np.nan, 4, 5, 6, np.nan, 8, 9])


def test_rows_after_the_last_value_hold_known_future_covariates():
    frame = long_frame(y=[0, 1, 2, 3, np.nan, np.nan, 6, 7, 8, np.nan], price=np.arange(10.0))
    panel = read(frame, Covariates(known_future=("price",)))
    assert panel.lengths.tolist() == [4, 3]
    np.testing.assert_array_equal(panel.known[:, 0], [0, 1, 2, 3, 6, 7, 8])
    assert panel.future[:, 0].tolist() == [4.0, 5.0, 9.0] and panel.future_bounds.tolist() == [0, 2, 3]
    shorter = panel.without_last(2)
    np.testing.assert_array_equal(shorter.y, [0, 1, 6])
    assert shorter.future[:, 0].tolist() == [2.0, 3.0, 7.0, 8.0] and shorter.future_bounds.tolist() == [0, 2, 4]
    panel.check_future(1)
    with pytest.raises(
        ValueError, match=r"covariates of series 'b' end before the horizon: 2 steps .* got 1; .* from 2024-01-07"
    ):
        panel.check_future(2)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("kind", ["naive", "zone", "integer", "date", "text"])
def test_output_has_the_type_of_the_input(library, kind):
    stamps = {
        "naive": DAYS,
        "zone": DAYS.tz_localize("Europe/Berlin"),
        "integer": np.arange(6),
        "date": [day.date() for day in DAYS],
        "text": [str(day.date()) for day in DAYS],
    }[kind]
    if library == "polars":
        module = pytest.importorskip("polars")
        stamps = stamps.to_pydatetime().tolist() if kind in ("naive", "zone") else stamps
        frame = module.DataFrame({"ds": stamps, "y": np.arange(6.0)})
        if kind == "zone":
            frame = frame.with_columns(module.col("ds").dt.convert_time_zone("Europe/Berlin"))
    else:
        frame = pd.DataFrame({"ds": stamps, "y": np.arange(6.0)})
    panel, found = read_panel(frame, NONE)
    times = panel.frequency.times(panel.first_steps[0] + np.arange(6))
    built = build_frame({"ds": times}, panel.frequency, found)
    assert type(built) is type(frame)
    if kind in ("naive", "zone", "integer"):
        assert [str(a)[:19] for a in built["ds"]] == [str(b)[:19] for b in frame["ds"]]


def test_periods():
    frame = pd.DataFrame({"ds": pd.period_range("2024-01", periods=5, freq="M"), "y": np.arange(5.0)})
    panel, kind = read_panel(frame, NONE)
    assert str(panel.frequency) == "1 month" and kind.period == "M"
    built = build_frame({"ds": panel.frequency.times(panel.first_steps[0] + np.arange(5))}, panel.frequency, kind)
    assert built["ds"].tolist() == frame["ds"].tolist()


def test_hours_around_daylight_saving():
    stamps = pd.date_range("2024-10-26", periods=72, freq="h", tz="Europe/Berlin")
    panel = read(pd.DataFrame({"ds": stamps, "y": np.arange(72.0)}))
    assert panel.lengths.tolist() == [72] and not np.isnan(panel.y).any()
    with pytest.raises(
        ValueError, match=r"1 rows repeat a time stamp .* are both 2024-10-27 02:00; .* clocks are set back"
    ):
        read(pd.DataFrame({"ds": stamps.tz_localize(None), "y": np.arange(72.0)}))


def test_texts_with_offsets_are_read_as_utc():
    stamps = pd.date_range("2024-10-26", periods=72, freq="h", tz="Europe/Berlin")
    panel, kind = read_panel(pd.DataFrame({"ds": [stamp.isoformat() for stamp in stamps], "y": np.arange(72.0)}), NONE)
    assert panel.frequency.zone == "UTC" and panel.lengths.tolist() == [72]
    built = build_frame({"ds": panel.frequency.times(panel.first_steps + np.arange(72))}, panel.frequency, kind)
    assert (built["ds"] == stamps.tz_convert("UTC")).all()


def test_arrays():
    panel, kind = read_panel([np.arange(3), np.array([1.0, np.nan, 2.0, 3.0])], NONE)
    assert panel.ids == (0, 1) and panel.lengths.tolist() == [3, 4] and kind == FrameKind()
    np.testing.assert_array_equal(read([1, 2, 3]).y, [1, 2, 3])


def test_static_covariates():
    frame = long_frame(city=["x"] * 6 + ["y"] * 4, size=[1.0] * 6 + [3.0] * 4)
    panel = read(frame, Covariates(static=("city", "size")))
    features, encoding = encode_static(panel, ("city", "size"), None)
    np.testing.assert_allclose(features, [[1, 0, -1], [0, 1, 1]])
    np.testing.assert_array_equal(encode_static(panel, ("city", "size"), encoding)[0], features)
    panel.static["city"] = np.array(["x", "z"], object)
    with pytest.raises(
        ValueError, match=r"column 'city' of series 'b' has the category 'z', which did not occur in training"
    ):
        encode_static(panel, ("city", "size"), encoding)


PRICE = Covariates(known_future=("price",))
CITY = Covariates(static=("city",))


@pytest.mark.parametrize(
    "data, covariates, error, message",
    [
        (long_frame().drop(columns="y"), NONE, ValueError, r"\['y'\] are missing from \['unique_id', 'ds'\]"),
        (long_frame(extra=1), NONE, ValueError, r"columns \['extra'\] are unknown; drop them, or declare them"),
        (long_frame().iloc[:0], NONE, ValueError, "at least one row"),
        (long_frame(y=["1"] * 4 + ["n/a"] + ["2"] * 5), NONE, ValueError, "'y' must hold numbers, got 'n/a' in row 4"),
        (long_frame(y=[1.0] * 7 + [np.inf] * 3), NONE, ValueError, "'y' must hold finite numbers, got inf in row 7"),
        (long_frame(y=[np.nan] * 6 + [1.0] * 4), NONE, ValueError, "series 'a' has no value of y"),
        (
            long_frame(ds=[*DAYS[:5], DAYS[4], *DAYS[2:]]),
            NONE,
            ValueError,
            r"1 rows repeat .*: row 5 \(series 'a'\) and row 4 are both 2024-01-05; keep one row",
        ),
        (
            long_frame(ds=[*DAYS[:5], DAYS[5] + pd.Timedelta("7h"), *DAYS[2:]]),
            NONE,
            ValueError,
            r"time stamps are not multiples of .* the first is 2024-01-06 07:00 at row 5 \(series 'a'\)",
        ),
        (long_frame(ds=[*DAYS[:5], None, *DAYS[2:]]), NONE, ValueError, "time stamp in every row, but row 5 is empty"),
        (
            long_frame(ds=[*map(str, DAYS[:5]), "yesterday", *map(str, DAYS[2:])]),
            NONE,
            ValueError,
            "time stamps in one format and time zone, got 'yesterday' in row 5",
        ),
        (
            long_frame(ds=[*DAYS[:5], DAYS[5].tz_localize("UTC"), *DAYS[2:]]),
            NONE,
            ValueError,
            "mixed time zones are not supported: convert the column",
        ),
        (
            long_frame(ds=[*map(str, DAYS[:5]), f"{DAYS[5]}+02:00", *map(str, DAYS[2:])]),
            NONE,
            ValueError,
            r"in one format and time zone, got '2024-01-06 00:00:00\+02:00' in row 5",
        ),
        (long_frame(unique_id=["a"] * 5 + [None] + ["b"] * 4), NONE, ValueError, "every row, but row 5 is empty"),
        (long_frame(ds=np.linspace(0, 1, 10)), NONE, ValueError, "ds must hold dates, times, periods, or integers"),
        (
            long_frame(price=[1.0, np.nan] + [1.0] * 8),
            PRICE,
            ValueError,
            r"column 'price' has no value at row 1 \(series 'a'\); fill it",
        ),
        (
            long_frame(price=1.0).drop(index=3),
            PRICE,
            ValueError,
            "a row for every step, but series 'a' has none for 2024-01-04; add the row, with y empty",
        ),
        (long_frame(city=list("xxyxxx") + ["y"] * 4), CITY, ValueError, "'city' must have one value .* 'y' at row 2"),
        (long_frame(city=["x"] * 6 + [None] * 4), CITY, ValueError, "'city' must have one value .* at row 6"),
        (np.zeros((3, 4)), NONE, ValueError, r"data must be an array of shape \(steps,\), got \(3, 4\)"),
        (["a", "b"], NONE, TypeError, "data must be a data frame or an array of numbers, got <U1"),
        (np.array([1.0, np.inf]), NONE, ValueError, "data must hold finite numbers or NaN, got inf"),
        (np.arange(5), PRICE, ValueError, r"covariates \['price'\] require a data frame, got ndarray"),
    ],
)
def test_invalid_data(data, covariates, error, message):
    with pytest.raises(error, match=message):
        read(data, covariates)


def test_grid_of_the_training_is_required():
    frequency = read(long_frame()).frequency
    with pytest.raises(
        ValueError, match="ds must be on the grid of the training, 1 day, got 2024-01-01 01:00 at row 0"
    ):
        read(long_frame(ds=[day + pd.Timedelta("1h") for day in [*DAYS, *DAYS[2:]]]), frequency=frequency)
    with pytest.raises(ValueError, match="ds must be as in training, with 1 day, got int64"):
        read(np.arange(5), frequency=frequency)


@pytest.mark.slow
def test_ten_million_rows_take_bounded_memory():
    import tracemalloc

    count = 10_000_000
    frame = pd.DataFrame(
        {"ds": pd.date_range("2000-01-01", periods=count, freq="s"), "y": np.arange(count, dtype="float32")}
    )
    tracemalloc.start()
    panel = read(frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(panel.y) == count and peak < 1.2e9
