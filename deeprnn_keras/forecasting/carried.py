"""`Carried`: the states of a network after the history of each series, advanced by each new observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from deeprnn_keras.forecasting.layouts import ScaledWindow
from deeprnn_keras.forecasting.likelihoods import Likelihood
from deeprnn_keras.forecasting.windows import InputBuilder, RawWindow, Scales, WindowCutter
from deeprnn_keras.program.program import Program
from deeprnn_keras.streaming import Stream

MAX_ROWS = 4096  # of a stream; bounds the memory of sample paths
States = dict[str, np.ndarray]
RAW_FIELDS = ("y", "past", "known", "steps")


@dataclass(frozen=True)
class Carried:
    """States of the network for several series, and what has not been read yet.

    The last `layout.lag` observed steps are kept, because they are read with covariates of the horizon. The scale of a
    series stays that of the context with which it began.

    Attributes:
        states: States of the network before the kept steps, by name, (series, ...).
        raw: The kept steps, (series, lag).
        scales: Scale of each series.
        static: Static features of each series, (series, s).
        future: Known-future covariates after the last observation of each series, (series, H, k).
    """

    states: States
    raw: RawWindow
    scales: Scales
    static: np.ndarray
    future: np.ndarray

    def rows(self, rows: np.ndarray) -> Carried:
        """Return the states of some series."""
        return Carried(
            {name: state[rows] for name, state in self.states.items()},
            _rows(self.raw, rows),
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

        raw = RawWindow(*(put(getattr(self.raw, name), getattr(other.raw, name)) for name in RAW_FIELDS))
        states = {name: put(state, other.states[name]) for name, state in self.states.items()}
        return replace(self, states=states, raw=raw, future=put(self.future, other.future))


def begin(
    program: Program, cutter: WindowCutter, history: RawWindow, ends: np.ndarray, static: np.ndarray, future: np.ndarray
) -> Carried:
    """Return the states after the context of windows, from zero states.

    Args:
        program: The network.
        cutter: Cutter of the panel.
        history: Windows of T steps of context.
        ends: Index in the panel of the last step of each context.
        static: Static features of the series of each window.
        future: Known-future covariates of the H steps after each window.
    """
    lag = cutter.layout.lag
    zeros = {name: np.zeros(state.shape(len(ends)), np.float32) for name, state in program.states.items()}
    start = Carried(zeros, _columns(history, slice(0, lag)), cutter.scales(history, ends), static, future)
    return advance(program, cutter.builder, start, _columns(history, slice(lag, None)))


def advance(program: Program, builder: InputBuilder, carried: Carried, new: RawWindow) -> Carried:
    """Return the states after new observations, (series, m), of which each costs one step."""
    layout, count = builder.layout, new.y.shape[1]
    if not count:
        return carried
    raw = _joined(carried.raw, new)
    window = builder.scaled(raw, carried.scales, carried.static)
    x = layout.inputs(window, count, new.known.shape[2], final=False)
    states = {name: state.copy() for name, state in carried.states.items()}
    for rows in _chunks(len(x), MAX_ROWS):
        stream = _stream(program, {name: state[rows] for name, state in states.items()}, len(x[rows]))
        stream.push(x[rows])
        for name, state in stream.state.items():
            states[name][rows] = state
    return replace(carried, states=states, raw=_columns(raw, slice(count, None)))


def outputs(program: Program, builder: InputBuilder, carried: Carried) -> np.ndarray:
    """Return the outputs of the network for the H steps of the horizon, (series, H, parameters); not recursive."""
    layout, horizon, lag = builder.layout, builder.layout.horizon, builder.layout.lag
    window = builder.scaled(_with_horizon(carried, horizon), carried.scales, carried.static)
    x = layout.inputs(window, lag, carried.future.shape[2], final=True)
    parts = []
    for rows in _chunks(len(x), MAX_ROWS):
        stream = _stream(program, {name: state[rows] for name, state in carried.states.items()}, len(x[rows]))
        parts.append(np.asarray(stream.push(x[rows])))
    return np.concatenate(parts).reshape(len(x), horizon, -1)


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
        scale = np.repeat(carried.scales.y[1][rows], num_samples)
        paths[rows] = _sampled(program, states, repeated, likelihood, scale, builder.layout.flags, rng).reshape(
            -1, num_samples, horizon
        )
    return paths


def _sampled(
    program: Program,
    states: States,
    window: ScaledWindow,
    likelihood: Likelihood,
    scale: np.ndarray,
    flags: bool,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return one path per row, (rows, H); `window` has the last observed step and the horizon."""
    stream = _stream(program, states, len(scale))
    z, observed = window.z.copy(), window.observed.copy()
    filled = replace(window, z=z, observed=observed)  # its arrays are written below
    for step in range(z.shape[1] - 1):
        x = filled.inputs(slice(step, step + 1), slice(step + 1, step + 2), flags=flags)
        z[:, step + 1] = likelihood.sample(np.asarray(stream(x[:, 0])), scale, rng)
        observed[:, step + 1] = 1.0
    return z[:, 1:]


# === Parts ===


def _stream(program: Program, states: States, count: int) -> Stream:
    stream = Stream(program, count)
    stream.state = states
    return stream


def _with_horizon(carried: Carried, horizon: int) -> RawWindow:
    """Return the kept steps and the H steps after them, whose values are missing."""
    raw, count = carried.raw, len(carried.raw.y)
    return _joined(
        raw,
        RawWindow(
            np.full((count, horizon), np.nan),
            np.zeros((count, horizon, raw.past.shape[2]), np.float32),
            carried.future,
            raw.steps[:, -1:] + 1 + np.arange(horizon),
        ),
    )


def _joined(first: RawWindow, second: RawWindow) -> RawWindow:
    pairs = ((getattr(first, name), getattr(second, name)) for name in RAW_FIELDS)
    return RawWindow(*(np.concatenate(pair, axis=1) for pair in pairs))


def _columns(raw: RawWindow, steps: slice) -> RawWindow:
    return RawWindow(raw.y[:, steps], raw.past[:, steps], raw.known[:, steps], raw.steps[:, steps])


def _rows(raw: RawWindow, rows: np.ndarray) -> RawWindow:
    return RawWindow(raw.y[rows], raw.past[rows], raw.known[rows], raw.steps[rows])


def _repeated(window: ScaledWindow, rows: slice, count: int) -> ScaledWindow:
    arrays = (window.z, window.observed, window.step_features, window.past, window.static)
    return ScaledWindow(*(np.repeat(array[rows], count, axis=0) for array in arrays))


def _chunks(count: int, size: int) -> Sequence[slice]:
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]
