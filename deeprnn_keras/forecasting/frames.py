"""Reading of series from data frames in long format, one row per series and time stamp, and from arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from deeprnn_keras._types import ArrayLike
from deeprnn_keras.extras import import_optional
from deeprnn_keras.forecasting.frequency import Frequency, format_time, infer_frequency
from deeprnn_keras.forecasting.panel import Covariates, Panel, ranges
from deeprnn_keras.forecasting.time_zones import is_zone

if TYPE_CHECKING:
    import narwhals

ID, TIME, TARGET = "unique_id", "ds", "y"
OFF_GRID = np.iinfo(np.int64).min
Frame: TypeAlias = Any
"""A data frame of pandas, polars, or another library that narwhals supports."""


@dataclass(frozen=True)
class FrameKind:
    """Kind of the frames that a user passes, so that forecasts are returned in the same kind.

    Attributes:
        backend: Name of the library of the frame; None for arrays.
        period: Name of the pandas period of the time stamps, or None.
    """

    backend: str | None = None
    period: str | None = None


@dataclass(frozen=True)
class Columns:
    """Rows of a frame as arrays, sorted by series and time.

    Attributes:
        ids: Name of each series.
        bounds: Index of the first row of each series, and the number of rows.
        order: Number of each row in the frame of the user.
        times: Time stamps: UTC, datetime64[ns], or integers.
        zone: Time zone of the time stamps.
        y: Values, float64, NaN where missing.
        kind: Kind of the frame.
    """

    ids: tuple[object, ...]
    bounds: np.ndarray
    order: np.ndarray
    times: np.ndarray
    zone: str | None
    y: np.ndarray
    kind: FrameKind

    def locate(self, row: int) -> str:
        """Return the description of a sorted row: the series and the row of the frame."""
        series = int(np.searchsorted(self.bounds, row, side="right")) - 1
        return f"row {self.order[row]} (series {self.ids[series]!r})"


def read_panel(
    data: Frame | ArrayLike,
    covariates: Covariates,
    *,
    frequency: Frequency | None = None,
    given: str | int | None = None,
) -> tuple[Panel, FrameKind]:
    """Return the series of a frame or of arrays.

    A series ends with its last observed value. Rows after it, whose y is missing, hold known-future covariates. Rows
    may be in any order. Steps without a row are missing values.

    Args:
        data: Frame with the columns unique_id, ds, y, and those of the covariates; an array (steps,); or a list of
            such arrays.
        covariates: Names of the columns of covariates.
        frequency: Frequency of the training, or None to infer it.
        given: Frequency that the user named.

    Raises:
        TypeError: If `data` is neither a frame nor an array of numbers.
        ValueError: If a column is missing or unknown, or if a value is not valid; the message names the row.
    """
    if _is_frame(data):
        narwhals_frame, native = _narwhals_frame(data)
        columns = _read_columns(narwhals_frame, native, covariates)
    else:
        if covariates.names:
            raise ValueError(f"covariates {list(covariates.names)} require a data frame, got {type(data).__name__}")
        narwhals_frame, columns = None, _columns_of_arrays(data)
    if frequency is None:
        frequency = infer_frequency(columns.times, columns.bounds, columns.locate, zone=columns.zone, given=given)
    elif (columns.times.dtype.kind in "iu") != (frequency.unit == "integer"):
        raise ValueError(f"{TIME} must be as in training, with {frequency}, got {columns.times.dtype}")
    return _panel(narwhals_frame, columns, covariates, frequency), columns.kind


# === Frames ===


def _is_frame(data: object) -> bool:
    return hasattr(data, "columns") and hasattr(data, "__getitem__")


def _narwhals_frame(data: Frame) -> tuple[narwhals.DataFrame[Any], Frame]:
    nw = import_optional("narwhals", "forecast", "Reading data frames")
    try:
        return nw.from_native(data, eager_only=True), data
    except TypeError as error:
        raise TypeError(
            f"data must be a data frame of pandas or polars, an array (steps,), or a list of such arrays, got "
            f"{type(data).__name__}"
        ) from error


def _read_columns(frame: narwhals.DataFrame[Any], native: Frame, covariates: Covariates) -> Columns:
    _check_columns(frame.columns, covariates)
    if not len(frame):
        raise ValueError("data must have at least one row, got an empty frame")
    times, zone, period = _times(frame, native)
    codes, names = _series_codes(frame)
    order = np.lexsort((times, codes))
    codes, times = codes[order], times[order]
    bounds = np.concatenate([np.flatnonzero(np.diff(codes, prepend=codes[0] - 1)), [len(codes)]])
    y = _numbers(frame, TARGET)[order]
    kind = FrameKind(str(frame.implementation), period)
    columns = Columns(
        tuple(_plain_name(names[code]) for code in codes[bounds[:-1]]), bounds, order, times, zone, y, kind
    )
    _check_duplicates(columns)
    return columns


def _check_columns(columns: Sequence[str], covariates: Covariates) -> None:
    missing = [name for name in (TIME, TARGET, *covariates.names) if name not in columns]
    if missing:
        raise ValueError(
            f"data must have the columns {', '.join((ID, TIME, TARGET, *covariates.names))}, but {missing} are missing "
            f"from {list(columns)}; rename or add them ({ID} may be left out for one series)"
        )
    unknown = [name for name in columns if name not in (ID, TIME, TARGET, *covariates.names)]
    if unknown:
        raise ValueError(
            f"columns {unknown} are unknown; drop them, or declare them in Forecaster(static=..., past=..., "
            "known_future=...)"
        )


def _series_codes(frame: narwhals.DataFrame[Any]) -> tuple[np.ndarray, list[object]]:
    """Return the number of the series of each row, in order of first appearance, and the names of the series.

    Rows of a series usually follow each other; only the first row of each run is looked up.
    """
    if ID not in frame.columns:
        return np.zeros(len(frame), np.int64), [0]
    column = frame[ID]
    empty = column.is_null().to_numpy()
    if empty.any():
        raise ValueError(f"{ID} must name the series of every row, but row {int(np.argmax(empty))} is empty")
    starts = np.flatnonzero((column != column.shift(1)).fill_null(True).to_numpy())
    codes: dict[object, int] = {}
    runs = [codes.setdefault(name, len(codes)) for name in column[starts.tolist()].to_list()]
    lengths = np.diff(np.append(starts, len(frame)))
    return np.repeat(np.array(runs, np.int64), lengths), list(codes)


def _times(frame: narwhals.DataFrame[Any], native: Frame) -> tuple[np.ndarray, str | None, str | None]:
    """Return the time stamps as UTC or integers, their time zone, and the name of their pandas period."""
    nw = import_optional("narwhals", "forecast", "Reading data frames")
    column, period = frame[TIME], None
    native_type = str(getattr(native[TIME], "dtype", ""))
    if native_type.startswith("period["):
        period = native_type.removeprefix("period[").removesuffix("]")
        column = nw.from_native(native[TIME].dt.to_timestamp(), series_only=True)
    _check_filled(column)
    if column.dtype.is_integer():
        return column.to_numpy().astype(np.int64), None, period
    if column.dtype == nw.String:
        column = _parsed_times(column)
        if isinstance(column, np.ndarray):
            return column, "UTC", period
    if column.dtype == nw.Object and all(map(_is_naive, column.to_list())):
        return np.array(column.to_list(), "datetime64[ns]"), None, period
    if column.dtype == nw.Date:
        column = column.cast(nw.Datetime("ns"))
    if column.dtype != nw.Datetime:
        raise ValueError(
            f"{TIME} must hold dates, times, periods, or integers, got {native_type or column.dtype}"
            f"{_first_text(column)}; mixed time zones are not supported: convert the column to one zone, for example "
            "pandas.to_datetime(df['ds'], utc=True)"
        )
    zone = getattr(column.dtype, "time_zone", None)
    if zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        zone = zone if is_zone(zone) else "UTC"
    return column.to_numpy().astype("datetime64[ns]"), zone, period


def _check_filled(column: narwhals.Series[Any]) -> None:
    empty = column.is_null().to_numpy()
    if empty.any():
        raise ValueError(
            f"{TIME} must have a time stamp in every row, but row {int(np.argmax(empty))} is empty; drop the row"
        )


def _parsed_times(column: narwhals.Series[Any]) -> narwhals.Series[Any] | np.ndarray:
    """Return texts in ISO format as time stamps; as UTC if they have different offsets."""
    texts = column.to_list()
    try:
        return column.str.to_datetime()
    except Exception as error:  # each library raises its own class
        kinds = [_text_kind(text) for text in texts]
        if set(kinds) == {"aware"}:
            utc = [datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None) for text in texts]
            return np.array(utc, "datetime64[ns]")
        expected = "naive" if kinds[0] == "invalid" else kinds[0]
        row = next((row for row, kind in enumerate(kinds) if kind != expected), 0)
        raise ValueError(
            f"{TIME} must hold time stamps in one format and time zone, got {texts[row]!r} in row {row}; correct it, "
            "or convert the column, for example pandas.to_datetime(df['ds'], utc=True)"
        ) from error


def _text_kind(text: object) -> str:
    """Return "aware" for a time stamp in ISO format with an offset, "naive" for one without, else "invalid"."""
    try:
        return "naive" if datetime.fromisoformat(str(text)).tzinfo is None else "aware"
    except ValueError:
        return "invalid"


def _is_naive(value: object) -> bool:
    return isinstance(value, date) and getattr(value, "tzinfo", None) is None


def _first_text(column: narwhals.Series[Any]) -> str:
    values = column.head(1).to_list()
    return f" ({values[0]!r} in row 0)" if values else ""


def _numbers(frame: narwhals.DataFrame[Any], name: str) -> np.ndarray:
    """Return a column as float64, NaN where it is empty.

    Raises:
        ValueError: If a value is not a finite number; the message names the row.
    """
    column = frame[name]
    if not (column.dtype.is_numeric() or str(column.dtype) == "Boolean"):
        row, value = _first_non_number(column.to_list())
        raise ValueError(f"column {name!r} must hold numbers, got {value!r} in row {row}; correct or drop the row")
    nw = import_optional("narwhals", "forecast", "Reading data frames")
    values = np.array(column.cast(nw.Float64).to_numpy(), np.float64)
    infinite = np.isinf(values)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise ValueError(f"column {name!r} must hold finite numbers, got {values[row]} in row {row}; correct it")
    return values


def _first_non_number(values: Sequence[object]) -> tuple[int, object]:
    for row, value in enumerate(values):
        if value is None or isinstance(value, (int, float)):
            continue
        try:
            float(str(value))
        except ValueError:
            return row, value
    return 0, values[0]


def _plain_name(name: object) -> str | int:
    """Return the name of a series as text or integer, which `Forecaster.save` stores."""
    return name if isinstance(name, (str, int)) else str(name)


def _check_duplicates(columns: Columns) -> None:
    equal = np.flatnonzero(columns.times[1:] == columns.times[:-1]) + 1
    equal = equal[~np.isin(equal, columns.bounds)]
    if len(equal):
        row = int(equal[0])
        raise ValueError(
            f"{len(equal)} rows repeat a time stamp of their series: {columns.locate(row)} and row "
            f"{columns.order[row - 1]} are both {format_time(columns.times[row], columns.zone)}; keep one row per time "
            "stamp (where clocks are set back, pass ds with a time zone or in UTC)"
        )


# === Arrays ===


def _columns_of_arrays(data: ArrayLike) -> Columns:
    several = isinstance(data, (list, tuple)) and not all(np.ndim(entry) == 0 for entry in data)
    arrays = [np.asarray(entry) for entry in (data if several else [data])]
    for number, array in enumerate(arrays):
        name = f"data[{number}]" if several else "data"
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name} must be a data frame or an array of numbers, got {array.dtype}")
        if array.ndim != 1 or not len(array):
            raise ValueError(
                f"{name} must be an array of shape (steps,), got {array.shape}; pass several series as a list of "
                "arrays, and several features as columns of a data frame"
            )
    y = np.concatenate([array.astype(np.float64) for array in arrays])
    if np.isinf(y).any():
        raise ValueError(f"data must hold finite numbers or NaN, got {y[np.argmax(np.isinf(y))]}")
    bounds = np.cumsum([0, *map(len, arrays)])
    times = np.concatenate([np.arange(len(array)) for array in arrays])
    order = times.copy()
    return Columns(tuple(range(len(arrays))), bounds, order, times, None, y, FrameKind())


# === Grid ===


def _panel(
    frame: narwhals.DataFrame[Any] | None, columns: Columns, covariates: Covariates, frequency: Frequency
) -> Panel:
    steps = _steps(columns, frequency)
    ends = _observed_ends(columns)
    numbers: dict[str, np.ndarray] = {}
    if frame is not None:
        numbers = {name: _numbers(frame, name)[columns.order] for name in (*covariates.past, *covariates.known_future)}
    first_steps = steps[columns.bounds[:-1]]
    sizes = steps[ends - 1] - first_steps + 1
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    observed = ranges(columns.bounds[:-1], ends)
    series = np.repeat(np.arange(len(ends)), ends - columns.bounds[:-1])
    places = bounds[series] + steps[observed] - first_steps[series]
    _check_covariates(columns, covariates, numbers, frequency, steps, ends)
    y = np.full(bounds[-1], np.nan)
    y[places] = columns.y[observed]
    past, known = (
        _placed(names, numbers, observed, places, len(y)) for names in (covariates.past, covariates.known_future)
    )
    later = ranges(ends, columns.bounds[1:])
    future = _placed(covariates.known_future, numbers, later, np.arange(len(later)), len(later))
    future_bounds = np.concatenate([[0], np.cumsum(columns.bounds[1:] - ends)])
    static = {} if frame is None else {name: _static(frame, name, columns) for name in covariates.static}
    rows = np.full(bounds[-1], -1)
    rows[places] = observed if frame is None else columns.order[observed]
    return Panel(
        columns.ids,
        frequency,
        first_steps,
        bounds,
        y,
        past,
        known,
        future,
        future_bounds,
        static,
        rows,
        len(steps),
    )


def _steps(columns: Columns, frequency: Frequency) -> np.ndarray:
    steps = frequency.steps(columns.times)
    outside = np.flatnonzero(steps == OFF_GRID)
    if len(outside):
        row = int(outside[0])
        raise ValueError(
            f"{TIME} must be on the grid of the training, {frequency}, got "
            f"{format_time(columns.times[row], columns.zone)} at {columns.locate(row)}"
        )
    return steps


def _observed_ends(columns: Columns) -> np.ndarray:
    """Return the index after the last observed row of each series."""
    rows = np.arange(1, len(columns.y) + 1)
    ends = np.maximum.reduceat(np.where(np.isnan(columns.y), 0, rows), columns.bounds[:-1])
    empty = np.flatnonzero(ends <= columns.bounds[:-1])
    if len(empty):
        name = columns.ids[empty[0]]
        raise ValueError(f"series {name!r} has no value of {TARGET}; drop it, or pass its history")
    return ends


def _placed(
    names: Sequence[str], numbers: Mapping[str, np.ndarray], rows: np.ndarray, places: np.ndarray, count: int
) -> np.ndarray:
    """Return columns on the grid, float32, (count, columns)."""
    result = np.zeros((count, len(names)), np.float32)
    for index, name in enumerate(names):
        result[places, index] = numbers[name][rows]
    return result


def _check_covariates(
    columns: Columns,
    covariates: Covariates,
    numbers: Mapping[str, np.ndarray],
    frequency: Frequency,
    steps: np.ndarray,
    ends: np.ndarray,
) -> None:
    """Raise a ValueError if a covariate has no value at a step."""
    if not numbers:
        return
    rows = np.arange(len(steps))
    series = np.searchsorted(columns.bounds, rows, side="right") - 1
    gaps = np.flatnonzero((np.diff(steps) != 1) & (np.diff(series) == 0)) + 1
    if len(gaps):
        row = int(gaps[0])
        missing = frequency.times(steps[row : row + 1] - 1)[0]
        raise ValueError(
            f"covariates require a row for every step, but series {columns.ids[series[row]]!r} has none for "
            f"{format_time(missing, frequency.zone)}; add the row, with y empty"
        )
    for name, values in numbers.items():
        needed = np.isnan(values) & ((rows < ends[series]) | (name in covariates.known_future))
        if needed.any():
            row = int(np.argmax(needed))
            raise ValueError(f"column {name!r} has no value at {columns.locate(row)}; fill it, or drop the column")


def _static(frame: narwhals.DataFrame[Any], name: str, columns: Columns) -> np.ndarray:
    """Return a static covariate, one entry per series: float64, or objects for categories."""
    column = frame[name]
    is_number = column.dtype.is_numeric()
    values = _numbers(frame, name) if is_number else np.array(column.to_list(), object)
    values = values[columns.order]
    firsts_of_series = values[columns.bounds[:-1]]
    firsts = np.repeat(firsts_of_series, np.diff(columns.bounds))
    changed = np.flatnonzero(values != firsts)  # NaN differs from itself
    empty = np.flatnonzero([value is None or value != value for value in firsts_of_series])
    if len(changed) or len(empty):
        row = int(changed[0]) if len(changed) else int(columns.bounds[empty[0]])
        raise ValueError(
            f"column {name!r} must have one value in each series, got {values[row]!r} at {columns.locate(row)}; "
            "correct it, or declare the column as past or known_future"
        )
    return firsts_of_series


# === Output ===


def build_frame(columns: Mapping[str, np.ndarray | Sequence[object]], frequency: Frequency, kind: FrameKind) -> Any:  # noqa: ANN401
    """Return columns as a frame of the kind that the user passed, or as a dictionary of arrays if these were arrays.

    Args:
        columns: {name: values}; `ds` in UTC.
        frequency: Frequency of the series, which has their time zone.
        kind: Kind of the frame.
    """
    if kind.backend is None:
        return {name: np.asarray(values) for name, values in columns.items()}
    nw = import_optional("narwhals", "forecast", "Writing data frames")
    frame = nw.from_dict({name: _plain(values) for name, values in columns.items()}, backend=kind.backend.lower())
    if frequency.zone is not None and TIME in columns:
        time = nw.col(TIME)
        frame = frame.with_columns(time.dt.replace_time_zone("UTC").dt.convert_time_zone(frequency.zone))
    native = frame.to_native()
    if kind.period is not None:
        native[TIME] = native[TIME].dt.to_period(kind.period)
    return native


def _plain(values: np.ndarray | Sequence[object]) -> Any:  # noqa: ANN401 - a list or an array
    return values if isinstance(values, np.ndarray) and values.dtype != object else list(values)
