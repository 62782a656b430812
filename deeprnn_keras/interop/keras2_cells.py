"""Weights of LSTM and GRU cells from the arrays that Keras 2 stores.

Keras 2 has separate layers for cuDNN, whose arrays have another layout. With the gates' blocks K (d, h) and R (h, h):

| | CuDNNLSTM, CuDNNGRU | LSTM, GRU(reset_after=True) |
|---|---|---|
| kernel | block K^T, stored column by column in the shape (d, h) | K |
| recurrent kernel | R^T | R |
| bias of the LSTM | input bias, recurrent bias: (8h,) | their sum: (4h,) |
| bias of the GRU | input bias, recurrent bias: (6h,) | rows of (2, 3h) |

The order of the gates is the same: i, f, g, o and z, r, h. The hard sigmoid of Keras 2 is 0.2 x + 0.5, that of Keras 3
x / 6 + 0.5, both limited to [0, 1]; the blocks of gates with this activation are therefore multiplied by 1.2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import keras
import numpy as np
from typing_extensions import override

from deeprnn_keras._types import Layer
from deeprnn_keras.interop.report import Shape

Array: TypeAlias = np.ndarray
HARD_SIGMOID_RATIO = 1.2  # slope 0.2 over slope 1/6
GATES = {"lstm": ("i", "f", "g", "o"), "gru": ("z", "r", "h")}
ACTIVATED = {"lstm": (0, 1, 3), "gru": (0, 1)}  # the gates with the recurrent activation
KERNEL, RECURRENT_KERNEL, BIAS = "kernel", "recurrent_kernel", "bias"


@dataclass(frozen=True)
class Conversion:
    """Computation of a weight of a Keras 3 layer from arrays of a file.

    Attributes:
        sources: The arrays, by their names in `StoredCell.arrays`.
        change: Description for the report; empty if the array is copied.
        compute: Function of the arrays.
        source_shape: Shape of each array as a function of the shape of the weight.
    """

    sources: tuple[str, ...]
    change: str = ""
    compute: Callable[..., Array] = np.asarray
    source_shape: Callable[[Shape], Shape] = tuple


@dataclass(frozen=True)
class StoredCell(ABC):
    """Cell whose arrays in a file are not the weights of the cell that is built.

    Attributes:
        arrays: Names of its arrays, in the order of the file; the part before "/" is the layer inside the cell to which
            an array belongs.
    """

    arrays: tuple[str, ...]

    @abstractmethod
    def conversions(self, shapes: Mapping[str, Shape]) -> dict[str, Conversion]:
        """Return the computation of each weight of the cell, by its name.

        Args:
            shapes: Shapes of the arrays by name, without those that are missing.
        """


def scaled(kind: str, units: int) -> tuple[str, Callable[[Array], Array]]:
    """Return the conversion of the blocks of gates for the hard sigmoid: (change, function of an array).

    Args:
        kind: "lstm" or "gru".
        units: Number of hidden units, h.
    """
    names = ", ".join(GATES[kind][gate] for gate in ACTIVATED[kind])

    def compute(a: Array) -> Array:
        factors = np.ones(len(GATES[kind]), a.dtype)
        factors[list(ACTIVATED[kind])] = HARD_SIGMOID_RATIO
        return a * np.repeat(factors, units)

    return f"gates {names} times {HARD_SIGMOID_RATIO}", compute


@dataclass(frozen=True)
class Cell(StoredCell):
    """LSTM or GRU cell, as a layer or as a layer for cuDNN.

    Attributes:
        kind: "lstm" or "gru".
        units: Number of hidden units, h.
        is_scaled: True if the blocks of the gates are scaled for the hard sigmoid.
        fits_cudnn: True if the cell computes what the cell of cuDNN does.
    """

    kind: str
    units: int
    is_scaled: bool
    fits_cudnn: bool

    @property
    def gates(self) -> int:
        """Number of blocks of the weights."""
        return len(GATES[self.kind])

    @override
    def conversions(self, shapes: Mapping[str, Shape]) -> dict[str, Conversion]:
        is_cudnn = self.fits_cudnn and shapes.get(BIAS) == (2 * self.gates * self.units,)
        return {name: self._conversion(name, is_cudnn) for name in self.arrays}

    def _conversion(self, name: str, is_cudnn: bool) -> Conversion:
        if is_cudnn:
            return self._from_cudnn(name)
        return Conversion((name,), *scaled(self.kind, self.units)) if self.is_scaled else Conversion((name,))

    def _from_cudnn(self, name: str) -> Conversion:
        if name == KERNEL:
            return Conversion((name,), "cuDNN's blocks transposed in place", self._each_block(_from_columns))
        if name == RECURRENT_KERNEL:
            return Conversion((name,), "cuDNN's blocks transposed", self._each_block(np.transpose))
        width = self.gates * self.units
        if self.kind == "lstm":
            change, compute = "sum of cuDNN's 2 biases", lambda a: a[:width] + a[width:]
        else:
            change, compute = "cuDNN's 2 biases as rows", lambda a: a.reshape(2, width)
        return Conversion((name,), change, compute, lambda _: (2 * width,))

    def _each_block(self, function: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda a: np.concatenate([function(block) for block in np.split(a, self.gates, axis=-1)], axis=-1)


def standard_cell(layer: Layer) -> Cell | None:
    """Return the description of a built LSTM or GRU cell of Keras; None for any other layer."""
    if not isinstance(layer, (keras.layers.LSTMCell, keras.layers.GRUCell)):
        return None
    kind = "lstm" if isinstance(layer, keras.layers.LSTMCell) else "gru"
    is_scaled = layer.recurrent_activation is keras.activations.hard_sigmoid
    arrays = tuple(one.name for one in layer.weights if one.name in (KERNEL, RECURRENT_KERNEL, BIAS))
    return Cell(arrays, kind, layer.units, is_scaled, getattr(layer, "reset_after", True))


def _from_columns(block: Array) -> Array:
    return block.T.reshape(block.shape, order="F")
