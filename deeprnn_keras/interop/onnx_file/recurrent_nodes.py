"""LSTM, GRU, and RNN nodes as layers of a `DeepRNN`: gate order, biases, directions, and activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deeprnn_keras.interop.onnx_file.interpreter import node_activations
from deeprnn_keras.interop.onnx_file.plan import RECURRENT, Problems, Step, Weight
from deeprnn_keras.interop.onnx_file.stored import Node
from deeprnn_keras.interop.onnx_file.values import Constant, Filled, Value

CELLS = {"LSTM": "lstm", "GRU": "gru", "RNN": "rnn"}
CELL_NAMES = {
    "lstm": "lstm_cell",
    "gru": "gru_cell",
    "rnn": "simple_rnn_cell",
    "peephole_lstm": "peephole_lstm_cell",
}
PEEPHOLES = "peephole_lstm"
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
ORDERS = {"LSTM": (0, 2, 3, 1), "GRU": (0, 1, 2), "RNN": (0,)}
"""Position in ONNX of each gate of Keras: i, f, c, o in i, o, f, c; both have z, r, h."""

ORDER_IN_WORDS = {"LSTM": "transposed, gates i, o, f, c to i, f, c, o", "GRU": "transposed", "RNN": "transposed"}
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
PEEPHOLE_ORDER = (0, 2, 1)
"""Position in ONNX, i, o, f, of the peephole of each gate i, f, o."""

DIRECTIONS = ("forward", "reverse", "bidirectional")
KERAS_SLOPE = 1 / 6
"""Slope of Keras' hard sigmoid, slope * x + 0.5, limited to [0, 1]."""

GATED = {"LSTM": (1, 1, 0, 1), "GRU": (1, 1, 0), "RNN": (0,)}
"""1 for each block that recurrent_activation is applied to, in Keras' order; 0 for the candidate."""

ACTIVATIONS: dict[str, tuple[str, tuple[float, ...]]] = {
    "tanh": ("tanh", ()),
    "sigmoid": ("sigmoid", ()),
    "relu": ("relu", ()),
    "affine": ("linear", (1.0, 0.0)),
    "elu": ("elu", (1.0,)),
    "softsign": ("softsign", ()),
    "softplus": ("softplus", ()),
}
"""{activation of ONNX in lower case: (that of Keras, its numbers)}."""


@dataclass(frozen=True)
class Layer:
    """A recurrent node.

    Attributes:
        node: The node.
        units: Number of hidden units h.
        directions: Number of directions, 1 or 2.
        inputs: Number of features of its input.
    """

    node: Node
    units: int
    directions: int
    inputs: int

    @property
    def rows(self) -> int:
        """Rows of the matrices, those of all gates."""
        return GATES[self.node.operator] * self.units

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes that the specification requires: {name of the input: shape}."""
        return {
            "W": (self.directions, self.rows, self.inputs),
            "R": (self.directions, self.rows, self.units),
            "B": (self.directions, 2 * self.rows),
            "P": (self.directions, 3 * self.units),
        }


def recurrent_step(node: Node, name: str, source: str, width: int, inputs: list[Value | None], found: Problems) -> Step:
    """Return the step of a recurrent node.

    Args:
        node: The node.
        name: Name of the step.
        source: Name of the step whose value it reads.
        width: Number of features of that value.
        inputs: Values of the inputs of the node; None for one that is absent.
        found: Tensors that do not fit are added to it.

    Raises:
        ValueError: If the node has a property that no layer has.
    """
    inputs = [*inputs, *[None] * 8][:8]
    _refuse_unsupported(node, inputs)
    layer = _layer(node, width, inputs[2])
    has_peepholes = node.operator == "LSTM" and not (inputs[7] is None or _is_zero(inputs[7]))
    given = {"W": True, "R": True, "B": bool(node.input(3)), "P": has_peepholes}
    arrays = {key: _checked(layer, key, inputs[INPUTS.index(key)], found) for key, has in given.items() if has}
    activations, factor = _activations(node, layer.directions)
    config: dict[str, Any] = {
        "units": [layer.units],
        "cell": PEEPHOLES if has_peepholes else CELLS[node.operator],
        "use_bias": "B" in arrays or has_peepholes,  # the LSTM with peepholes has one in any case
        "bidirectional": layer.directions == 2,
        "go_backwards": node.attributes.get("direction") == "reverse",
        **activations,
    }
    if node.operator == "GRU":
        config["reset_after"] = bool(node.attributes.get("linear_before_reset", 0))
    weights = [weight for d in range(layer.directions) for weight in _weights(layer, arrays, d, config, factor)]
    return Step(name, RECURRENT, [source], layer.units * layer.directions, config, weights)


# === Properties that no layer has ===


def _refuse_unsupported(node: Node, inputs: list[Value | None]) -> None:
    attributes = node.attributes
    if attributes.get("direction", "forward") not in DIRECTIONS:
        raise ValueError(f"{node}: direction must be one of {DIRECTIONS}, got {attributes['direction']!r}")
    if "clip" in attributes:
        raise ValueError(f"{node}: clip={attributes['clip']:g} is not supported; export without clipping of the gates")
    if attributes.get("input_forget", 0):
        raise ValueError(f"{node}: input_forget=1 (coupled gates) is not supported")
    if inputs[4] is not None:
        raise ValueError(
            f"{node}: sequence_lens {node.input(4)!r} is not supported; export without lengths and pass sequences "
            "without padding"
        )
    for index, what in ((5, "initial_h"), (6, "initial_c")):
        value = inputs[index] if node.operator == "LSTM" or index == 5 else None
        if not (value is None or _is_zero(value)):
            raise ValueError(
                f"{node}: {what} {node.input(index)!r} is not zero; supported are zero states, which the file must "
                "contain: export the model with its initial states as constants, not as inputs"
            )


def _is_zero(value: Value) -> bool:
    if isinstance(value, Constant):
        return not value.array.any()
    return isinstance(value, Filled) and value.number == 0


def _activations(node: Node, directions: int) -> tuple[dict[str, str], float]:
    """Return the arguments activation and recurrent_activation of a layer, and the factor of the blocks of the gates.

    A hard sigmoid with another slope than that of Keras becomes that of Keras, which reads inputs times a factor.
    """
    given = node_activations(node)
    count = len(given) // directions
    if len({tuple(given[start : start + count]) for start in range(0, len(given), count)}) > 1:
        raise ValueError(f"{node}: different activations in both directions are not supported, got {given}")
    if node.operator == "RNN":
        return {"activation": _keras_activation(node, *given[0])}, 1.0
    gate, candidate, *output = given[:count]
    if output and output[0] != candidate:
        raise ValueError(f"{node}: different activations of candidate and output are not supported, got {given}")
    factor = 1.0
    if gate[0] == "hardsigmoid" and gate[1][1] == 0.5 and gate[1][0] > 0:
        factor, gate = gate[1][0] / KERAS_SLOPE, ("hardsigmoid", (KERAS_SLOPE, 0.5))
    names = {"activation": _keras_activation(node, *candidate), "recurrent_activation": _keras_activation(node, *gate)}
    return names, factor


def _keras_activation(node: Node, name: str, numbers: tuple[float, ...]) -> str:
    supported = {**ACTIVATIONS, "hardsigmoid": ("hard_sigmoid", (KERAS_SLOPE, 0.5))}
    keras_name, required = supported.get(name, ("", ()))
    if not keras_name or not np.allclose(numbers, required, atol=1e-6):
        texts = ", ".join(f"{key}{one[1] or ''}" for key, one in supported.items())
        raise ValueError(f"{node}: activation {name}{numbers or ''} is not supported; supported are {texts}")
    return keras_name


# === Weights ===


def _layer(node: Node, width: int, r: Value | None) -> Layer:
    """Return the sizes of a node; without the attribute hidden_size, R has the number of units."""
    units = node.attributes.get("hidden_size")
    if units is None and isinstance(r, Constant) and r.array.ndim == 3:
        units = r.array.shape[2]
    if not isinstance(units, int) or units < 1:
        raise ValueError(f"{node}: hidden_size must be a positive integer, got {units!r}")
    return Layer(node, units, 2 if node.attributes.get("direction") == "bidirectional" else 1, width)


def _checked(layer: Layer, key: str, value: Value | None, found: Problems) -> Constant | None:
    """Return a weight of a node; None if it is missing or has another shape, which is recorded."""
    node, expected = layer.node, layer.shapes[key]
    name = node.input(INPUTS.index(key)) or f"{node.name}/{key}"
    if value is None:
        found.missing.append(f"{name} {list(expected)}, read by {node} as {key}")
        return None
    if not isinstance(value, Constant) or value.array.dtype.kind != "f":
        raise ValueError(f"{node}: {key} {name!r} must be a floating-point constant of the file")
    if value.array.shape != expected:
        found.misshaped.append(f"{name} has shape {list(value.array.shape)}, but {node} requires {list(expected)}")
        return None
    return value


def _weights(
    layer: Layer, arrays: dict[str, Constant | None], d: int, config: dict[str, Any], factor: float
) -> list[Weight]:
    """Return the weights of a direction, those of the gates times a factor; none if one is missing."""
    if None in arrays.values():
        return []
    operator = layer.node.operator
    place = f"{'backward_1' if d == 1 else 'forward_1'}/{CELL_NAMES[config['cell']]}"
    scale = np.repeat(np.where(GATED[operator], factor, 1.0), layer.units).astype(np.float32)
    scaled = "" if abs(factor - 1) < 1e-6 else f"gates times {factor:.3g} for the slope of the hard sigmoid"
    weights = []
    for key, path in (("W", "kernel"), ("R", "recurrent_kernel")):
        constant = arrays[key]
        assert constant is not None
        array = _reordered(operator, constant.array[d].T) * scale
        words = [ORDER_IN_WORDS[operator], scaled]
        weights.append(_weight(constant, f"{place}/{path}", array, words))
    if config["use_bias"]:
        weights.append(_bias(layer, arrays.get("B"), d, f"{place}/bias", config, scale, scaled))
    peepholes = arrays.get("P")
    if peepholes is not None:
        array = peepholes.array[d].reshape(3, -1)[list(PEEPHOLE_ORDER)].reshape(-1) * np.float32(factor)
        weights.append(_weight(peepholes, f"{place}/peephole_kernel", array, ["gates i, o, f to i, f, o", scaled]))
    return weights


def _bias(
    layer: Layer, bias: Constant | None, d: int, path: str, config: dict[str, Any], scale: np.ndarray, scaled: str
) -> Weight:
    """Return the bias of a direction; zeros, without a source, if the node has none."""
    if bias is None:
        return Weight(path, np.zeros(layer.rows, np.float32), "", (), "float32")
    operator, apart = layer.node.operator, config.get("reset_after", False)
    both = _reordered(operator, bias.array[d].reshape(2, -1)) * scale
    change = ORDER_IN_WORDS[operator].removeprefix("transposed").removeprefix(", ")
    words = [change, "two rows" if apart else "sum of two biases", scaled]
    return _weight(bias, path, both if apart else both.sum(0), words)


def _reordered(operator: str, array: np.ndarray) -> np.ndarray:
    """Return an array whose last axis holds the gates in Keras' order."""
    gates = np.split(array, GATES[operator], axis=-1)
    return np.concatenate([gates[index] for index in ORDERS[operator]], axis=-1)


def _weight(constant: Constant, path: str, array: np.ndarray, words: list[str]) -> Weight:
    change = ", ".join(filter(None, words))
    return Weight(path, array, ", ".join(constant.sources), constant.array.shape, constant.dtype, change)
