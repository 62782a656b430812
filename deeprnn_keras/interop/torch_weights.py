"""Weights of PyTorch's recurrent modules as weights of Keras' cells, and back.

With G blocks of h rows in the matrices of PyTorch, one block for each gate:

| | PyTorch | Keras |
|---|---|---|
| kernel | weight_ih (G h, d) | its transpose (d, G h) |
| recurrent kernel | weight_hh (G h, h) | its transpose (h, G h) |
| projection kernel of an LSTM with `proj_size` p | weight_hr (p, h) | its transpose (h, p); h of weight_hh is p |
| bias of RNN and LSTM | bias_ih (G h,), bias_hh (G h,) | their sum (G h,) |
| bias of the GRU | bias_ih (3h,), bias_hh (3h,) | the rows of (2, 3h), for `reset_after=True` |
| gates of the LSTM | i, f, g, o | i, f, g, o |
| gates of the GRU | r, z, n | z, r, n |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from deeprnn_keras.interop.assignment import Assignment, Target
from deeprnn_keras.interop.report import Shape
from deeprnn_keras.interop.torch_names import BLOCKS, PROJECTED, PROJECTION, PlainModule, Sizes

GATES = "gates r, z, n to z, r, n"


@dataclass(frozen=True)
class RecurrenceTarget:
    """The weights of one recurrence of a Keras model: of one layer and direction.

    Attributes:
        cell: "lstm", "projected_lstm", "gru", or "rnn".
        units: Number of hidden units, h.
        kernel: Input kernel (d, G h).
        recurrent_kernel: Recurrent kernel (h, G h), or (p, G h) with a projection.
        bias: Bias (G h,), or (2, 3h) for a GRU; None without one.
        projection: Projection kernel (h, p); None without one.
    """

    cell: str
    units: int
    kernel: Target
    recurrent_kernel: Target
    bias: Target | None
    projection: Target | None = None


def planned_target(path: str, sizes: Sizes, input_dim: int, has_bias: bool) -> RecurrenceTarget:
    """Return the weights of a recurrence that is not built.

    Args:
        path: Path of the cell in the model.
        sizes: Cell, h, and p.
        input_dim: d.
        has_bias: True if it has a bias.
    """
    rows = BLOCKS[sizes.cell] * sizes.units
    bias = Target(f"{path}/bias", (2, rows) if sizes.cell == "gru" else (rows,)) if has_bias else None
    kernel = Target(f"{path}/kernel", (input_dim, rows))
    recurrent = Target(f"{path}/recurrent_kernel", (sizes.width, rows))
    is_projected = sizes.cell == PROJECTED
    projection = Target(f"{path}/projection_kernel", (sizes.units, sizes.width)) if is_projected else None
    return RecurrenceTarget(sizes.cell, sizes.units, kernel, recurrent, bias, projection)


def recurrence_assignments(names: Mapping[str, str], target: RecurrenceTarget) -> list[Assignment]:
    """Return how the weights of a recurrence are computed.

    Args:
        names: {leaf: name of the array}, as in `RecurrentModule.levels`.
        target: The weights.
    """
    is_gru = target.cell == "gru"
    rows = BLOCKS[target.cell] * target.units
    order = partial(_swapped_gates, units=target.units) if is_gru else _same
    matrix = f"transposed, {GATES}" if is_gru else "transposed"
    found = [
        _matrix(names["weight_ih"], (rows, target.kernel.shape[0]), target.kernel, matrix, order),
        _matrix(names["weight_hh"], (rows, target.recurrent_kernel.shape[0]), target.recurrent_kernel, matrix, order),
    ]

    def name(leaf: str) -> str:
        return names.get(leaf, names["weight_hh"].replace("weight_hh", leaf))

    if target.bias is not None:
        sources = (name("bias_ih"), name("bias_hh"))
        change = f"stacked, {GATES}" if is_gru else "sum of two biases"
        combine = partial(_stacked, order=order) if is_gru else np.add
        found.append(Assignment(target.bias, sources, ((rows,), (rows,)), change, combine))
    if target.projection is not None:
        shape = target.projection.shape[::-1]
        found.append(_matrix(name(PROJECTION), shape, target.projection, "transposed", _same))
    return found


def _matrix(
    name: str, shape: Shape, target: Target, change: str, order: Callable[[np.ndarray], np.ndarray]
) -> Assignment:
    return Assignment(target, (name,), (shape,), change, lambda array: order(array).T)


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _swapped_gates(array: np.ndarray, units: int) -> np.ndarray:
    """Swap the first two blocks of rows: r, z, n and z, r, n."""
    return np.concatenate([array[units : 2 * units], array[:units], array[2 * units :]])


def _stacked(*biases: np.ndarray, order: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return np.stack([order(bias) for bias in biases])


def plain_assignment(module: PlainModule, leaf: str, target: Target, is_transposed: bool) -> Assignment:
    """Return how a weight of a layer that is not recurrent is computed.

    Args:
        module: The module.
        leaf: The weight: "weight", "bias", "running_mean", "running_var".
        target: The weight of the Keras layer.
        is_transposed: True if its axes are in reverse order, as those of the kernels of Dense and Conv1D.
    """
    if is_transposed:
        return Assignment(target, (module.entry(leaf),), (target.shape[::-1],), "transposed", np.transpose)
    return Assignment(target, (module.entry(leaf),), (target.shape,), "", _same)


def to_pytorch(cell: str, weights: Mapping[str, np.ndarray], suffix: str) -> dict[str, np.ndarray]:
    """Return the weights of a Keras cell as entries of a PyTorch state dict.

    Args:
        cell: "lstm", "projected_lstm", "gru", or "rnn".
        weights: Those of `RecurrenceTarget` by the name of the variable: "kernel", "recurrent_kernel", and possibly
            "bias" and "projection_kernel".
        suffix: End of the names: "_l0", "_l0_reverse".
    """
    recurrent_kernel = weights["recurrent_kernel"]
    order = partial(_swapped_gates, units=recurrent_kernel.shape[0]) if cell == "gru" else _same
    found = {"weight_ih": order(weights["kernel"].T), "weight_hh": order(recurrent_kernel.T)}
    if "bias" in weights:
        bias = weights["bias"]
        rows = bias if cell == "gru" else np.stack([bias, np.zeros_like(bias)])
        found |= {"bias_ih": order(rows[0]), "bias_hh": order(rows[1])}
    if "projection_kernel" in weights:
        found[PROJECTION] = weights["projection_kernel"].T
    return {f"{leaf}{suffix}": np.ascontiguousarray(array) for leaf, array in found.items()}
