"""Operations of the layers that act on each step: embeddings, dense layers, activations, normalization, sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from deeprnn_keras.equations import primitives as p
from deeprnn_keras.equations.activations import ACTIVATIONS
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.builder import PASS_THROUGH, Builder, KerasLayer, Value, as_array, rule
from deeprnn_keras.program.refusal import refuse

Function = Callable[[Any], Any]


@rule(*PASS_THROUGH)
def _pass_through(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    return inputs[0]


# === Ids and dense layers ===


@rule("Embedding", "DropoutEmbedding")
def _embedding(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    if layer.mask_zero:
        refuse(
            layer, "mask_zero=True masks padding, and a program reads sequences without padding; use mask_zero=False"
        )
    b.read_ids(layer, inputs[0], layer.input_dim)
    return b.append(op.Embedding, name, inputs, layer.output_dim, weight=b.weight(layer, "embeddings"))


@rule("OneHot")
def _one_hot(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    b.read_ids(layer, inputs[0], layer.size)
    return b.append(op.OneHot, name, inputs, layer.size)


@rule("Dense")
def _dense(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    weights = {"kernel": b.weight(layer, "kernel"), "bias": b.weight(layer, "bias")}
    value = b.append(op.Dense, name, inputs, layer.units, **weights)
    return b.activation(layer, value, name, layer.activation)


@rule("DeepInput", "DeepOutput")
def _per_step(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    (value,) = inputs
    for dense in layer.dense_layers:
        value = _dense(b, dense, [value], f"{name}/{dense.name}")
    return value


@rule("TiedHead")
def _tied_head(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    weights = {"kernel": b.weight(layer.embedding, "embeddings"), "bias": b.weight(layer, "bias")}
    return b.append(op.Dense, name, inputs, layer.embedding.input_dim, transposed=True, **weights)


@rule("TimeDistributed")
def _time_distributed(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    (value,) = inputs
    (result,) = b.apply(layer.layer, [replace(value, kind="vector")], name)
    return replace(result, kind=value.kind)


# === Activations ===


@rule("Activation")
def _activation(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    return b.activation(layer, inputs[0], name, layer.activation)


@rule("Softmax")
def _softmax(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    _check_axis(layer, layer.axis, inputs[0])
    return b.append(op.Softmax, name, inputs, inputs[0].width)


@rule("ReLU")
def _relu(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    slope, threshold, limit = float(layer.negative_slope or 0.0), float(layer.threshold or 0.0), layer.max_value

    def function(a: Any) -> Any:  # noqa: ANN401 - a symbol
        result = p.where(threshold > a, slope * (a - threshold), a)
        return result if limit is None else -p.maximum(-result, -float(limit))

    return b.elementwise(layer, inputs[0], name, "relu" if (slope, threshold, limit) == (0, 0, None) else function)


@rule("LeakyReLU")
def _leaky_relu(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    slope = float(layer.negative_slope)
    return b.elementwise(layer, inputs[0], name, lambda a: p.where(a > 0.0, a, slope * a))


@rule("ELU")
def _elu(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    alpha = float(layer.alpha)
    return b.elementwise(layer, inputs[0], name, lambda a: p.where(a > 0.0, a, alpha * (p.exp(-p.relu(-a)) - 1.0)))


# === Scaling and normalization ===


def _check_axis(layer: KerasLayer, axis: Any, value: Value) -> None:  # noqa: ANN401 - an integer or a list of one
    axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    if axes not in ([-1], [value.rank - 1]):
        refuse(layer, f"axis must be that of the features, -1, got {axis}")


def _scale(b: Builder, value: Value, name: str, scale: Any, offset: Any) -> Value:  # noqa: ANN401 - arrays, numbers
    """Append x * scale + offset; both are one number or one per feature."""
    arrays = {"scale": np.atleast_1d(scale), "offset": np.atleast_1d(offset)}
    names = {key: b.array(f"{name}/{key}", array) for key, array in arrays.items()}
    return b.append(op.Scale, name, [value], value.width, **names)


@rule("Rescaling")
def _rescaling(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    arrays = [np.asarray(number, np.float64).reshape(-1) for number in (layer.scale, layer.offset)]
    if not all(array.size in (1, inputs[0].width) for array in arrays):
        refuse(layer, f"scale and offset must have one number or {inputs[0].width}, one per feature")
    return _scale(b, inputs[0], name, *arrays)


@rule("Normalization")
def _normalization(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    if layer.axis not in ((), None):
        _check_axis(layer, layer.axis, inputs[0])
    mean, variance = (as_array(array).astype(np.float64).reshape(-1) for array in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), 1e-7)  # Keras' epsilon
    if layer.invert:
        return _scale(b, inputs[0], name, deviation, mean)
    return _scale(b, inputs[0], name, 1 / deviation, -mean / deviation)


@rule("BatchNormalization")
def _batch_normalization(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    _check_axis(layer, layer.axis, inputs[0])
    mean, variance = (as_array(array).astype(np.float64) for array in (layer.moving_mean, layer.moving_variance))
    scale = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        scale = scale * as_array(layer.gamma)
    offset = -mean * scale
    return _scale(b, inputs[0], name, scale, offset + as_array(layer.beta) if layer.center else offset)


@rule("LayerNormalization")
def _layer_normalization(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    _check_axis(layer, layer.axis, inputs[0])
    if layer.rms_scaling:
        refuse(layer, "rms_scaling=True is not supported; use keras.layers.RMSNormalization")
    weights = {"gamma": b.weight(layer, "gamma"), "beta": b.weight(layer, "beta")}
    return b.append(op.LayerNormalization, name, inputs, inputs[0].width, epsilon=float(layer.epsilon), **weights)


@rule("RMSNormalization")
def _rms_normalization(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    _check_axis(layer, layer.axis, inputs[0])
    options = {"epsilon": float(layer.epsilon), "gamma": b.weight(layer, "scale"), "centered": False}
    return b.append(op.LayerNormalization, name, inputs, inputs[0].width, **options)


# === Branches ===


@rule("Concatenate")
def _concatenate(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    _check_axis(layer, layer.axis, inputs[0])
    b.check_same(layer, inputs, widths=False)
    return b.concatenate(inputs, name)


@rule("Add")
def _add(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    return b.add(layer, inputs, name)


@rule("AddDryChannel")
def _add_dry_channel(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    dry, wet = inputs
    if dry.width > 1:
        kernel = b.array(f"{name}/dry", np.eye(dry.width, 1))  # selects the first channel
        dry = b.append(op.Dense, f"{name}/dry", [dry], 1, kernel=kernel)
    return b.add(layer, [wet, dry], name)


@rule("Average")
def _average(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    factor = 1.0 / len(inputs)
    return b.elementwise(layer, b.add(layer, inputs, f"{name}/sum"), name, lambda a: a * factor)


@rule("Subtract")
def _subtract(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    first, second = inputs
    return b.add(layer, [first, b.elementwise(layer, second, f"{name}/negative", lambda a: -a)], name)


# === Operations of keras.ops in functional models ===

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "Subtract": lambda a, b: a - b,
    "Multiply": lambda a, b: a * b,
    "Divide": lambda a, b: a / b,
    "TrueDivide": lambda a, b: a / b,
    "Maximum": p.maximum,
}
WITH_PARAMETERS = ("celu", "elu", "leaky_relu", "squareplus")
FUNCTIONS: dict[str, str | Function] = {
    "Negative": lambda a: -a,
    "Exp": p.exp,
    "Log": p.log,
    "Sqrt": p.sqrt,
    "Rsqrt": p.rsqrt,
    "Sin": p.sin,
    "Cos": p.cos,
    "Square": lambda a: a * a,
    "Absolute": lambda a: p.maximum(a, -a),
    **{name.title().replace("_", ""): name for name in ACTIVATIONS if name not in WITH_PARAMETERS},
}
SUPPORTED_CALLS = ", ".join(
    sorted({*ARITHMETIC, *FUNCTIONS, "Concatenate", "GetItem", "Softmax", "LogSoftmax"} - {"Linear", "Exponential"})
)


def apply_operation(
    b: Builder, operation: KerasLayer, arguments: list[Any], options: dict[str, Any], name: str
) -> list[Value]:
    """Append a call of `keras.ops`, or of an operator, in a functional model; arguments are values or constants."""
    kind = type(operation).__name__
    values = [one for one in arguments if isinstance(one, Value)]
    if kind == "Concatenate" and len(arguments) == 1:
        return [_concatenate(b, operation, list(arguments[0]), name)]
    if kind in ("Softmax", "LogSoftmax") and len(values) == 1:
        _check_axis(operation, operation.axis, values[0])
        return [b.append(op.Softmax, name, values, values[0].width, logarithm=kind == "LogSoftmax")]
    if kind == "GetItem" and len(values) == 1:
        return [_last_step(b, operation, values[0], arguments[-1], name)]
    if kind in ARITHMETIC and len(arguments) == 2:
        return [_arithmetic(b, operation, arguments, name)]
    if kind in FUNCTIONS and len(arguments) == len(values) == 1 and not options:
        return [b.elementwise(operation, values[0], name, FUNCTIONS[kind])]
    return refuse(operation, f"this call of keras.ops has no operation; supported are {SUPPORTED_CALLS}")


def _last_step(b: Builder, operation: KerasLayer, value: Value, key: Any, name: str) -> Value:  # noqa: ANN401
    everything = slice(None)
    if key in ((everything, -1), (everything, -1, everything)) and value.kind == "sequence":
        return b.last(value, name)
    return refuse(operation, f"of all indexing, only x[:, -1], the last step, is supported, got {key}")


def _arithmetic(b: Builder, operation: KerasLayer, arguments: list[Any], name: str) -> Value:
    kind, (first, second) = type(operation).__name__, arguments
    function = ARITHMETIC[kind]
    if isinstance(first, Value) and isinstance(second, Value):
        if kind not in ("Add", "Subtract"):
            refuse(operation, f"{kind.lower()} of two values is not supported; of a value and a number it is")
        return (_add if kind == "Add" else _subtract)(b, operation, [first, second], name)
    if isinstance(first, Value):
        return b.elementwise(operation, first, name, lambda a: function(a, _number(operation, second)))
    number = _number(operation, first)
    return b.elementwise(operation, second, name, lambda a: function(number, a))


def _number(operation: KerasLayer, value: Any) -> float:  # noqa: ANN401 - an argument of a call
    if np.ndim(value) or not np.isreal(value):
        refuse(operation, "arrays are not supported in arithmetic of values; use keras.layers.Rescaling")
    return float(value)
