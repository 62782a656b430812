"""`SeriesStates`: what a zero-shot forecaster knows of several series, advanced by each observation in O(1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deeprnn_keras.forecasting.combination import KNOTS, NUM_OUTPUTS, PARAMETERS, PROBABILITIES, combine, knot_position
from deeprnn_keras.forecasting.origin_inputs import OriginInputs
from deeprnn_keras.program.program import Program
from deeprnn_keras.streaming import Stream

CONTEXT = 96  # steps that the network reads before its first forecast, as in training
MIN_HISTORY, SECOND_SEASONS_READ = 2_000, 4  # steps, and longer seasons, of the history that the simple forecasts read
MAX_ROWS = 1024  # of a stream; bounds the memory


class SeriesStates:
    """States of the simple forecasts and of the network after the last observation of several series.

    Args:
        program: The network.
        season: Steps of the season.
        second_season: Steps of a longer season, or 0.
        count: Number of series.

    Attributes:
        inputs: The simple forecasts and their errors.
        states: States of the network, by name, (n, ...).
        outputs: Outputs of the network after the last observation, (n, `NUM_OUTPUTS`).
    """

    def __init__(self, program: Program, season: int, second_season: int, count: int) -> None:
        self.program, self.season, self.second_season = program, season, second_season
        self.inputs = OriginInputs(np.full(count, season), np.full(count, second_season))
        self.inputs.bank.forget()
        self.states = {name: np.zeros(state.shape(count), np.float32) for name, state in program.states.items()}
        self.outputs = np.zeros((count, NUM_OUTPUTS), np.float32)

    def __len__(self) -> int:
        return len(self.outputs)

    @property
    def max_history(self) -> int:
        """Number of last steps of a series that are read at the beginning."""
        return max(MIN_HISTORY, SECOND_SEASONS_READ * max(self.season, self.second_season))

    def begin(self, histories: Sequence[np.ndarray]) -> None:
        """Read the histories of all series: the simple forecasts read their ends, the network the last steps.

        Args:
            histories: Values of each series, NaN where they are missing.
        """
        ends = [history[-self.max_history :] for history in histories]
        lengths = np.array([len(end) for end in ends])
        for length in np.unique(np.minimum(lengths, CONTEXT)):  # longer series are padded, shorter ones are not
            rows = np.flatnonzero(np.minimum(lengths, CONTEXT) == length)
            self._read(rows, _padded([ends[row] for row in rows]), int(length))

    def advance(self, rows: np.ndarray, y: np.ndarray) -> None:
        """Read new values of some series, (rows, steps), NaN where they are missing; each costs one step."""
        self._read(rows, y, y.shape[1])

    def _read(self, rows: np.ndarray, y: np.ndarray, steps: int) -> None:
        inputs = self.inputs.take(rows)
        x = inputs.read(y, steps)
        inputs.bank.forget()
        self.inputs.put(rows, inputs)
        for low in range(0, len(rows), MAX_ROWS):
            part = slice(low, low + MAX_ROWS)
            stream = Stream(self.program, len(rows[part]))
            stream.state = {name: state[rows[part]] for name, state in self.states.items()}
            self.outputs[rows[part]] = np.asarray(stream.push(x[part]))[:, -1]
            for name, state in stream.state.items():
                self.states[name][rows[part]] = state

    def quantiles(self, horizon: int, probabilities: Sequence[float]) -> np.ndarray:
        """Return quantiles of the steps after the last observation, (n, `horizon`, probabilities).

        Args:
            horizon: H.
            probabilities: Probabilities of the quantiles.
        """
        origins = np.full((1, len(self)), self.inputs.bank.steps - 1)
        return forecast_quantiles(self.inputs, origins, self.outputs[None], horizon, probabilities)[0]


def rolling_quantiles(
    program: Program,
    history: np.ndarray,
    origins: np.ndarray,
    season: int,
    second_season: int,
    horizon: int,
    probabilities: Sequence[float],
) -> np.ndarray:
    """Return forecasts of one series from several origins, (origins, `horizon`, probabilities).

    Args:
        program: The network.
        history: Values, NaN where they are missing.
        origins: Number of values before each origin, ascending.
        season: Steps of the season.
        second_season: Steps of a longer season, or 0.
        horizon: H.
        probabilities: Probabilities of the quantiles.
    """
    states = SeriesStates(program, season, second_season, 1)
    first = max(0, int(origins[0]) - states.max_history)
    inputs, positions = OriginInputs(np.array([season]), np.array([second_season])), origins - first
    x = inputs.read(history[None, first : int(origins[-1])])[0]
    outputs = np.empty((len(origins), 1, NUM_OUTPUTS), np.float32)
    steps = np.minimum(positions, CONTEXT)
    for count in np.unique(steps):
        rows = np.flatnonzero(steps == count)
        windows = np.stack([x[position - count : position] for position in positions[rows]])
        outputs[rows, 0] = np.asarray(Stream(program, len(rows)).push(windows))[:, -1]
    return forecast_quantiles(inputs, positions[:, None], outputs, horizon, probabilities)[:, 0]


def forecast_quantiles(
    inputs: OriginInputs, origins: np.ndarray, outputs: np.ndarray, horizon: int, probabilities: Sequence[float]
) -> np.ndarray:
    """Return quantiles in the units of the series, (k, n, `horizon`, probabilities).

    The quantiles of a series whose values were never negative are not negative either.

    Args:
        inputs: The simple forecasts.
        origins: Positions of the origins among the remembered steps, (k, n).
        outputs: Outputs of the network at the origins, (k, n, `NUM_OUTPUTS`).
        horizon: H.
        probabilities: Probabilities of the quantiles.
    """
    count, n = origins.shape
    steps = np.tile(np.arange(1, horizon + 1), count)[:, None] * np.ones((1, n), np.int64)
    naive, scale, candidates = inputs.bank.relative_candidates(np.repeat(origins, horizon, axis=0), steps)
    shares = np.maximum(1 - np.abs(knot_position(steps)[..., None] - np.arange(len(KNOTS))), 0)
    knots = np.repeat(outputs.reshape(count, n, len(KNOTS), PARAMETERS), horizon, axis=0)
    parameters = np.einsum("kns,knsp->knp", shares, knots)
    forecasts = np.sort(np.asarray(combine(parameters.astype(np.float32), candidates.astype(np.float32))), axis=-1)
    values = np.stack([naive + scale * _interpolated(forecasts, p) for p in probabilities], axis=2)
    result = values.reshape(count, horizon, n, len(probabilities)).swapaxes(1, 2)
    nonnegative = inputs.bank.records.nonnegative[origins, inputs.bank.rows] > 0
    return np.where(nonnegative[:, :, None, None], np.maximum(result, 0.0), result)


def _interpolated(ordered: np.ndarray, probability: float) -> np.ndarray:
    """Return a quantile between those of the network, (...)."""
    position = float(np.interp(probability, PROBABILITIES, np.arange(len(PROBABILITIES))))
    lower = min(int(position), len(PROBABILITIES) - 2)
    share = position - lower
    return ordered[..., lower] * (1 - share) + ordered[..., lower + 1] * share


def _padded(histories: Sequence[np.ndarray]) -> np.ndarray:
    """Return series as rows that end together, with missing values before the shorter ones."""
    longest = max(map(len, histories))
    result = np.full((len(histories), longest), np.nan)
    for row, history in enumerate(histories):
        result[row, longest - len(history) :] = history
    return result
