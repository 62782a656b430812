"""Conversions of the arrays of LSTM and GRU cells that Keras 2 stores, to the weights of Keras 3.

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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import numpy as np

from deeprnn_keras.interop.report import Shape

Array: TypeAlias = np.ndarray
HARD_SIGMOID_RATIO = 1.2  # slope 0.2 over slope 1/6
GATES = {"lstm": ("i", "f", "g", "o"), "gru": ("z", "r", "h")}
ACTIVATED = {"lstm": (0, 1, 3), "gru": (0, 1)}  # the gates with the recurrent activation
KERNEL, RECURRENT_KERNEL, BIAS = "kernel", "recurrent_kernel", "bias"


@dataclass(frozen=True)
class Conversion:
    """Conversion of one array to the weight of a Keras 3 layer.

    Attributes:
        change: Description for the report; empty if the array is copied.
        compute: Function of the array.
        source_shape: Shape of the array as a function of the shape of the weight.
    """

    change: str = ""
    compute: Callable[[Array], Array] = np.asarray
    source_shape: Callable[[Shape], Shape] = tuple


COPY = Conversion()


@dataclass(frozen=True)
class Cell:
    """LSTM or GRU cell of Keras 3 as the target of arrays of Keras 2.

    Attributes:
        kind: "lstm" or "gru".
        units: Number of hidden units, h.
        is_scaled: Whether the blocks of the gates are scaled for the hard sigmoid.
        fits_cudnn: Whether the cell computes what the cell of cuDNN does.
    """

    kind: str
    units: int
    is_scaled: bool
    fits_cudnn: bool

    @property
    def gates(self) -> int:
        """Number of blocks of the weights."""
        return len(GATES[self.kind])

    def conversions(self, shapes: Mapping[str, Shape]) -> dict[str, Conversion]:
        """Return the conversions of arrays by the name of their weight: kernel, recurrent_kernel, bias.

        Args:
            shapes: Shapes of the arrays by the name of their weight. The shape of the bias tells the layout of cuDNN.
        """
        is_cudnn = self.fits_cudnn and shapes.get(BIAS) == (2 * self.gates * self.units,)
        return {name: self._conversion(name, is_cudnn) for name in shapes}

    def _conversion(self, role: str, is_cudnn: bool) -> Conversion:
        if is_cudnn:
            return self._from_cudnn(role)
        return self._scaled() if self.is_scaled else COPY

    def _from_cudnn(self, role: str) -> Conversion:
        if role == KERNEL:
            return Conversion("cuDNN's blocks transposed in place", self._each_block(_from_columns))
        if role == RECURRENT_KERNEL:
            return Conversion("cuDNN's blocks transposed", self._each_block(np.transpose))
        width = self.gates * self.units
        if self.kind == "lstm":
            return Conversion("sum of cuDNN's 2 biases", lambda a: a[:width] + a[width:], lambda _: (2 * width,))
        return Conversion("cuDNN's 2 biases as rows", lambda a: a.reshape(2, width), lambda _: (2 * width,))

    def _each_block(self, function: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda a: np.concatenate([function(block) for block in np.split(a, self.gates, axis=-1)], axis=-1)

    def _scaled(self) -> Conversion:
        names = ", ".join(GATES[self.kind][gate] for gate in ACTIVATED[self.kind])

        def compute(a: Array) -> Array:
            factors = np.ones(self.gates, a.dtype)
            factors[list(ACTIVATED[self.kind])] = HARD_SIGMOID_RATIO
            return a * np.repeat(factors, self.units)

        return Conversion(f"gates {names} times {HARD_SIGMOID_RATIO}", compute)


def target_cell(layer: Any, keras_version: int) -> Cell | None:  # noqa: ANN401 - any layer
    """Return the description of a Keras cell, or None if its arrays are copied.

    Args:
        layer: A layer.
        keras_version: Major version of the Keras that wrote the arrays.
    """
    if keras_version > 2:
        return None
    is_scaled = getattr(layer, "recurrent_activation", None) is keras.activations.hard_sigmoid
    if isinstance(layer, keras.layers.LSTMCell):
        return Cell("lstm", layer.units, is_scaled, fits_cudnn=True)
    if isinstance(layer, keras.layers.GRUCell):
        return Cell("gru", layer.units, is_scaled, layer.reset_after)
    return None


def _from_columns(block: Array) -> Array:
    return block.T.reshape(block.shape, order="F")
