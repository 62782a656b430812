"""Cells of tensorflow-addons in Keras 2 files, as cells of this package.

| tensorflow-addons | this package |
|---|---|
| `LayerNormLSTMCell` | `LayerNormLSTMCell(normalized_state=True)`, "layer_norm_lstm" |
| `PeepholeLSTMCell`, also that of `tf.keras.experimental` | `PeepholeLSTMCell`, "peephole_lstm" |

The gates have the same order, i, f, g, o. The cells of this package have one weight where those of tensorflow-addons
have several: the bias of `LayerNormLSTMCell` includes the offsets of the first two normalizations, and the peepholes of
the three gates are one vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from typing_extensions import override

from deeprnn_keras._types import Config, Layer
from deeprnn_keras.cells import LayerNormLSTMCell, PeepholeLSTMCell
from deeprnn_keras.interop.keras2_cells import (
    BIAS,
    HARD_SIGMOID_RATIO,
    KERNEL,
    RECURRENT_KERNEL,
    Array,
    Conversion,
    StoredCell,
    scaled,
)
from deeprnn_keras.interop.report import Shape

ADDONS = "Addons>"  # the name under which tensorflow-addons registers its classes begins with it
CELLS: dict[str, type[Any]] = {
    f"{ADDONS}LayerNormLSTMCell": LayerNormLSTMCell,
    f"{ADDONS}PeepholeLSTMCell": PeepholeLSTMCell,
    "PeepholeLSTMCell": PeepholeLSTMCell,
}
"""{class in a file: class of this package}."""

ROLES = ("kernel", "recurrent", "bias")
ARGUMENTS = (
    *("name", "trainable", "dtype", "units", "activation", "recurrent_activation", "dropout", "recurrent_dropout"),
    *(f"{role}_{kind}" for role in ROLES for kind in ("initializer", "regularizer", "constraint")),
)
ONLY_INITIAL = ("implementation", "unit_forget_bias", "norm_beta_initializer", "norm_gamma_initializer")
"""Arguments that select a code path or initial values."""

PEEPHOLES = tuple(f"{gate}_gate_peephole_weights" for gate in ("input", "forget", "output"))
NORM_ARRAYS = tuple(f"{norm}_norm/{name}" for norm in ("kernel", "recurrent", "state") for name in ("gamma", "beta"))


def arguments(config: Config) -> tuple[Config, bool]:
    """Return the arguments of a cell of this package, and whether the cell of the file has a bias.

    Args:
        config: Arguments of the cell of tensorflow-addons, with functions as Keras 3 names them.

    Raises:
        ValueError: If an argument is not one of that cell.
    """
    found = {key: value for key, value in config.items() if key in ARGUMENTS}
    others = {key: value for key, value in config.items() if key not in (*ARGUMENTS, *ONLY_INITIAL)}
    has_bias = bool(others.pop("use_bias", True))
    if "norm_epsilon" in others:
        found |= {"epsilon": others.pop("norm_epsilon"), "normalized_state": True}
    if others:
        raise ValueError(f"the arguments {others} are not those of the cell of tensorflow-addons")
    if config.get("unit_forget_bias", True):
        found.pop("bias_initializer", None)  # the default is that of `unit_forget_bias`
    return found, has_bias


def is_in(config: Any) -> bool:  # noqa: ANN401 - JSON
    """Return True if a configuration contains a cell of tensorflow-addons that is supported."""
    if isinstance(config, list):
        return any(map(is_in, config))
    if not isinstance(config, dict):
        return False
    name = stored_class(config)
    return (isinstance(name, str) and name in CELLS) or any(map(is_in, config.values()))


def stored_class(entry: Config) -> Any:  # noqa: ANN401 - JSON
    """Return the class that the entry of a layer names: the registered one if it is a supported cell of this module."""
    registered = entry.get("registered_name")
    return registered if isinstance(registered, str) and registered in CELLS else entry.get("class_name")


@dataclass(frozen=True)
class AddonsCell(StoredCell):
    """Cell of tensorflow-addons.

    Attributes:
        units: Number of hidden units, h.
        is_scaled: True if the blocks of the gates are scaled for the hard sigmoid.
    """

    units: int
    is_scaled: bool

    def gates(self, *sources: str, change: str = "", combine: Callable[..., Array] = np.asarray) -> Conversion:
        """Return the conversion of arrays to a weight with the blocks of the gates.

        Args:
            *sources: The arrays.
            change: Description of `combine`.
            combine: Function of the arrays.
        """
        if not self.is_scaled:
            return Conversion(sources, change, combine)
        words, scale = scaled("lstm", self.units)
        return Conversion(sources, ", ".join(filter(None, [change, words])), lambda *a: scale(combine(*a)))


class PeepholeCell(AddonsCell):
    """`PeepholeLSTMCell` of tensorflow-addons."""

    @override
    def conversions(self, shapes: Mapping[str, Shape]) -> dict[str, Conversion]:
        factor = HARD_SIGMOID_RATIO if self.is_scaled else 1.0
        change = "concatenated" + (f", times {factor}" if self.is_scaled else "")
        zeros = Conversion((), "", lambda: np.zeros(4 * self.units, np.float32))
        return {
            KERNEL: self.gates(KERNEL),
            RECURRENT_KERNEL: self.gates(RECURRENT_KERNEL),
            BIAS: self.gates(BIAS) if BIAS in self.arrays else zeros,
            "peephole_kernel": Conversion(
                PEEPHOLES, change, lambda *a: factor * np.concatenate(a), lambda _: (self.units,)
            ),
        }


class LayerNormCell(AddonsCell):
    """`LayerNormLSTMCell` of tensorflow-addons."""

    @override
    def conversions(self, shapes: Mapping[str, Shape]) -> dict[str, Conversion]:
        biases = [name for name in (BIAS, "kernel_norm/beta", "recurrent_norm/beta") if name in self.arrays]
        return {
            KERNEL: Conversion((KERNEL,)),
            RECURRENT_KERNEL: Conversion((RECURRENT_KERNEL,)),
            "kernel_gain": self.gates("kernel_norm/gamma"),
            "recurrent_gain": self.gates("recurrent_norm/gamma"),
            BIAS: self.gates(*biases, change=f"sum of {len(biases)} biases", combine=lambda *a: np.sum(a, axis=0)),
            "state_gain": Conversion(("state_norm/gamma",)),
            "state_bias": Conversion(("state_norm/beta",)),
        }


STORED_CELLS: dict[type, tuple[type[AddonsCell], tuple[str, ...]]] = {
    PeepholeLSTMCell: (PeepholeCell, PEEPHOLES),
    LayerNormLSTMCell: (LayerNormCell, NORM_ARRAYS),
}
"""{class of this package: its description, and its arrays after those of an LSTM}."""


def addons_cell(layer: Layer, has_bias: bool = True) -> AddonsCell | None:
    """Return the description of a built cell for arrays of tensorflow-addons; None for any other layer.

    Args:
        layer: A layer.
        has_bias: True if the cell of the file has a bias.

    Raises:
        ValueError: If the layer is a `LayerNormLSTMCell` with other equations than that of tensorflow-addons.
    """
    if type(layer) not in STORED_CELLS:
        return None
    if isinstance(layer, LayerNormLSTMCell) and not layer.equations.normalized_state:
        raise ValueError(
            f"cell {layer.name!r} must be a LayerNormLSTMCell with normalized_state=True, as that of tensorflow-addons"
        )
    kind, others = STORED_CELLS[type(layer)]
    is_scaled = layer.activation_functions["recurrent_activation"] is keras.activations.hard_sigmoid
    return kind((KERNEL, RECURRENT_KERNEL, *([BIAS] if has_bias else []), *others), layer.units, is_scaled)
