"""Interpreter of ONNX graphs in NumPy, written from the equations in the specification of the operators.

It is the reference of ONNX files where ONNX Runtime is missing, and computes the constants of a graph. It shares no
code with the conversion to Keras.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from deeprnn_keras import limits
from deeprnn_keras.interop.onnx_file.stored import Graph, Node, StoredArray

Array = np.ndarray
Inputs = Sequence[Any]
Function = Callable[[Node, Inputs], Sequence[Array]]

CASTS = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float32, 11: np.float32, 16: np.float32}
"""{number of a data type: type of the result of a Cast}; all floating-point types are float32."""


def run(graph: Graph, inputs: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """Run a graph and return named values of it.

    Args:
        graph: The graph.
        inputs: {name of the input: array}.
        names: Names of the values to return; "" is skipped.

    Raises:
        ValueError: If an operator is not supported.
    """
    values: dict[str, Any] = {"": None, **{name: one.read() for name, one in graph.constants.items()}, **inputs}
    for node in graph.nodes:
        results = evaluate(node, [values[name] for name in node.inputs])
        values.update(zip(node.outputs, results, strict=False))
    return {name: values[name] for name in names if name}


def evaluate(node: Node, inputs: Inputs) -> Sequence[Array]:
    """Return the results of a node.

    Raises:
        ValueError: If the operator is not supported, or its result exceeds the memory.
    """
    if node.operator not in FUNCTIONS:
        raise ValueError(f"{node}: the operator is not supported by the NumPy interpreter")
    return FUNCTIONS[node.operator](node, inputs)


def _checked(node: Node, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a result that is not limited by the size of the inputs, after checking its memory."""
    limits.check_memory(str(node), math.prod(shape))
    return tuple(int(size) for size in shape)


# === Recurrences ===

ACTIVATIONS: dict[str, tuple[Callable[..., Array], float | None, float | None]] = {
    "relu": (lambda x: np.maximum(x, 0), None, None),
    "tanh": (np.tanh, None, None),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), None, None),
    "affine": (lambda x, alpha, beta: alpha * x + beta, 1.0, 0.0),
    "leakyrelu": (lambda x, alpha: np.where(x >= 0, x, alpha * x), 0.01, None),
    "hardsigmoid": (lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1), 0.2, 0.5),
    "elu": (lambda x, alpha: np.where(x >= 0, x, alpha * (np.exp(x) - 1)), 1.0, None),
    "softsign": (lambda x: x / (1 + np.abs(x)), None, None),
    "softplus": (lambda x: np.log1p(np.exp(x)), None, None),
}
"""{activation in lower case: (function, default of alpha, default of beta)}; None if it has no such number."""

DEFAULT_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


def node_activations(node: Node) -> list[tuple[str, tuple[float, ...]]]:
    """Return (activation in lower case, its numbers alpha and beta) of all directions of a recurrent node.

    Numbers are taken in order by the activations that have them; missing ones have their defaults.

    Raises:
        ValueError: If an activation is not supported, or the number of activations is wrong.
    """
    directions = 2 if node.attributes.get("direction", "forward") == "bidirectional" else 1
    default = DEFAULT_ACTIVATIONS[node.operator]
    names = [str(name) for name in node.attributes.get("activations", default * directions)]
    if len(names) != len(default) * directions:
        raise ValueError(f"{node}: {len(default) * directions} activations expected, got {names}")
    alphas = iter(node.attributes.get("activation_alpha", ()))
    betas = iter(node.attributes.get("activation_beta", ()))
    result = []
    for name in names:
        if name.lower() not in ACTIVATIONS:
            raise ValueError(f"{node}: activation {name!r} is not supported")
        _, alpha, beta = ACTIVATIONS[name.lower()]
        numbers = [
            float(next(given, default)) for given, default in ((alphas, alpha), (betas, beta)) if default is not None
        ]
        result.append((name.lower(), tuple(numbers)))
    return result


def _recurrence(node: Node, inputs: Inputs) -> Sequence[Array]:
    x, w, r, b, lengths, h0, c0, p = [*inputs, *[None] * 8][:8]
    if x is None or w is None or r is None:
        raise ValueError(f"{node}: X, W, and R must be present")
    batch_major = node.attributes.get("layout", 0)
    if lengths is not None and not np.all(lengths == x.shape[1 if batch_major else 0]):
        raise ValueError(f"{node}: sequence_lens is not supported")
    before = [h0, c0][: 2 if node.operator == "LSTM" else 1]
    if batch_major:
        x, before = np.swapaxes(x, 0, 1), [None if one is None else np.swapaxes(one, 0, 1) for one in before]
    outputs, last = [], []
    for d in range(len(w)):
        zeros = np.zeros((x.shape[1], r.shape[2]), np.float32)
        bias = np.zeros(2 * w.shape[1], np.float32) if b is None else b[d]
        step = _step(node, d, r[d], bias, p[d] if p is not None and node.operator == "LSTM" else None)
        states = [zeros if one is None else one[d] for one in before]
        sequence, states = _direction(node, d, x @ w[d].T, states, step)
        outputs.append(sequence)
        last.append(states)
    y, final = np.stack(outputs, axis=1), [np.stack(one) for one in zip(*last, strict=True)]
    return [y.transpose(2, 0, 1, 3), *(np.swapaxes(one, 0, 1) for one in final)] if batch_major else [y, *final]


def _direction(
    node: Node, d: int, projected: Array, states: list[Array], step: Callable[..., list[Array]]
) -> tuple[Array, list[Array]]:
    """Return all steps (T, n, h) of one direction, in the order of time, and its last states."""
    reverse = d == 1 or node.attributes.get("direction") == "reverse"
    steps = []
    for projected_t in projected[::-1] if reverse else projected:
        states = step(projected_t, *states)
        steps.append(states[0])
    return np.stack(steps[::-1] if reverse else steps), states


def _step(node: Node, d: int, r: Array, b: Array, p: Array | None) -> Callable[..., list[Array]]:
    """Return the function of (X_t W^T, states) that returns the new states of one direction."""
    count = len(DEFAULT_ACTIVATIONS[node.operator])
    functions = [_activation(*one) for one in node_activations(node)[d * count : (d + 1) * count]]
    return STEPS[node.operator](node, r, b, p, functions)


def _activation(name: str, numbers: tuple[float, ...]) -> Callable[[Array], Array]:
    function = ACTIVATIONS[name][0]
    return lambda x: function(x, *numbers)


def _lstm(node: Node, r: Array, b: Array, p: Array | None, functions: Sequence[Callable]) -> Callable:
    """Return the step of an LSTM.

    it = f(Xt Wi^T + Ht-1 Ri^T + Pi.Ct-1 + bi), ft likewise; ct = g(Xt Wc^T + Ht-1 Rc^T + bc); Ct = ft.Ct-1 + it.ct;
    ot = f(Xt Wo^T + Ht-1 Ro^T + Po.Ct + bo); Ht = ot.h(Ct)
    """
    f, g, output = functions
    w_bias, r_bias = np.split(b, 2)
    p_i, p_o, p_f = np.split(np.zeros(3 * r.shape[1], np.float32) if p is None else p, 3)

    def step(projected: Array, h: Array, c: Array) -> list[Array]:
        i, o, forget, candidate = np.split(projected + h @ r.T + w_bias + r_bias, 4, axis=1)
        i, forget = f(i + p_i * c), f(forget + p_f * c)
        forget = 1 - i if node.attributes.get("input_forget") else forget
        c = forget * c + i * g(candidate)
        return [f(o + p_o * c) * output(c), c]

    return step


def _gru(node: Node, r: Array, b: Array, p: None, functions: Sequence[Callable]) -> Callable:
    """Return the step of a GRU.

    zt, rt = f(Xt W^T + Ht-1 R^T + Wb + Rb); ht = g(Xt Wh^T + (rt.Ht-1) Rh^T + Rbh + Wbh), or, with linear_before_reset,
    g(Xt Wh^T + rt.(Ht-1 Rh^T + Rbh) + Wbh); Ht = (1 - zt).ht + zt.Ht-1
    """
    f, g = functions
    size = r.shape[1]
    w_bias, r_bias = np.split(b, 2)
    after = node.attributes.get("linear_before_reset", 0)

    def step(projected: Array, h: Array) -> list[Array]:
        x = projected + w_bias
        gates = f(x[:, : 2 * size] + h @ r[: 2 * size].T + r_bias[: 2 * size])
        z, reset = gates[:, :size], gates[:, size:]
        if after:
            linear = reset * (h @ r[2 * size :].T + r_bias[2 * size :])
        else:
            linear = (reset * h) @ r[2 * size :].T + r_bias[2 * size :]
        return [(1 - z) * g(x[:, 2 * size :] + linear) + z * h]

    return step


def _rnn(node: Node, r: Array, b: Array, p: None, functions: Sequence[Callable]) -> Callable:
    """Return the step of an RNN: Ht = f(Xt Wi^T + Ht-1 Ri^T + Wbi + Rbi)."""
    bias = b[: r.shape[1]] + b[r.shape[1] :]
    return lambda projected, h: [functions[0](projected + h @ r.T + bias)]


STEPS = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}


# === Other operators ===


def _axes(node: Node, inputs: Inputs) -> tuple[int, ...] | None:
    """Return the axes of a Squeeze, Unsqueeze, or reduction: an input, or an attribute in older files."""
    if len(inputs) > 1 and inputs[1] is not None:
        return tuple(int(axis) for axis in np.ravel(inputs[1]))
    axes = node.attributes.get("axes")
    return None if axes is None else tuple(axes)


def _unsqueeze(node: Node, inputs: Inputs) -> Sequence[Array]:
    return [np.expand_dims(inputs[0], _axes(node, inputs) or ())]


def _reshape(node: Node, inputs: Inputs) -> Sequence[Array]:
    x, target = inputs[0], [int(size) for size in inputs[1]]
    if not node.attributes.get("allowzero"):
        target = [x.shape[index] if size == 0 else size for index, size in enumerate(target)]
    return [x.reshape(target)]


def _slice(node: Node, inputs: Inputs) -> Sequence[Array]:
    if len(inputs) == 1:
        starts, ends = node.attributes["starts"], node.attributes["ends"]
        axes, steps = node.attributes.get("axes"), None
    else:
        starts, ends, axes, steps = [*inputs[1:], None, None][:4]
    selection = [slice(None)] * inputs[0].ndim
    axes = range(len(starts)) if axes is None else axes
    for axis, start, end, step in zip(axes, starts, ends, [1] * len(starts) if steps is None else steps, strict=True):
        size = inputs[0].shape[int(axis)]
        stop = None if step < 0 and end < -size else int(end)
        selection[int(axis)] = slice(int(start), stop, int(step))
    return [inputs[0][tuple(selection)]]


def _split(node: Node, inputs: Inputs) -> Sequence[Array]:
    axis = node.attributes.get("axis", 0)
    sizes = inputs[1] if len(inputs) > 1 and inputs[1] is not None else node.attributes.get("split")
    if sizes is None:
        return np.array_split(inputs[0], len(node.outputs), axis)
    return np.split(inputs[0], np.cumsum(sizes)[:-1], axis)


def _gemm(node: Node, inputs: Inputs) -> Sequence[Array]:
    _checked(node, (max(inputs[0].shape), max(inputs[1].shape)))
    a = inputs[0].T if node.attributes.get("transA") else inputs[0]
    b = inputs[1].T if node.attributes.get("transB") else inputs[1]
    product = node.attributes.get("alpha", 1.0) * (a @ b)
    if len(inputs) > 2 and inputs[2] is not None:
        product = product + node.attributes.get("beta", 1.0) * inputs[2]
    return [np.asarray(product, np.float32)]


def _softmax(node: Node, inputs: Inputs) -> Sequence[Array]:
    x, axis = inputs[0], node.attributes.get("axis", -1)
    shifted = x - x.max(axis, keepdims=True)
    total = np.exp(shifted).sum(axis, keepdims=True)
    return [np.exp(shifted) / total if node.operator == "Softmax" else shifted - np.log(total)]


def _layer_normalization(node: Node, inputs: Inputs) -> Sequence[Array]:
    x, axis = inputs[0], node.attributes.get("axis", -1)
    axes = tuple(range(axis % x.ndim, x.ndim))
    centered = x - x.mean(axes, keepdims=True)
    y = centered / np.sqrt(np.square(centered).mean(axes, keepdims=True) + node.attributes.get("epsilon", 1e-5))
    return [y * inputs[1] + (inputs[2] if len(inputs) > 2 and inputs[2] is not None else 0)]


def _reduction(function: Callable[..., Array]) -> Function:
    def reduce(node: Node, inputs: Inputs) -> Sequence[Array]:
        return [function(inputs[0], axis=_axes(node, inputs), keepdims=bool(node.attributes.get("keepdims", 1)))]

    return reduce


def _constant(node: Node, inputs: Inputs) -> Sequence[Array]:
    for key, dtype in (("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64)):
        if key in node.attributes:
            return [np.asarray(node.attributes[key], dtype)]
    if "value_ints" in node.attributes:
        return [np.asarray(node.attributes["value_ints"], np.int64)]
    if not isinstance(node.attributes.get("value"), StoredArray):
        raise ValueError(f"{node}: a constant of numbers is expected")
    return [node.attributes["value"].read()]


def _constant_of_shape(node: Node, inputs: Inputs) -> Sequence[Array]:
    value = node.attributes.get("value")
    number = np.zeros(1, np.float32) if value is None else value.read()
    return [np.full(_checked(node, inputs[0]), number.reshape(-1)[0])]


def _expand(node: Node, inputs: Inputs) -> Sequence[Array]:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(int(size) for size in inputs[1]))
    return [np.broadcast_to(inputs[0], _checked(node, shape))]


def _shape(node: Node, inputs: Inputs) -> Sequence[Array]:
    return [np.asarray(inputs[0].shape[node.attributes.get("start", 0) : node.attributes.get("end")], np.int64)]


def _one_hot(node: Node, inputs: Inputs) -> Sequence[Array]:
    ids, depth, (low, high) = inputs[0], int(np.ravel(inputs[1])[0]), inputs[2]
    axis = node.attributes.get("axis", -1)
    _checked(node, (*ids.shape, depth))
    hot = (ids[..., None] % depth == np.arange(depth)) & (ids[..., None] >= -depth) & (ids[..., None] < depth)
    return [np.moveaxis(np.where(hot, high, low), -1, axis)]


def _cast(node: Node, inputs: Inputs) -> Sequence[Array]:
    if node.attributes.get("to") not in CASTS:
        raise ValueError(f"{node}: data type {node.attributes.get('to')} is not supported")
    return [np.asarray(inputs[0]).astype(CASTS[node.attributes["to"]])]


def _elementwise(function: Callable[..., Array]) -> Function:
    def apply(node: Node, inputs: Inputs) -> Sequence[Array]:
        _checked(node, np.broadcast_shapes(*(np.shape(one) for one in inputs)))
        return [function(*inputs)]

    return apply


def _matmul(node: Node, inputs: Inputs) -> Sequence[Array]:
    a, b = inputs
    _checked(node, (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *a.shape[-2:-1], *b.shape[-1:]))
    return [np.matmul(a, b)]


def _gather(node: Node, inputs: Inputs) -> Sequence[Array]:
    data, indices, axis = inputs[0], inputs[1].astype(np.int64), node.attributes.get("axis", 0)
    _checked(node, (*data.shape[:axis], *indices.shape, *data.shape[axis:][1:]))
    return [np.take(data, indices, axis)]


def _divide(a: Array, b: Array) -> Array:
    return a / b if a.dtype.kind == "f" else a // b


def _with_numbers(name: str, **defaults: float) -> Function:
    """Return the function of an activation that is a node whose attributes are its numbers."""
    function = ACTIVATIONS[name][0]
    return lambda node, inputs: [
        np.asarray(function(inputs[0], *(node.attributes.get(key, value) for key, value in defaults.items())))
    ]


FUNCTIONS: dict[str, Function] = {
    **dict.fromkeys(STEPS, _recurrence),
    "Add": _elementwise(np.add),
    "Cast": _cast,
    "Concat": lambda node, inputs: [np.concatenate(inputs, node.attributes["axis"])],
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _elementwise(_divide),
    "Dropout": lambda node, inputs: [inputs[0]],
    "Elu": _with_numbers("elu", alpha=1.0),
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _gemm,
    "HardSigmoid": _with_numbers("hardsigmoid", alpha=0.2, beta=0.5),
    "Identity": lambda node, inputs: [inputs[0]],
    "LayerNormalization": _layer_normalization,
    "LeakyRelu": _with_numbers("leakyrelu", alpha=0.01),
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "OneHot": _one_hot,
    "ReduceMax": _reduction(np.max),
    "ReduceMean": _reduction(np.mean),
    "ReduceSum": _reduction(np.sum),
    "Relu": _with_numbers("relu"),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": _with_numbers("sigmoid"),
    "Slice": _slice,
    "Softmax": _softmax,
    "Softplus": _with_numbers("softplus"),
    "Softsign": _with_numbers("softsign"),
    "Split": _split,
    "Squeeze": lambda node, inputs: [np.squeeze(inputs[0], _axes(node, inputs))],
    "Sub": _elementwise(np.subtract),
    "Sum": lambda node, inputs: [functools.reduce(np.add, inputs)],
    "Tanh": _with_numbers("tanh"),
    "Transpose": lambda node, inputs: [np.transpose(inputs[0], node.attributes.get("perm"))],
    "Unsqueeze": _unsqueeze,
}
