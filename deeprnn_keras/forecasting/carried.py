"""`Carried`: the states of a network after the history of each series, advanced by each new observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from deeprnn_keras.forecasting.layouts import Layout, ScaledWindow
from deeprnn_keras.forecasting.likelihoods import Likelihood
from deeprnn_keras.forecasting.windows import InputBuilder, RawWindow, Scales, WindowCutter
from deeprnn_keras.program.program import Program
from deeprnn_keras.streaming import Stream

MAX_ROWS = 4096  # of a stream; bounds the memory of sample paths
States = dict[str, np.ndarray]
RAW_FIELDS = ("y", "observed", "past", "known", "steps")


@dataclass(frozen=True)
class Carried:
    """States of the network for several series, and what has not been read yet.

    The last `layout.lag` observed steps are kept, because they are read with covariates of the horizon, and so are the
    `layout.history` steps before them, for lagged values. The scale of a series stays that of the context with which it
    began.

    Attributes:
        states: States of the network before the last `lag` steps, by name, (series, ...).
        raw: The kept steps, (series, history + lag).
        scales: Scale of each series.
        static: Static features of each series, (series, s).
        future: Known-future covariates after the last observation of each series, (series, H, k).
    """

    states: States
    raw: RawWindow
    scales: Scales
    static: np.ndarray
    future: np.ndarray

    @classmethod
    def empty(cls) -> Carried:
        """Return the states of no series."""
        matrix, covariates = np.zeros((0, 0)), np.zeros((0, 0, 0), np.float32)
        raw = RawWindow(matrix, matrix.astype(bool), covariates, covariates, matrix.astype(np.int64))
        values, none = (np.zeros(0), np.zeros(0)), (matrix, matrix)
        return cls({}, raw, Scales(values, none, none, np.zeros(0)), matrix, covariates)

    def rows(self, rows: np.ndarray) -> Carried:
        """Return the states of some series."""
        return Carried(
            {name: state[rows] for name, state in self.states.items()},
            self.raw.rows(rows),
            self.scales.rows(rows),
            self.static[rows],
            self.future[rows],
        )

    def replaced(self, rows: np.ndarray, other: Carried) -> Carried:
        """Return the states with those of some series replaced."""

        def put(before: np.ndarray, after: np.ndarray) -> np.ndarray:
            result = before.copy()
            result[rows] = after
            return result

        raw = RawWindow(*(put(*pair) for pair in zip(self.raw.arrays, other.raw.arrays, strict=True)))
        states = {name: put(state, other.states[name]) for name, state in self.states.items()}
        return replace(self, states=states, raw=raw, future=put(self.future, other.future))


def begin(
    program: Program, cutter: WindowCutter, history: RawWindow, ends: np.ndarray, static: np.ndarray, future: np.ndarray
) -> Carried:
    """Return the states after the context of windows, from zero states.

    Args:
        program: The network.
        cutter: Cutter of the panel.
        history: Windows of T steps of context, after the `history` steps of the layout.
        ends: Index in the panel of the last step of each context.
        static: Static features of the series of each window.
        future: Known-future covariates of the H steps after each window.
    """
    kept = cutter.layout.history + cutter.layout.lag
    zeros = {name: np.zeros(state.shape(len(ends)), np.float32) for name, state in program.states.items()}
    start = Carried(zeros, history.columns(slice(0, kept)), cutter.scales(history, ends), static, future)
    return advance(program, cutter.builder, start, history.columns(slice(kept, None)))


def advance(program: Program, builder: InputBuilder, carried: Carried, new: RawWindow) -> Carried:
    """Return the states after new observations, (series, m), of which each costs one step."""
    layout, count = builder.layout, new.y.shape[1]
    if not count:
        return carried
    raw = carried.raw.joined(new).imputed(layout.season)
    window = builder.scaled(raw, carried.scales, carried.static)
    x = layout.inputs(window, count, new.known.shape[2], final=False)
    states = {name: state.copy() for name, state in carried.states.items()}
    for rows in _chunks(len(x), MAX_ROWS):
        stream = _stream(program, {name: state[rows] for name, state in states.items()}, len(x[rows]))
        stream.push(x[rows])
        for name, state in stream.state.items():
            states[name][rows] = state
    return replace(carried, states=states, raw=raw.columns(slice(count, None)))


def quantiles(
    program: Program,
    builder: InputBuilder,
    carried: Carried,
    likelihood: Likelihood,
    probabilities: Sequence[float],
) -> list[np.ndarray]:
    """Return quantiles of the H steps in units of the scaled series, (series, H) each; not for recursive networks."""
    layout, horizon, lag = builder.layout, builder.layout.horizon, builder.layout.lag
    window = builder.scaled(_with_horizon(carried, horizon), carried.scales, carried.static)
    x = layout.inputs(window, lag, carried.future.shape[2], final=True)
    parts = []
    for rows in _chunks(len(x), MAX_ROWS):
        stream = _stream(program, {name: state[rows] for name, state in carried.states.items()}, len(x[rows]))
        parts.append(np.asarray(stream.push(x[rows]), np.float64))
    outputs = np.concatenate(parts).reshape(len(x), horizon, -1)
    origin = window.z.shape[1] - horizon
    references = layout.references(window.z, origin + np.arange(horizon), origin)
    scale, ratio = carried.scales.target[:, None], window.ratio[:, None]
    return [references + ratio * likelihood.quantile(outputs, probability, scale) for probability in probabilities]


def sample_paths(
    program: Program,
    builder: InputBuilder,
    carried: Carried,
    likelihood: Likelihood,
    num_samples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return sample paths of a recursive network in units of the scaled series, (series, `num_samples`, H).

    Each sample of a step is the input of the next one.
    """
    horizon = builder.layout.horizon
    window = builder.scaled(_with_horizon(carried, horizon), carried.scales, carried.static)
    paths = np.empty((len(window.z), num_samples, horizon))
    for rows in _chunks(len(window.z), max(MAX_ROWS // num_samples, 1)):
        states = {name: np.repeat(state[rows], num_samples, axis=0) for name, state in carried.states.items()}
        repeated = _repeated(window, rows, num_samples)
        scale = np.repeat(carried.scales.target[rows], num_samples)
        paths[rows] = _sampled(program, states, repeated, likelihood, scale, builder.layout, rng).reshape(
            -1, num_samples, horizon
        )
    return paths


def _sampled(
    program: Program,
    states: States,
    window: ScaledWindow,
    likelihood: Likelihood,
    scale: np.ndarray,
    layout: Layout,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return one path per row, (rows, H); `window` has the kept steps and the horizon."""
    stream = _stream(program, states, len(scale))
    z, observed = window.z.copy(), window.observed.copy()
    filled = replace(window, z=z, observed=observed)  # its arrays are written below
    origin = z.shape[1] - layout.horizon
    for step in range(origin, z.shape[1]):
        x = filled.inputs(step - 1, 1, layout)
        reference = layout.references(z, np.array([step]), origin)[:, 0]
        z[:, step] = reference + filled.ratio * likelihood.sample(np.asarray(stream(x[:, 0])), scale, rng)
        observed[:, step] = 1.0
    return z[:, origin:]


# === Parts ===


def _stream(program: Program, states: States, count: int) -> Stream:
    stream = Stream(program, count)
    stream.state = states
    return stream


def _with_horizon(carried: Carried, horizon: int) -> RawWindow:
    """Return the kept steps and the H steps after them, whose values are missing."""
    raw, count = carried.raw, len(carried.raw.y)
    return raw.joined(
        RawWindow(
            np.full((count, horizon), np.nan),
            np.zeros((count, horizon), bool),
            np.zeros((count, horizon, raw.past.shape[2]), np.float32),
            carried.future,
            raw.steps[:, -1:] + 1 + np.arange(horizon),
        ),
    )


def _repeated(window: ScaledWindow, rows: slice, count: int) -> ScaledWindow:
    arrays = (window.z, window.observed, window.step_features, window.past, window.static, window.ratio)
    return ScaledWindow(*(np.repeat(array[rows], count, axis=0) for array in arrays))


def _chunks(count: int, size: int) -> Sequence[slice]:
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]
