"""`Panel`: series on a common grid of time steps, with their covariates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from deeprnn_keras.forecasting.frequency import Frequency, format_time


def ranges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the concatenation of the ranges from each start to the end, exclusive, that is not before it.

    >>> import numpy as np
    >>> from deeprnn_keras.forecasting.panel import ranges
    >>> ranges(np.array([0, 7, 5]), np.array([2, 7, 8])).tolist()
    [0, 1, 5, 6, 7]
    """
    lengths = ends - starts
    offsets = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return offsets + np.arange(len(offsets))


@dataclass(frozen=True)
class Covariates:
    """Names of the columns of covariates.

    Attributes:
        static: Columns that are constant in each series; texts are categories.
        past: Columns that are known up to the last observation.
        known_future: Columns that are also known over the horizon.
    """

    static: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    known_future: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All columns."""
        return (*self.static, *self.past, *self.known_future)


@dataclass(frozen=True)
class Panel:
    """Series on a grid of time steps. The arrays of all series are concatenated; steps without a row are missing.

    Attributes:
        ids: Name of each series.
        frequency: The grid.
        first_steps: Step of the first value of each series.
        bounds: Index of the first value of each series, and the number of values.
        y: Values, float64, NaN where missing.
        past: Past covariates, float32, (values, p).
        known: Known-future covariates of the observed steps, float32, (values, k).
        future: Known-future covariates after the last observation of each series, concatenated, float32, (steps, k).
        future_bounds: Index of the first row of each series in `future`, and the number of rows.
        static: Static covariates: {column: array with one entry per series}.
        rows: Number of the row of the user's data for each value, -1 for steps without a row.
        num_rows: Number of rows of the user's data.
    """

    ids: tuple[object, ...]
    frequency: Frequency
    first_steps: np.ndarray
    bounds: np.ndarray
    y: np.ndarray
    past: np.ndarray
    known: np.ndarray
    future: np.ndarray
    future_bounds: np.ndarray
    static: dict[str, np.ndarray] = field(default_factory=dict)
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    num_rows: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Number of steps of each series."""
        return np.diff(self.bounds)

    def values(self, series: int) -> np.ndarray:
        """Return y of a series."""
        return self.y[self.bounds[series] : self.bounds[series + 1]]

    def end_steps(self) -> np.ndarray:
        """Return the step after the last value of each series."""
        return self.first_steps + self.lengths

    def without_last(self, steps: int) -> Panel:
        """Return the panel without the last steps of each series, whose covariates become future ones."""
        ends = self.lengths - steps
        keep = ranges(self.bounds[:-1], self.bounds[:-1] + ends)
        return Panel(
            self.ids,
            self.frequency,
            self.first_steps,
            np.concatenate([[0], np.cumsum(ends)]),
            self.y[keep],
            self.past[keep],
            self.known[keep],
            self.known[ranges(self.bounds[:-1] + ends, self.bounds[1:])],
            np.arange(len(self) + 1) * steps,
            self.static,
            self.rows[keep],
            self.num_rows,
        )

    def check_lengths(self, required: int, purpose: str) -> None:
        """Raise a ValueError if a series has fewer steps than required; the message names the shortest."""
        shortest = int(np.argmin(self.lengths))
        if self.lengths[shortest] < required:
            short = int(np.sum(self.lengths < required))
            raise ValueError(
                f"{purpose} requires {required} steps of each series, but {short} of {len(self)} have fewer: series "
                f"{self.ids[shortest]!r} has {self.lengths[shortest]}; pass longer series or a smaller horizon or "
                "context, or leave the series out"
            )

    def check_future(self, horizon: int) -> None:
        """Raise a ValueError if known-future covariates end before the horizon; the message names the series."""
        if not self.known.shape[1]:
            return
        given = np.diff(self.future_bounds)
        series = int(np.argmin(given))
        if given[series] < horizon:
            needed = self.time_text(series, int(self.lengths[series] + given[series]))
            raise ValueError(
                f"known-future covariates of series {self.ids[series]!r} end before the horizon: {horizon} steps after "
                f"its last value of y are needed, got {given[series]}; add rows from {needed} on, with y empty"
            )

    def constant_series(self) -> np.ndarray:
        """Return the numbers of the series whose observed values are all equal."""
        smallest, largest = (extremum.reduceat(self.y, self.bounds[:-1]) for extremum in (np.fmin, np.fmax))
        return np.flatnonzero(smallest == largest)

    def time_text(self, series: int, index: int) -> str:
        """Return the time stamp of a value of a series as text."""
        step = self.first_steps[series] + index
        return format_time(self.frequency.times(np.array([step]))[0], self.frequency.zone)


def encode_static(
    panel: Panel, columns: Sequence[str], encoding: dict[str, list[object] | tuple[float, float]] | None
) -> tuple[np.ndarray, dict[str, list[object] | tuple[float, float]]]:
    """Return static covariates as features of each series: categories one-hot, numbers standardized.

    Args:
        panel: The series.
        columns: Names of the columns.
        encoding: Encoding of the training: {column: categories, or (mean, standard deviation)}; None to determine it.

    Returns:
        The features, float32, (series, s), and the encoding.

    Raises:
        ValueError: If a category did not occur in training.
    """
    features, found = [np.zeros((len(panel), 0), np.float32)], {}
    for column in columns:
        values = panel.static[column]
        known = _column_encoding(values) if encoding is None else encoding[column]
        found[column] = known
        if isinstance(known, tuple):
            features.append(((values.astype(np.float64) - known[0]) / known[1]).astype(np.float32)[:, None])
            continue
        unseen = [row for row, value in enumerate(values) if value not in known]
        if unseen:
            raise ValueError(
                f"column {column!r} of series {panel.ids[unseen[0]]!r} has the category {values[unseen[0]]!r}, which "
                f"did not occur in training; the categories are {', '.join(map(repr, known[:8]))}; train with this "
                "category, or replace it"
            )
        positions = {value: position for position, value in enumerate(known)}
        features.append(np.eye(len(known), dtype=np.float32)[[positions[value] for value in values]])
    return np.concatenate(features, axis=1), found


def _column_encoding(values: np.ndarray) -> list[object] | tuple[float, float]:
    if values.dtype.kind == "f":
        deviation = float(values.std())
        return float(values.mean()), deviation if deviation > 0 else 1.0
    return sorted(set(values.tolist()))
