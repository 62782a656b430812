"""Recurrences as operators of LiteRT: fused ones with variables, and steps of built-in arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from deeprnn_keras.equations.trace import Trace
from deeprnn_keras.exporters.bidirectional import Pair
from deeprnn_keras.exporters.litert_file.arithmetic import (
    concatenate,
    elementwise,
    number_of_steps,
    part,
    reshape,
    write_instructions,
)
from deeprnn_keras.exporters.litert_file.builder import ANY, Subgraph, Tensor
from deeprnn_keras.exporters.litert_file.masks import Padding, reverse, select, write_repeated, write_zeros
from deeprnn_keras.exporters.traced_steps import Weights, sequences_read, traced_step
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

LSTM, RNN = "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"
BIDIRECTIONAL_LSTM = "BIDIRECTIONAL_SEQUENCE_LSTM"

ACTIVATIONS = {
    "tanh": schema.ActivationFunctionType.TANH,
    "relu": schema.ActivationFunctionType.RELU,
    "linear": schema.ActivationFunctionType.NONE,
}
"""{activation of a simple RNN: its number}."""

HYBRID_VERSION, HYBRID_BIDIRECTIONAL_VERSION = 2, 3
"""Versions of fused operators with weights of 8 bits and activations of 32 bits."""

ABSENT: list[Tensor | None] = [None]
NUM_PEEPHOLES, NUM_PROJECTIONS, NUM_NORMALIZATIONS, NUM_AUXILIARIES = 3, 2, 4, 9
"""Inputs of the LSTM operators that are absent."""


# === Fused operators ===


def fused_operator(operation: op.Operation) -> str | None:
    """Return the operator that is a recurrence, or None; the variables of operators start at zero."""
    if not isinstance(operation, op.Recurrent) or operation.rate > 1 or operation.initial:
        return None
    if operation.cell == "lstm" and (operation.activation, operation.recurrent_activation) == ("tanh", "sigmoid"):
        return LSTM
    return RNN if operation.cell == "rnn" and operation.activation in ACTIVATIONS else None


def write_fused(
    graph: Subgraph, program: Program, operation: op.Recurrent, x: Tensor, padding: Padding | None = None
) -> Tensor:
    """Append a recurrence as one operator whose states are variables, and return its value."""
    if operation.reverse:
        x = reverse(graph, x, padding)
    write = _lstm if operation.cell == "lstm" else _rnn
    y = write(graph, program, operation, x)
    if operation.reverse:
        y = reverse(graph, y, padding)
    if padding is None:
        return y
    return write_zeros(graph, padding, y) if operation.reverse else write_repeated(graph, padding, y)


def _variables(graph: Subgraph, operation: op.Recurrent, x: Tensor) -> list[Tensor]:
    return [graph.tensor(state.name, (x.shape[0], state.width), variable=True) for state in operation.states]


def _version(graph: Subgraph) -> int:
    return HYBRID_VERSION if graph.file.quantize else 1


def _bias(program: Program, operation: op.Recurrent, gates: int) -> np.ndarray:
    zeros = np.zeros(gates * operation.width, np.float32)
    return zeros if operation.bias is None else program.weights[operation.bias]


def _rnn(graph: Subgraph, program: Program, operation: op.Recurrent, x: Tensor) -> Tensor:
    arrays = {name: program.weights[name].T for name in (operation.kernel, operation.recurrent_kernel)}
    weights = [graph.matrix(f"{name}/transposed", array, per_output=False) for name, array in arrays.items()]
    bias = graph.weight(operation.bias or f"{operation.name}/bias", _bias(program, operation, 1))
    inputs = [x, *weights, bias, *_variables(graph, operation, x)]
    activation = ACTIVATIONS[operation.activation]
    shape = (*x.shape[:-1], operation.width)
    return graph.apply(
        RNN,
        inputs,
        shape,
        operation.name,
        options="SequenceRNN",
        version=_version(graph),
        fusedActivationFunction=activation,
    )


def _lstm(graph: Subgraph, program: Program, operation: op.Recurrent, x: Tensor) -> Tensor:
    inputs = [x, *_lstm_weights(graph, program, operation), *_variables(graph, operation, x)]
    return graph.apply(
        LSTM,
        [*inputs, *ABSENT * NUM_NORMALIZATIONS],
        (*x.shape[:-1], operation.width),
        operation.name,
        options="UnidirectionalSequenceLSTM",
        version=_version(graph),
        fusedActivationFunction=schema.ActivationFunctionType.TANH,
    )


def write_bidirectional(graph: Subgraph, program: Program, pair: Pair, x: Tensor) -> list[Tensor]:
    """Append two LSTMs as one operator whose states are variables, and return their values."""
    weights = [one for operation in pair for one in _lstm_weights(graph, program, operation)]
    states = [one for operation in pair for one in _variables(graph, operation, x)]
    results = [graph.tensor(one.name, (*x.shape[:-1], one.width)) for one in pair]
    graph.append(
        BIDIRECTIONAL_LSTM,
        [x, *weights, *states, *ABSENT * NUM_AUXILIARIES],
        results,
        options="BidirectionalSequenceLSTM",
        version=HYBRID_BIDIRECTIONAL_VERSION if graph.file.quantize else 1,
        fusedActivationFunction=schema.ActivationFunctionType.TANH,
        timeMajor=False,
    )
    return results


def _lstm_weights(graph: Subgraph, program: Program, operation: op.Recurrent) -> list[Tensor | None]:
    """Return the weights of an LSTM as inputs of an operator; the order of the gates i, f, c, o is that of Keras."""
    weights = [
        graph.matrix(f"{name}/gate_{number}", gate.T, per_output=False)
        for name in (operation.kernel, operation.recurrent_kernel)
        for number, gate in enumerate(np.split(program.weights[name], 4, axis=1))
    ]
    name = operation.bias or f"{operation.name}/bias"
    biases = [
        graph.weight(f"{name}/gate_{number}", gate)
        for number, gate in enumerate(np.split(_bias(program, operation, 4), 4))
    ]
    return [*weights, *ABSENT * NUM_PEEPHOLES, *biases, *ABSENT * NUM_PROJECTIONS]


# === Steps of built-in arithmetic ===


def write_step(
    graph: Subgraph, program: Program, operation: op.Recurrence, x: Tensor, states: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Append one step of a recurrence, (n, 1, inputs) to (n, 1, width), and return its value and its new states."""
    trace, weights = traced_step(program, operation)
    x = reshape(graph, x, x.shape[0], x.shape[-1])
    y, after = _step(graph, operation, trace, weights, [x], states, start=0)
    return reshape(graph, y, x.shape[0], 1, operation.width, name=operation.name), after


def _step(
    graph: Subgraph,
    operation: op.Recurrence,
    trace: Trace,
    weights: Weights,
    known: Sequence[Tensor | None],
    states: Sequence[Tensor],
    start: int,
    mask: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Append the instructions from `start` on, and return h and the states.

    `known` has x and the results of the instructions before. Where the mask is False, the states do not change.
    """
    current = [_oldest(graph, state) for state in states] if operation.rate > 1 else list(states)
    values = write_instructions(graph, trace, [known[0], *current, *known[1:]], weights, start=start)
    new = [value for value in (values[index] for index in trace.outputs) if value is not None]
    if mask is not None:
        new = [select(graph, mask, one, state) for one, state in zip(new, current, strict=True)]
    if operation.rate == 1:
        return new[0], new
    return new[0], [_pushed(graph, state, one) for state, one in zip(states, new, strict=True)]


def _oldest(graph: Subgraph, state: Tensor) -> Tensor:
    return reshape(graph, part(graph, state, 0, 1, axis=1), state.shape[0], state.shape[-1])


def _pushed(graph: Subgraph, state: Tensor, new: Tensor) -> Tensor:
    """Append the removal of the oldest entry (n, width) of a state (n, r, width), and the addition of a new one."""
    n, rate, width = state.shape
    return concatenate(graph, [part(graph, state, 1, rate - 1, axis=1), reshape(graph, new, n, 1, width)], axis=1)


# === Loops over whole sequences ===


def write_loop(
    graph: Subgraph, program: Program, operation: op.Recurrence, x: Tensor, padding: Padding | None = None
) -> Tensor:
    """Append a WHILE over the steps, from the initial states; what depends on the input only is computed before it.

    The variables of the loop are the number of the step, the number of steps, the sequences that it reads, the mask if
    there is padding, the states, and the value.
    """
    trace, weights = traced_step(program, operation)
    known = write_instructions(graph, trace, [x, *[None] * (len(trace.inputs) - 1)], weights, stop=trace.projected)
    read = sequences_read(trace)
    n, width = x.shape[0], operation.width
    steps = number_of_steps(graph, x)
    count = reshape(graph, steps)
    first = _moved(graph, count, -1) if operation.reverse else graph.constant(0, np.int32)
    states = [_initial(graph, program, one, n) for one in operation.states]
    shape = concatenate(graph, [graph.constant([n], np.int32), steps, graph.constant([width], np.int32)])
    y = graph.apply("FILL", [shape, graph.constant(0.0)], (n, ANY, width), options="Fill")
    sequences = [_known(known[index]) for index in read] + ([padding.mask] if padding else [])
    variables = [first, count, *sequences, *states, y]
    loop = _Loop(graph, operation, trace, weights, known, read, variables)
    results = [graph.tensor(f"{operation.name}/{number}", one.shape, one.dtype) for number, one in enumerate(variables)]
    graph.append(
        "WHILE",
        variables,
        results,
        options="While",
        condSubgraphIndex=loop.condition().number,
        bodySubgraphIndex=loop.body().number,
    )
    return results[-1]


def _initial(graph: Subgraph, program: Program, state: op.State, batch_size: int) -> Tensor:
    """Return a state before the first step: zeros, or its learned value."""
    values = np.zeros(state.shape(batch_size), np.float32)
    if state.initial is None:
        return graph.weight(f"{state.name}/zeros", values)
    return graph.weight(f"{state.name}/rows", values + program.weights[state.initial])


def _known(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


def _moved(graph: Subgraph, step: Tensor, number: int) -> Tensor:
    return elementwise(graph, "add", step, graph.constant(number, np.int32))


class _Loop:
    """The subgraphs of a WHILE."""

    def __init__(
        self,
        graph: Subgraph,
        operation: op.Recurrence,
        trace: Trace,
        weights: Weights,
        known: list[Tensor | None],
        read: list[int],
        variables: list[Tensor],
    ) -> None:
        self.graph, self.operation, self.trace, self.weights = graph, operation, trace, weights
        self.known, self.read, self.variables = known, read, variables

    def _subgraph(self, name: str) -> tuple[Subgraph, list[Tensor]]:
        graph = self.graph.file.subgraph(f"{self.operation.name}/{name}")
        inputs = [graph.input(f"variable_{number}", one.shape, one.dtype) for number, one in enumerate(self.variables)]
        return graph, inputs

    def condition(self) -> Subgraph:
        """Return the condition: another step follows."""
        graph, (step, count, *_) = self._subgraph("condition")
        if self.operation.reverse:
            operands, operator, options = [step, graph.constant(0, np.int32)], "GREATER_EQUAL", "GreaterEqual"
        else:
            operands, operator, options = [step, count], "LESS", "Less"
        result = graph.apply(operator, operands, (), dtype=np.bool_, options=options)
        graph.content.outputs.append(result.index)
        return graph

    def body(self) -> Subgraph:
        """Return the body: one step."""
        operation, trace = self.operation, self.trace
        graph, (step, count, *others) = self._subgraph("body")
        number = len(others) - 1 - len(operation.states)
        sequences, states, y = others[:number], others[number:-1], others[-1]
        at_step = [
            graph.apply("GATHER", [one, step], (one.shape[0], one.shape[-1]), "", one.dtype, "Gather", axis=1)
            for one in sequences
        ]
        current = dict(zip(self.read, at_step, strict=False))
        mask = at_step[-1] if number > len(self.read) else None
        skipped = len(trace.inputs) - 1
        known = [current.get(index, value) for index, value in enumerate(self.known) if not 1 <= index <= skipped]
        h, after = _step(graph, operation, trace, self.weights, known, states, trace.projected, mask)
        after = [self._copied(graph, one) for one in after]
        zero = graph.constant([0], np.int32)
        position = concatenate(graph, [zero, reshape(graph, step, 1), zero])
        update = reshape(graph, h, h.shape[0], 1, operation.width)
        y = graph.apply("DYNAMIC_UPDATE_SLICE", [y, update, position], y.shape, options="DynamicUpdateSlice")
        following = _moved(graph, step, -1 if operation.reverse else 1)
        graph.content.outputs += [one.index for one in (following, count, *sequences, *after, y)]
        return graph

    @staticmethod
    def _copied(graph: Subgraph, tensor: Tensor) -> Tensor:
        """Return a tensor, or a copy of an input: the runtime stores the states one after the other."""
        return reshape(graph, tensor, *tensor.shape) if tensor.index in graph.content.inputs else tensor
