"""Rules of the planner: which layer a node becomes, or how it permutes the axes of a value.

Importing the module registers the rules.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deeprnn_keras.interop.onnx_file.plan import LAST, RECURRENT, Step, Weight
from deeprnn_keras.interop.onnx_file.planner import OrderError, Planner, is_layout, rule
from deeprnn_keras.interop.onnx_file.recurrent_nodes import recurrent_step
from deeprnn_keras.interop.onnx_file.stored import Node
from deeprnn_keras.interop.onnx_file.values import (
    Axes,
    Constant,
    Filled,
    Pieces,
    Sizes,
    Target,
    Tensor,
    Unavailable,
    Value,
    reshaped,
)

Inputs = list[Value | None]

# === Recurrences ===


@rule("LSTM", "GRU", "RNN")
def _recurrent(p: Planner, node: Node, inputs: Inputs) -> list[Value]:
    x = p.tensor(node, inputs[0])
    layout = node.attributes.get("layout", 0)
    if layout not in (0, 1):
        raise ValueError(f"{node}: layout must be 0 or 1, got {layout!r}")
    expected = ("n", "T", "f") if layout else ("T", "n", "f")
    if x.axes != expected or x.width is None:
        error = OrderError if sorted(x.axes) == sorted(expected) and x.axes[2] == "f" else ValueError
        raise error(f"{node}: its input has the axes ({', '.join(x.axes)}) instead of ({', '.join(expected)})")
    step = recurrent_step(node, p.unique(node.name, node.operator), x.step, x.width, inputs, p.plan.problems)
    p.add(step)
    directions: Axes = ("D",) if step.config["bidirectional"] else ("1",)
    axes = ("n", "T", *directions, "f") if layout else ("T", *directions, "n", "f")
    final = ("n", *directions, "f") if layout else (*directions, "n", "f")
    step.observed = (node.output(0), axes) if node.output(0) else None
    results: list[Value] = [Tensor(step.name, axes, step.width), Unavailable(f"the last state of {node}")]
    if p.readers[node.output(1)]:
        last = p.add(Step(p.unique(f"{step.name}_last"), LAST, [step.name], step.width))
        last.observed = (node.output(1), final)
        results[1] = Tensor(last.name, final, step.width)
    return [*results, Unavailable(f"the last cell state of {node}")]


# === Axes ===


def _axis(node: Node, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"{node}: axis {axis} is not one of {rank} axes")
    return axis % rank


def _integers(node: Node, value: Value | None, what: str) -> list[int]:
    if not isinstance(value, Constant) or value.array.dtype.kind not in "iu":
        raise ValueError(f"{node}: {what} must be constant integers of the file")
    return [int(one) for one in value.array.reshape(-1)]


def _axes_of(node: Node, inputs: Inputs, rank: int) -> list[int] | None:
    """Return the axes of a Squeeze, Unsqueeze, or reduction: an input, or an attribute in older files."""
    given = node.attributes.get("axes")
    if len(inputs) > 1 and inputs[1] is not None:
        given = _integers(node, inputs[1], "axes")
    return None if given is None else [_axis(node, int(axis), rank) for axis in given]


@rule("Identity", "Dropout", "Cast")
def _identity(p: Planner, node: Node, inputs: Inputs) -> Value:
    value = inputs[0]
    if value is None:
        raise ValueError(f"{node}: it has no input")
    if node.operator == "Cast" and isinstance(value, Tensor):
        to_float = node.attributes.get("to") in (1, 10, 11, 16)
        if to_float != (value.width is not None):
            raise ValueError(f"{node}: a conversion between ids and features is not supported")
    return value


@rule("Transpose")
def _transpose(p: Planner, node: Node, inputs: Inputs) -> Value:
    value = p.tensor(node, inputs[0])
    order = node.attributes.get("perm", list(range(len(value.axes)))[::-1])
    if sorted(order) != list(range(len(value.axes))):
        raise ValueError(f"{node}: perm={order} does not permute {len(value.axes)} axes")
    return Tensor(value.step, tuple(value.axes[index] for index in order), value.width)


@rule("Squeeze")
def _squeeze(p: Planner, node: Node, inputs: Inputs) -> Value:
    value = p.tensor(node, inputs[0])
    removed = _axes_of(node, inputs, len(value.axes))
    if removed is None:
        removed = [index for index, axis in enumerate(value.axes) if axis == "1"]
    for index in removed:
        if value.axes[index] != "1":
            raise ValueError(f"{node}: it removes the axis {value.axes[index]!r} of ({', '.join(value.axes)})")
    kept = tuple(axis for index, axis in enumerate(value.axes) if index not in removed)
    return Tensor(value.step, kept, value.width)


@rule("Unsqueeze")
def _unsqueeze(p: Planner, node: Node, inputs: Inputs) -> Value:
    value = p.tensor(node, inputs[0])
    given = node.attributes.get("axes") or _integers(node, inputs[1] if len(inputs) > 1 else None, "axes")
    rank = len(value.axes) + len(given)
    axes = list(value.axes)
    for index in sorted(_axis(node, int(axis), rank) for axis in given):
        axes.insert(index, "1")
    return Tensor(value.step, tuple(axes), value.width)


@rule("Reshape", "Flatten")
def _reshape(p: Planner, node: Node, inputs: Inputs) -> Value:
    value = p.tensor(node, inputs[0])
    if node.operator == "Flatten":
        if value.axes == ("n", "f") and node.attributes.get("axis", 1) in (1, -1):
            return value
        raise ValueError(f"{node}: flattening ({', '.join(value.axes)}) is not supported")
    target = inputs[1] if len(inputs) > 1 else None
    elements = target.elements if isinstance(target, Sizes) else tuple(_integers(node, target, "shape"))
    if not node.attributes.get("allowzero"):
        elements = tuple(
            value.size(value.axes[index]) if size == 0 and index < len(value.axes) else size
            for index, size in enumerate(elements)
        )
    axes = reshaped(value, Target(elements, p.plan.fixed))
    if axes is None:
        raise ValueError(
            f"{node}: reshaping ({', '.join(value.axes)}) to {list(elements)} is not supported; supported are axes of "
            "size 1, the concatenation of both directions, and time and batch in one axis"
        )
    return Tensor(value.step, axes, value.width)


@rule("Shape")
def _shape(p: Planner, node: Node, inputs: Inputs) -> Value:
    value = p.tensor(node, inputs[0])
    if not is_layout(value.axes):
        return Sizes((None,) * len(value.axes))
    sizes = tuple(value.size(axis) for axis in value.axes)
    return Sizes(sizes[node.attributes.get("start", 0) : node.attributes.get("end")])


# === Selections ===


@rule("Gather")
def _gather(p: Planner, node: Node, inputs: Inputs) -> Value:
    data, indices = (*inputs, None, None)[:2]
    if isinstance(data, Constant):
        return _embedding(p, node, data, p.tensor(node, indices))
    axis = node.attributes.get("axis", 0)
    (index,) = _integers(node, indices, "indices") if _size(indices) == 1 else (None,)
    if index is None:
        raise ValueError(f"{node}: selecting several entries is not supported")
    keep = isinstance(indices, Constant) and indices.array.ndim > 0
    return _entry(p, node, data, axis, index, keep)


def _size(value: Value | None) -> int:
    return value.array.size if isinstance(value, Constant) else 1


def _entry(p: Planner, node: Node, value: Value | None, axis: int, index: int, keep: bool) -> Value:
    """Return one entry of an axis; the axis stays, with size 1, if `keep`."""
    if isinstance(value, Pieces):
        axis = _axis(node, axis, len(value.parts[0].axes))
        if axis != value.axis or not -len(value.parts) <= index < len(value.parts):
            raise ValueError(f"{node}: entry {index} of axis {axis} of concatenated states is not supported")
        return value.parts[index] if keep else _without(value.parts[index], axis)
    tensor = p.tensor(node, value)
    axis = _axis(node, axis, len(tensor.axes))
    kind = tensor.axes[axis]
    if kind == "1" and index in (0, -1):
        selected = tensor
    elif kind == "D" and index in (0, 1, -1, -2):
        selected = _direction(p, node, tensor, index % 2)
    elif kind == "T" and index in (0, -1):
        selected = _time_step(p, node, tensor, index)
    else:
        raise ValueError(f"{node}: entry {index} of the axis {kind!r} of ({', '.join(tensor.axes)}) is not supported")
    axes = tuple("1" if place == axis else name for place, name in enumerate(tensor.axes))
    selected = Tensor(selected.step, axes, selected.width)
    return selected if keep else _without(selected, axis)


def _without(value: Tensor, axis: int) -> Tensor:
    return Tensor(value.step, value.axes[:axis] + value.axes[axis + 1 :], value.width)


def _direction(p: Planner, node: Node, value: Tensor, index: int) -> Tensor:
    """Return the features of one direction."""
    width = (value.width or 0) // 2
    axes = tuple("1" if axis == "D" else axis for axis in value.axes)
    return p.apply(node, value, "direction", width, axes, observed=False, index=index)


def _time_step(p: Planner, node: Node, value: Tensor, index: int) -> Tensor:
    """Return the first or last step; for the last step of a recurrence, the state after it."""
    step = p.plan.steps[value.step]
    if step.kind == "reverse":
        return _time_step(p, node, Tensor(step.inputs[0], value.axes, value.width), -1 - index)
    axes = tuple("1" if axis == "T" else axis for axis in value.axes)
    last = 0 if step.config.get("go_backwards") else -1
    if step.kind == RECURRENT and not step.config["bidirectional"] and index == last:
        return p.apply(node, value, LAST, axes=axes, observed=False)
    return p.apply(node, value, "time_step", axes=axes, observed=False, index=index)


@rule("Slice")
def _slice(p: Planner, node: Node, inputs: Inputs) -> Value:
    if len(inputs) > 1:
        starts, ends, axes, steps = (
            None if value is None else _integers(node, value, what)
            for value, what in zip((*inputs[1:], None, None), ("starts", "ends", "axes", "steps"), strict=False)
        )
    else:
        starts, ends = node.attributes.get("starts"), node.attributes.get("ends")
        axes, steps = node.attributes.get("axes"), None
    if not starts or not ends or len(starts) != 1 or len(ends) != 1 or (steps or [1]) not in ([1], [-1]):
        raise ValueError(f"{node}: only one entry of an axis, or the reversed time, can be selected")
    axis, value = (axes or [0])[0], inputs[0]
    if (steps or [1]) == [-1]:
        return _reversed(p, node, p.tensor(node, value), axis, starts[0], ends[0])
    if starts[0] == 0 and ends[0] > 2**30:
        return p.tensor(node, value)
    if ends[0] - starts[0] != 1 and not (starts[0] == -1 and ends[0] > 2**30):
        raise ValueError(f"{node}: selecting entries {starts[0]} to {ends[0]} is not supported")
    return _entry(p, node, value, axis, starts[0], keep=True)


def _reversed(p: Planner, node: Node, value: Tensor, axis: int, start: int, end: int) -> Tensor:
    if value.axes[_axis(node, axis, len(value.axes))] != "T" or start != -1 or end > -(2**30):
        raise ValueError(f"{node}: only the whole time can be reversed")
    return p.apply(node, value, "reverse")


@rule("Split")
def _split(p: Planner, node: Node, inputs: Inputs) -> list[Value]:
    value = p.tensor(node, inputs[0])
    axis = _axis(node, node.attributes.get("axis", 0), len(value.axes))
    if value.axes[axis] != "D" or len(node.outputs) != 2:
        raise ValueError(f"{node}: only both directions can be split")
    return [_entry(p, node, value, axis, index, keep=True) for index in (0, 1)]


# === Layers of each step ===


def _embedding(p: Planner, node: Node, table: Constant, ids: Tensor) -> Value:
    if ids.width is not None or table.array.ndim != 2 or node.attributes.get("axis", 0) != 0:
        raise ValueError(f"{node}: an embedding reads ids and a matrix (V, width), got {list(table.array.shape)}")
    size, width = table.array.shape
    config = {"input_dim": size, "output_dim": width}
    return p.apply(node, ids, "embedding", width, (*ids.axes, "f"), [_weight("embeddings", table)], **config)


@rule("OneHot")
def _one_hot(p: Planner, node: Node, inputs: Inputs) -> Value:
    ids, values = p.tensor(node, inputs[0]), inputs[2]
    (size,) = _integers(node, inputs[1], "depth")
    if not isinstance(values, Constant) or values.array.tolist() != [0, 1] or node.attributes.get("axis", -1) != -1:
        raise ValueError(f"{node}: supported are the values 0 and 1 along the last axis")
    if ids.width is not None:
        raise ValueError(f"{node}: it reads features instead of ids")
    return p.apply(node, ids, "one_hot", size, (*ids.axes, "f"), size=size)


@rule("MatMul")
def _matmul(p: Planner, node: Node, inputs: Inputs) -> Value:
    value, kernel = p.tensor(node, inputs[0]), inputs[1]
    if not isinstance(kernel, Constant) or kernel.array.ndim != 2 or value.axes[-1] != "f" or "D" in value.axes:
        raise ValueError(f"{node}: supported is the product of a value, features last, and a matrix of the file")
    return _dense(p, node, value, _weight("kernel", kernel), None)


@rule("Gemm")
def _gemm(p: Planner, node: Node, inputs: Inputs) -> Value:
    value, kernel, bias = p.tensor(node, inputs[0]), inputs[1], (*inputs, None)[2]
    if node.attributes.get("transA") or not isinstance(kernel, Constant) or kernel.array.ndim != 2:
        raise ValueError(f"{node}: supported is the product of a value and a matrix of the file")
    if value.axes[-1] != "f" or "D" in value.axes:
        raise ValueError(f"{node}: its input has the axes ({', '.join(value.axes)}), but the features must be last")
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    array = alpha * (kernel.array.T if node.attributes.get("transB") else kernel.array)
    change = ", ".join(filter(None, ["transposed" if node.attributes.get("transB") else "", _times(alpha)]))
    vector = None
    if bias is not None:
        vector = _vector(node, bias, array.shape[1])
        vector = _weight("bias", vector, beta * vector.array, _times(beta))
    return _dense(p, node, value, _weight("kernel", kernel, array, change), vector)


def _times(factor: float) -> str:
    return "" if factor == 1 else f"times {factor:g}"


def _dense(p: Planner, node: Node, value: Tensor, kernel: Weight, bias: Weight | None) -> Value:
    inputs, units = kernel.array.shape
    if inputs != value.width:
        p.plan.problems.misshaped.append(
            f"{kernel.source} has shape {list(kernel.source_shape)}, but {node} reads {value.width} features"
        )
    weights = [kernel] if bias is None else [kernel, bias]
    return p.apply(node, value, "dense", units, weights=weights, units=units, use_bias=bias is not None)


def _weight(path: str, constant: Constant, array: np.ndarray | None = None, change: str = "") -> Weight:
    array = constant.array if array is None else array
    if array.dtype.kind != "f":
        raise ValueError(f"tensor {', '.join(constant.sources)} must hold floating-point numbers, got {constant.dtype}")
    return Weight(
        path, array.astype(np.float32), ", ".join(constant.sources), constant.array.shape, constant.dtype, change
    )


def _vector(node: Node, value: Value | None, width: int) -> Constant:
    """Return a constant of one number per feature; a single number is repeated."""
    if isinstance(value, Constant) and value.array.dtype.kind == "f":
        size = value.array.size
        if size == 1 or (size == width and value.array.shape[-1:] == (width,)):
            array = np.broadcast_to(value.array.reshape(-1), (width,))
            return Constant(array, value.sources, value.dtype)
    raise ValueError(f"{node}: it reads a constant that is neither one number nor {width} numbers, one per feature")


# === Arithmetic ===


@rule("Add", "Sub", "Mul", "Div", "Sum")
def _arithmetic(p: Planner, node: Node, inputs: Inputs) -> Value:
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    if len(tensors) == len(inputs) > 1:
        return _of_tensors(p, node, tensors)
    if len(inputs) != 2 or len(tensors) != 1:
        raise ValueError(f"{node}: it reads a value that is not supported")
    (value,) = tensors
    if value.axes[-1:] != ("f",) or "D" in value.axes or value.width is None:
        raise ValueError(f"{node}: arithmetic with constants is supported where features are last")
    first = inputs[0] is value
    vector = _vector(node, inputs[1] if first else inputs[0], value.width)
    if node.operator in ("Add", "Sum") and _completes_dense(p, node, value):
        return _with_bias(p, node, value, vector)
    scale, offset = _scale_and_offset(node, vector.array, first)
    return p.apply(node, value, "rescaling", scale=scale.tolist(), offset=offset.tolist())


def _scale_and_offset(node: Node, vector: np.ndarray, value_is_first: bool) -> tuple[np.ndarray, np.ndarray]:
    ones, zeros = np.ones_like(vector), np.zeros_like(vector)
    if node.operator in ("Add", "Sum"):
        return ones, vector
    if node.operator == "Mul":
        return vector, zeros
    if node.operator == "Sub":
        return (ones, -vector) if value_is_first else (-ones, vector)
    if not value_is_first:
        raise ValueError(f"{node}: division by a value is not supported")
    if not vector.all():
        raise ValueError(f"{node}: division by zero")
    return ones / vector, zeros


def _completes_dense(p: Planner, node: Node, value: Tensor) -> bool:
    """Return True if the value is that of a dense layer without bias which no other node reads."""
    step = p.plan.steps[value.step]
    names = [name for name, known in p.values.items() if known is value and name in node.inputs]
    return step.kind == "dense" and not step.config["use_bias"] and all(p.readers[name] == 1 for name in names)


def _with_bias(p: Planner, node: Node, value: Tensor, vector: Constant) -> Tensor:
    step = p.plan.steps[value.step]
    step.config["use_bias"] = True
    step.weights.append(_weight("bias", vector))
    step.observed = (node.output(0), value.axes) if is_layout(value.axes) else None
    return Tensor(value.step, value.axes, value.width)


def _of_tensors(p: Planner, node: Node, tensors: Sequence[Tensor]) -> Value:
    kinds = {"Add": "add", "Sum": "add", "Sub": "subtract", "Mul": "multiply"}
    if node.operator not in kinds:
        raise ValueError(f"{node}: division of two values is not supported")
    return _combined(p, node, tensors, kinds[node.operator], tensors[0].width)


def _combined(p: Planner, node: Node, tensors: Sequence[Tensor], kind: str, width: int | None) -> Tensor:
    """Append a step that reads several values of the same shape."""
    axes = tensors[0].axes
    same_width = kind == "concatenate" or len({value.width for value in tensors}) == 1
    if any(value.axes != axes for value in tensors) or None in (value.width for value in tensors) or not same_width:
        shapes = [f"({', '.join(value.axes)}) of {value.width} features" for value in tensors]
        raise ValueError(f"{node}: it combines values with different axes: {'; '.join(shapes)}")
    place = (node.output(0), axes) if is_layout(axes) else None
    names = [value.step for value in tensors]
    step = Step(p.unique(node.name, node.operator), kind, names, width, observed=place)
    return Tensor(p.add(step).name, axes, width)


@rule("Concat")
def _concat(p: Planner, node: Node, inputs: Inputs) -> Value:
    if any(isinstance(value, (Unavailable, Pieces)) for value in inputs):
        return Unavailable(f"the result of {node}")
    tensors = [p.tensor(node, value) for value in inputs]
    axis = _axis(node, node.attributes.get("axis", 0), len(tensors[0].axes))
    kinds = {value.axes[axis] if axis < len(value.axes) else "" for value in tensors}
    if kinds <= {"1", "D"}:
        return _stacked_states(p, node, tensors, axis)
    if kinds != {"f"} or any("D" in value.axes for value in tensors):
        raise ValueError(f"{node}: concatenation along the axes {sorted(kinds)} is not supported")
    joined = _joined_directions(p, tensors)
    if joined is not None:
        return joined
    return _combined(p, node, tensors, "concatenate", sum(value.width or 0 for value in tensors))


def _stacked_states(p: Planner, node: Node, tensors: Sequence[Tensor], axis: int) -> Value:
    """Return the final states of several layers, one entry per layer and direction."""
    parts = []
    for value in tensors:
        if value.axes[axis] == "1":
            parts.append(value)
        else:
            parts += [_entry(p, node, value, axis, index, keep=True) for index in (0, 1)]
    if any(part.axes != parts[0].axes for part in parts):
        raise ValueError(f"{node}: it combines values with different axes")
    return Pieces(tuple(parts), axis)


def _joined_directions(p: Planner, tensors: Sequence[Tensor]) -> Tensor | None:
    """Return the value whose two directions are concatenated, forward first, or None."""
    steps = [p.plan.steps[value.step] for value in tensors]
    if [step.kind for step in steps] != ["direction"] * 2 or [step.config["index"] for step in steps] != [0, 1]:
        return None
    if steps[0].inputs != steps[1].inputs or tensors[0].axes != tensors[1].axes:
        return None
    (source,) = steps[0].inputs
    return Tensor(source, tensors[0].axes, p.plan.steps[source].width)


# === Activations, normalization, pooling ===

ACTIVATIONS = {
    "Elu": ("elu", {"alpha": 1.0}),
    "HardSigmoid": ("hard_sigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "LeakyRelu": ("leaky_relu", {}),
    "LogSoftmax": ("log_softmax", {}),
    "Relu": ("relu", {}),
    "Sigmoid": ("sigmoid", {}),
    "Softmax": ("softmax", {}),
    "Softplus": ("softplus", {}),
    "Softsign": ("softsign", {}),
    "Tanh": ("tanh", {}),
}
"""{operator: (activation of Keras, numbers that it requires)}."""

DEFAULTS = {"Elu": {"alpha": 1.0}, "HardSigmoid": {"alpha": 0.2, "beta": 0.5}}


@rule(*ACTIVATIONS)
def _activation(p: Planner, node: Node, inputs: Inputs) -> Value:
    value = p.tensor(node, inputs[0])
    if value.width is None:
        raise ValueError(f"{node}: it reads ids")
    if node.operator == "LeakyRelu":
        return p.apply(node, value, "leaky_relu", negative_slope=node.attributes.get("alpha", 0.01))
    if node.operator in ("Softmax", "LogSoftmax"):
        _check_softmax(p, node, value)
    name, required = ACTIVATIONS[node.operator]
    given = {key: node.attributes.get(key, DEFAULTS[node.operator][key]) for key in required}
    if not np.allclose(list(given.values()), list(required.values()), atol=1e-6):
        raise ValueError(f"{node}: {given} is not supported; supported is {required}")
    return p.apply(node, value, "activation", activation=name)


def _check_softmax(p: Planner, node: Node, value: Tensor) -> None:
    """Raise a ValueError unless the axis is that of the features; before opset 13, the axes after it are included."""
    rank = len(value.axes)
    axis = _axis(node, node.attributes.get("axis", -1 if p.graph.opset >= 13 else 1), rank)
    if value.axes[axis] != "f" or "D" in value.axes or (p.graph.opset < 13 and axis != rank - 1):
        raise ValueError(f"{node}: its axis must be that of the features; {value.axes[axis]!r} is not supported")


@rule("LayerNormalization")
def _layer_normalization(p: Planner, node: Node, inputs: Inputs) -> Value:
    value = p.tensor(node, inputs[0])
    rank = len(value.axes)
    last = value.axes[-1] == "f" and _axis(node, node.attributes.get("axis", -1), rank) == rank - 1
    if not last or "D" in value.axes or value.width is None:
        raise ValueError(f"{node}: its axis must be that of the features")
    weights = [_weight("gamma", _vector(node, inputs[1], value.width))]
    center = len(inputs) > 2 and inputs[2] is not None
    if center:
        weights.append(_weight("beta", _vector(node, inputs[2], value.width)))
    epsilon = node.attributes.get("epsilon", 1e-5)
    return p.apply(node, value, "layer_normalization", weights=weights, epsilon=epsilon, center=center)


@rule("ReduceMean", "ReduceMax", "ReduceSum")
def _reduction(p: Planner, node: Node, inputs: Inputs) -> Value:
    value = p.tensor(node, inputs[0])
    axes = _axes_of(node, inputs, len(value.axes))
    kinds = [value.axes[axis] for axis in axes or []]
    keep = bool(node.attributes.get("keepdims", 1))
    if kinds == ["T"] and node.operator in ("ReduceMean", "ReduceMax"):
        reduced = p.apply(
            node, value, node.operator.removeprefix("Reduce").lower(), axes=_ones(value, "T"), observed=False
        )
    elif kinds == ["D"] and node.operator == "ReduceSum":
        halves = [_direction(p, node, value, index) for index in (0, 1)]
        reduced = _combined(p, node, halves, "add", halves[0].width)
        p.plan.steps[reduced.step].observed = None
    else:
        raise ValueError(f"{node}: supported are the mean and maximum over time and the sum of both directions")
    assert axes is not None
    return reduced if keep else _without(reduced, axes[0])


def _ones(value: Tensor, kind: str) -> Axes:
    return tuple("1" if axis == kind else axis for axis in value.axes)


@rule("Neg")
def _negative(p: Planner, node: Node, inputs: Inputs) -> Value:
    value = p.tensor(node, inputs[0])
    return p.apply(node, value, "rescaling", scale=-1.0, offset=0.0)


@rule("Expand")
def _expand(p: Planner, node: Node, inputs: Inputs) -> Value:
    if isinstance(inputs[0], Filled):
        return inputs[0]
    raise ValueError(f"{node}: expanding a value is not supported")
