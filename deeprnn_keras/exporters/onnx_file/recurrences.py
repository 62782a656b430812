"""Recurrences as ONNX nodes: LSTM, GRU, and RNN, or a Scan over the traced equations.

Values are time-major, (T, n, width), as these operators read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from deeprnn_keras.equations.trace import Trace
from deeprnn_keras.exporters.bidirectional import Pair
from deeprnn_keras.exporters.onnx_file.graph import Graph
from deeprnn_keras.exporters.onnx_file.instructions import HARD_SIGMOID, write_instructions
from deeprnn_keras.exporters.onnx_file.masks import Padding
from deeprnn_keras.exporters.onnx_file.peepholes import as_lstm, in_order_of_onnx
from deeprnn_keras.exporters.quantization import to_int8
from deeprnn_keras.exporters.traced_steps import Weights, sequences_read, traced_step
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

ZERO_POINT = 128
"""Zero of the quantized weights. They are unsigned: with signed ones, products of ONNX Runtime overflow on CPUs without
VNNI instructions."""

OPERATORS = {"lstm": "LSTM", "gru": "GRU", "gru_reset_before": "GRU", "rnn": "RNN"}
"""{cell: operator}."""

ACTIVATIONS: dict[str, tuple[str, float | None, float | None]] = {
    "tanh": ("Tanh", None, None),
    "sigmoid": ("Sigmoid", None, None),
    "relu": ("Relu", None, None),
    "linear": ("Affine", 1.0, 0.0),
    "hard_sigmoid": ("HardSigmoid", *HARD_SIGMOID),
}
"""{activation of a standard cell: (name in ONNX, alpha, beta)}."""

LSTM_ORDER = (0, 3, 1, 2)
"""Positions of ONNX' gates i, o, f, c in Keras' order i, f, c, o."""


def is_fused(operation: op.Operation, streaming: bool) -> bool:
    """Return True if a recurrence is one operator of ONNX.

    A dilated layer is folded into one whose batch contains r sequences, for which T must be known to be whole.
    """
    has_operator = isinstance(operation, op.Recurrent) or as_lstm(operation) is not None
    return has_operator and isinstance(operation, op.Recurrence) and (operation.rate == 1 or not streaming)


def write_recurrence(
    graph: Graph,
    program: Program,
    operation: op.Recurrence,
    x: str,
    states: list[str],
    quantize: bool,
    padding: Padding | None = None,
) -> tuple[str, list[str]]:
    """Append a recurrence and return its value and, if it reads given states, the states after the last step.

    Args:
        graph: The graph.
        program: The program with the weights.
        operation: The recurrence.
        x: Its input, (T, n, inputs).
        states: Its states before the first step, as in `Program.states`; empty for the initial ones.
        quantize: Store the weights of an LSTM as int8.
        padding: Lengths of the sequences. In the padding, the states do not change and the value is the first state,
            as in Keras.
    """
    if not is_fused(operation, bool(states)):
        return _scan(graph, program, operation, x, states, padding)
    fused, peepholes = as_lstm(operation) or (operation, None)
    assert isinstance(fused, op.Recurrent)
    if fused.rate == 1:
        return _fused(graph, program, fused, x, states, quantize, padding, peepholes)
    return _folded(graph, program, fused, x, quantize, peepholes), []


# === One operator ===


def _fused(
    graph: Graph,
    program: Program,
    operation: op.Recurrent,
    x: str,
    states: list[str],
    quantize: bool,
    padding: Padding | None = None,
    peepholes: str | None = None,
) -> tuple[str, list[str]]:
    before = tuple(graph.node("Unsqueeze", one, graph.integers(0), name=f"{one}/before") for one in states)
    before = before or _initial_states(graph, program, (operation,), x)
    repeat = padding is not None and not operation.reverse  # zeros are right where no step has been read
    after = states or [one.name for one in operation.states][:repeat]
    y, *after = _operator(graph, program, (operation,), x, before, after, quantize, padding, peepholes)
    value = graph.node("Squeeze", y, graph.integers(1), name=operation.name)
    if padding is not None and repeat:
        return graph.node("Where", padding.mask, value, after[0]), []
    return value, [graph.node("Squeeze", state, graph.integers(0)) for state in after]


def write_bidirectional(
    graph: Graph, program: Program, pair: Pair, x: str, quantize: bool, padding: Padding | None = None
) -> list[str]:
    """Append two recurrences as one operator, and return their values; see `write_recurrence`."""
    after = [pair[0].states[0].name] if padding else []
    y, *after = _operator(graph, program, pair, x, _initial_states(graph, program, pair, x), after, quantize, padding)
    names = tuple(f"{one.name}/direction" for one in pair)
    values = [
        graph.node("Squeeze", value, graph.integers(1), name=one.name)
        for one, value in zip(pair, graph.nodes_of("Split", (y,), names, axis=1), strict=True)
    ]
    if padding is not None:
        last = graph.node("Gather", after[0], graph.constant(0, np.int64), axis=0)
        values[0] = graph.node("Where", padding.mask, values[0], last)
    return values


def _initial_states(graph: Graph, program: Program, operations: Sequence[op.Recurrent], x: str) -> tuple[str, ...]:
    """Append the learned states before the first step, (directions, n, width) each; none if they are zero."""
    first = operations[0]
    before = []
    for number, name in enumerate(first.initial):
        vectors = np.stack([program.weights[one.initial[number]][None] for one in operations])
        weight = graph.weight(f"{name}/directions", vectors, tuple(one.initial[number] for one in operations))
        sizes = graph.integers(len(operations)), graph.node("Shape", x, start=1, end=2), graph.integers(first.width)
        before.append(graph.node("Expand", weight, graph.node("Concat", *sizes, axis=0)))
    return tuple(before)


def _operator(
    graph: Graph,
    program: Program,
    operations: Sequence[op.Recurrent],
    x: str,
    before: tuple[str, ...],
    after: list[str],
    quantize: bool,
    padding: Padding | None,
    peepholes: str | None = None,
) -> list[str]:
    """Append one operator for one recurrence, or for a forward and a reverse one.

    Args:
        graph: The graph.
        program: The program with the weights.
        operations: The recurrences.
        x: Their input.
        before: Their states before the first step; empty for zero states.
        after: Names of the states after the last step to return.
        quantize: Store the weights as int8.
        padding: Lengths of the sequences.
        peepholes: Name in the program of the peepholes of an LSTM, (3h,).

    Returns:
        The values (T, directions, n, width), and the states (directions, n, width) after the last step, one for each
        name in `after`.
    """
    first, lengths = operations[0], padding.lengths if padding else ""
    attributes: dict[str, Any] = {"hidden_size": first.width, **_activations(first, len(operations))}
    if len(operations) > 1 or first.reverse:
        attributes["direction"] = "bidirectional" if len(operations) > 1 else "reverse"
    if quantize:
        operator, domain, inputs = "DynamicQuantizeLSTM", "com.microsoft", _quantized(graph, program, operations)
        inputs = (x, *inputs[:3], lengths, *(before or ("", "")), "", *inputs[3:])
    else:
        operator, domain = OPERATORS[first.cell], ""
        inputs = (x, *_weights(graph, program, operations), lengths, *before)
        if peepholes is not None:
            inputs = (*inputs, *[""] * (7 - len(inputs)), _peepholes(graph, program, peepholes))
        if first.cell in ("gru", "gru_reset_before"):
            attributes["linear_before_reset"] = int(first.cell == "gru")
    names = (f"{first.name}/directions", *(f"{state}/after" for state in after))
    return graph.nodes_of(operator, inputs, names, domain, **attributes)


def _activations(operation: op.Recurrent, directions: int) -> dict[str, Any]:
    """Return the attributes that select the activations; none for the defaults of ONNX."""
    gate, candidate = operation.recurrent_activation, operation.activation
    used = {"lstm": (gate, candidate, candidate), "rnn": (candidate,)}.get(operation.cell, (gate, candidate))
    if set(used) <= {"sigmoid", "tanh"} and candidate == "tanh" and gate == "sigmoid":
        return {}
    entries = [ACTIVATIONS[name] for name in used] * directions
    attributes: dict[str, Any] = {"activations": [name for name, _, _ in entries]}
    for number, key in enumerate(("activation_alpha", "activation_beta"), start=1):
        values = [entry[number] for entry in entries if entry[number] is not None]
        if values:
            attributes[key] = values
    return attributes


def _arrays(program: Program, operation: op.Recurrent) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return W (inputs, G h), U (h, G h), and the biases of both (2 G h,), with the gates in ONNX' order."""
    weights = program.weights
    bias = None if operation.bias is None else weights[operation.bias]
    if bias is not None and bias.ndim == 1:
        bias = np.stack([bias, np.zeros_like(bias)])
    w, u = weights[operation.kernel], weights[operation.recurrent_kernel]
    if operation.cell == "lstm":
        w, u, bias = _reordered(w), _reordered(u), None if bias is None else _reordered(bias)
    return w, u, None if bias is None else bias.reshape(-1)


def _reordered(array: np.ndarray) -> np.ndarray:
    gates = np.split(array, 4, axis=-1)
    return np.concatenate([gates[index] for index in LSTM_ORDER], axis=-1)


def _weights(graph: Graph, program: Program, operations: Sequence[op.Recurrent]) -> tuple[str, ...]:
    """Return the constants W (directions, G h, inputs), R (directions, G h, h), and B (directions, 2 G h).

    B is "" if there is no bias.
    """
    w, u, biases = zip(*(_arrays(program, one) for one in operations), strict=True)
    kernel = _constant(graph, operations, "kernel", [array.T for array in w])
    recurrent_kernel = _constant(graph, operations, "recurrent_kernel", [array.T for array in u])
    return kernel, recurrent_kernel, _bias(graph, operations, biases)


def _peepholes(graph: Graph, program: Program, name: str) -> str:
    """Return the constant P (1, 3 h)."""
    return graph.weight(name, in_order_of_onnx(program.weights[name])[None], ("P",))


def _constant(
    graph: Graph, operations: Sequence[op.Recurrent], field: str, arrays: Sequence[np.ndarray], suffix: str = ""
) -> str:
    """Return the constant with an array for each direction."""
    names = [getattr(one, field) for one in operations]
    return graph.weight(f"{names[0]}{suffix}", np.stack(arrays), (operations[0].cell, *names))


def _bias(graph: Graph, operations: Sequence[op.Recurrent], biases: Sequence[np.ndarray | None]) -> str:
    arrays = [one for one in biases if one is not None]
    return _constant(graph, operations, "bias", arrays) if arrays else ""


def _quantized(graph: Graph, program: Program, operations: Sequence[op.Recurrent]) -> tuple[str, ...]:
    """Return the constants of LSTMs with weights of 8 bits: W, R, B, and scale and zero point of W and of R."""
    w, u, biases = zip(*(_arrays(program, one) for one in operations), strict=True)
    constants: list[str] = []
    parameters: list[str] = []
    for field, arrays in (("kernel", w), ("recurrent_kernel", u)):
        integers, scales = zip(*(to_int8(array, axis=0) for array in arrays), strict=True)
        integers = [(one.astype(np.int16) + ZERO_POINT).astype(np.uint8) for one in integers]
        scales = [one.ravel() for one in scales]
        constants.append(_constant(graph, operations, field, integers, "/uint8"))
        parameters.append(_constant(graph, operations, field, scales, "/scale"))
        zeros = [np.full(one.shape, ZERO_POINT, np.uint8) for one in scales]
        parameters.append(_constant(graph, operations, field, zeros, "/zero_point"))
    return (*constants, _bias(graph, operations, biases), *parameters)


def _folded(
    graph: Graph, program: Program, operation: op.Recurrent, x: str, quantize: bool, peepholes: str | None
) -> str:
    """Append a dilated layer as one of T / r steps and r n rows; T is padded to a multiple of r."""
    rate = operation.rate
    steps = graph.node("Shape", x, start=0, end=1)
    count = graph.integers(rate)
    missing = graph.node("Mod", graph.node("Neg", steps), count)  # 0 to r - 1, with the sign of r
    rows = graph.node("Concat", missing, graph.node("Shape", x, start=1, end=3), axis=0)
    padding = graph.node("ConstantOfShape", rows, value=helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]))
    both = (padding, x) if operation.reverse else (x, padding)
    padded = graph.node("Concat", *both, axis=0)
    batch = graph.node("Mul", graph.node("Shape", x, start=1, end=2), count)
    width = program.widths[operation.inputs[0]]
    folded_shape = graph.node("Concat", graph.integers(-1), batch, graph.integers(width), axis=0)
    folded = graph.node("Reshape", padded, folded_shape)
    value, _ = _fused(graph, program, operation, folded, [], quantize, peepholes=peepholes)
    size = graph.node("Shape", x, start=1, end=2)
    shape = graph.node("Concat", graph.integers(-1), size, graph.integers(operation.width), axis=0)
    value = graph.node("Reshape", value, shape)
    start, stop = (missing, graph.node("Add", missing, steps)) if operation.reverse else (graph.integers(0), steps)
    return graph.node("Slice", value, start, stop, graph.integers(0), name=operation.name)


# === Scan ===


def _scan(
    graph: Graph, program: Program, operation: op.Recurrence, x: str, states: list[str], padding: Padding | None
) -> tuple[str, list[str]]:
    """Append a Scan whose body is the step; what depends on the input only is computed before it, for all steps."""
    trace, weights = traced_step(program, operation)
    known = write_instructions(graph, trace, [x, *[""] * (len(trace.inputs) - 1)], weights, stop=trace.projected)
    read = {index: graph.unique(f"{operation.name}/step") for index in sequences_read(trace)}
    mask = graph.unique(f"{operation.name}/mask") if padding else None
    body = graph.body()
    state_names = [graph.unique(f"{state.name}/state") for state in operation.states]
    values = [read.get(index, name) for index, name in enumerate(known)]
    results = _step(body, operation, trace, weights, values, state_names, mask)
    infos = [_info(name, *state.shape(1)[1:]) for name, state in zip(state_names, operation.states, strict=True)]
    infos += [_info(name, trace.widths[index]) for index, name in read.items()]
    outputs = [_info(name, *state.shape(1)[1:]) for name, state in zip(results, operation.states, strict=False)]
    outputs += [_info(results[-1], operation.width)]
    sequences = [known[index] for index in read]
    if padding is not None and mask is not None:
        infos.append(helper.make_tensor_value_info(mask, TensorProto.BOOL, [None, 1]))
        sequences.append(padding.mask)
    attributes: dict[str, Any] = {"num_scan_inputs": len(sequences)}
    attributes["body"] = helper.make_graph(body.nodes, f"{operation.name}/step", infos, outputs)
    if operation.reverse:
        attributes |= {"scan_input_directions": [1] * len(sequences), "scan_output_directions": [1]}
    before = states or [_initial(graph, program, x, state) for state in operation.states]
    names = (*(f"{state.name}/after" for state in operation.states), operation.name)
    *after, y = graph.nodes_of("Scan", (*before, *sequences), names, **attributes)
    return y, after if states else []


def _step(
    graph: Graph,
    operation: op.Recurrence,
    trace: Trace,
    weights: Weights,
    known: list[str],
    states: list[str],
    mask: str | None,
) -> list[str]:
    """Append one step and return the new states and the output; where the mask is False, the states do not change."""
    current = states
    if operation.rate > 1:
        current = [graph.node("Gather", name, graph.constant(0, np.int64), axis=1) for name in states]
    values = [known[0], *current, *known[len(trace.inputs) :]]
    values = write_instructions(graph, trace, values, weights, start=trace.projected)
    new = [values[index] for index in trace.outputs]
    if mask is not None:
        new = [graph.node("Where", mask, one, old) for one, old in zip(new, current, strict=True)]
    output = new[0]
    if operation.rate > 1:
        new = [_pushed(graph, name, one, operation.rate) for name, one in zip(states, new, strict=True)]
    return [graph.node("Identity", one) for one in (*new, output)]


def _pushed(graph: Graph, state: str, new: str, rate: int) -> str:
    """Append the removal of the oldest entry (n, width) of a state (n, r, width), and the addition of a new one."""
    return graph.node("Concat", graph.slice(state, 1, rate, 1), graph.node("Unsqueeze", new, graph.integers(1)), axis=1)


def _info(name: str, *shape: int) -> Any:  # noqa: ANN401 - a ValueInfoProto
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, *shape])


def _initial(graph: Graph, program: Program, x: str, state: op.State) -> str:
    """Append a state before the first step: zeros, or its learned value."""
    sizes = graph.integers(*state.shape(1)[1:])
    size = graph.node("Concat", graph.node("Shape", x, start=1, end=2), sizes, axis=0)
    if state.initial is not None:
        return graph.node("Expand", graph.weight(state.initial, program.weights[state.initial]), size)
    return graph.node("ConstantOfShape", size, value=helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]))
