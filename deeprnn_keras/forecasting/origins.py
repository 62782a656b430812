"""`OriginWindows`: the window that the network has read at each possible origin of a forecast."""

from __future__ import annotations

from typing import Any

import numpy as np

from deeprnn_keras.forecasting.frequency import format_time
from deeprnn_keras.forecasting.panel import ranges
from deeprnn_keras.forecasting.windows import WindowCutter


class OriginWindows:
    """Windows of T steps that end at each possible origin of a forecast, with H steps of the series after it.

    `Forecaster.windows` returns them. `forecaster.model(windows.inputs())` reads what the network reads when it
    forecasts from these origins; `probe_levels` measures what can be decoded from its levels there.

    Args:
        cutter: Cutter of windows of the series.

    Attributes:
        series: Index of the series of each window, (windows,).
        rows: Index of the row of the frame at which each window ends, (windows,); for a list of arrays, the position in
            their concatenation. -1 where a window ends at a step without a row.
        times: Time stamp at which each window ends, in UTC, or integers, (windows,).
    """

    def __init__(self, cutter: WindowCutter) -> None:
        panel = cutter.panel
        first = panel.bounds[:-1] + cutter.context
        self._cutter = cutter
        self._origins = ranges(first, np.maximum(panel.bounds[1:] - cutter.horizon + 1, first))
        ends = self._origins - 1
        self.series = cutter.series_of(self._origins)
        self.rows = panel.rows[ends]
        self.times = panel.frequency.times(panel.first_steps[self.series] + ends - panel.bounds[self.series])

    def __len__(self) -> int:
        return len(self._origins)

    def inputs(self, chosen: np.ndarray | None = None) -> np.ndarray:
        """Return the inputs of the network up to the origin, float32, (windows, T, d).

        Args:
            chosen: Indices of the windows; None for all, each of which takes the memory of T d values.
        """
        origins = self._origins if chosen is None else self._origins[chosen]
        return self._cutter.batch(origins, horizon_only=True)[0][:, : self._cutter.context]

    def align(self, name: str, values: Any) -> np.ndarray:  # noqa: ANN401 - columns of any library
        """Return values at the origins, (windows,), from values of the rows of the frame or of the arrays.

        Args:
            name: Name of the argument in messages.
            values: One value per row of the frame; a list of arrays if the series are arrays. At an origin without a
                row, the result is the first value.

        Raises:
            ValueError: If the number of values is not that of the rows.
        """
        several = isinstance(values, (list, tuple)) and any(np.ndim(one) for one in values)
        array = np.concatenate([np.asarray(one) for one in values]) if several else np.asarray(values)
        if array.shape != (self._cutter.panel.num_rows,):
            raise ValueError(
                f"{name} must have one value per row of the series, ({self._cutter.panel.num_rows},), got {array.shape}"
            )
        return array[np.maximum(self.rows, 0)]

    def __repr__(self) -> str:
        if not len(self):
            return "OriginWindows: none"
        zone = self._cutter.panel.frequency.zone
        first, last = (format_time(time, zone) for time in (self.times.min(), self.times.max()))
        return f"OriginWindows: {len(self)} windows of {self._cutter.context} steps that end from {first} to {last}"
