"""Recurrences as operators of LiteRT: fused ones with variables, and steps of built-in arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from deeprnn_keras.equations.trace import Trace
from deeprnn_keras.exporters.litert_file.arithmetic import concatenate, part, reshape, write_instructions
from deeprnn_keras.exporters.litert_file.builder import ANY, Subgraph, Tensor
from deeprnn_keras.exporters.traced_steps import Weights, sequences_read, traced_step
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

LSTM, RNN = "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"

ACTIVATIONS = {
    "tanh": schema.ActivationFunctionType.TANH,
    "relu": schema.ActivationFunctionType.RELU,
    "linear": schema.ActivationFunctionType.NONE,
}
"""{activation of a simple RNN: its number}."""

HYBRID_VERSION = 2
"""Version of fused operators with weights of 8 bits and activations of 32 bits."""

NUM_PEEPHOLES, NUM_PROJECTIONS, NUM_NORMALIZATIONS = 3, 2, 4
"""Inputs of the LSTM operator that are absent."""


# === Fused operators ===


def fused_operator(operation: op.Operation) -> str | None:
    """Return the operator that is a recurrence, or None."""
    if not isinstance(operation, op.Recurrent) or operation.rate > 1:
        return None
    if operation.cell == "lstm" and (operation.activation, operation.recurrent_activation) == ("tanh", "sigmoid"):
        return LSTM
    return RNN if operation.cell == "rnn" and operation.activation in ACTIVATIONS else None


def write_fused(graph: Subgraph, program: Program, operation: op.Recurrent, x: Tensor) -> Tensor:
    """Append a recurrence as one operator whose states are variables, and return its value."""
    if operation.reverse:
        x = reverse(graph, x)
    y = _lstm(graph, program, operation, x) if operation.cell == "lstm" else _rnn(graph, program, operation, x)
    return reverse(graph, y) if operation.reverse else y


def reverse(graph: Subgraph, x: Tensor) -> Tensor:
    """Append the reversal of the steps."""
    return graph.apply("REVERSE_V2", [x, graph.constant([1], np.int32)], x.shape, options="ReverseV2")


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
    """Append an LSTM; the order of the gates i, f, c, o is that of Keras."""
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
    absent: list[Tensor | None] = [None]
    inputs = [x, *weights, *absent * NUM_PEEPHOLES, *biases, *absent * NUM_PROJECTIONS]
    inputs += [*_variables(graph, operation, x), *absent * NUM_NORMALIZATIONS]
    return graph.apply(
        LSTM,
        inputs,
        (*x.shape[:-1], operation.width),
        operation.name,
        options="UnidirectionalSequenceLSTM",
        version=_version(graph),
        fusedActivationFunction=schema.ActivationFunctionType.TANH,
    )


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
) -> tuple[Tensor, list[Tensor]]:
    """Append the instructions from `start` on; `known` has x and the results of those before. Return h and states."""
    current = [_oldest(graph, state) for state in states] if operation.rate > 1 else list(states)
    values = write_instructions(graph, trace, [known[0], *current, *known[1:]], weights, start=start)
    new = [value for value in (values[index] for index in trace.outputs) if value is not None]
    if operation.rate == 1:
        return new[0], new
    return new[0], [_pushed(graph, state, one) for state, one in zip(states, new, strict=True)]


def _oldest(graph: Subgraph, state: Tensor) -> Tensor:
    return reshape(graph, part(graph, state, 0, 1, axis=1), state.shape[0], state.shape[-1])


def _pushed(graph: Subgraph, state: Tensor, new: Tensor) -> Tensor:
    """Append the removal of the oldest entry (n, h) of a state (n, r, h), and the addition of a new one."""
    n, rate, width = state.shape
    return concatenate(graph, [part(graph, state, 1, rate - 1, axis=1), reshape(graph, new, n, 1, width)], axis=1)


# === Loops over whole sequences ===


def write_loop(graph: Subgraph, program: Program, operation: op.Recurrence, x: Tensor) -> Tensor:
    """Append a WHILE over the steps, from zero states; what depends on the input only is computed before it.

    The variables of the loop are the number of the step, the number of steps, the sequences that it reads, the states,
    and the value.
    """
    trace, weights = traced_step(program, operation)
    known = write_instructions(graph, trace, [x, *[None] * (len(trace.inputs) - 1)], weights, stop=trace.projected)
    read = sequences_read(trace)
    n, width = x.shape[0], operation.width
    sizes = graph.apply("SHAPE", [x], (3,), dtype=np.int32, options="Shape", outType=schema.TensorType.INT32)
    count = reshape_integers(graph, part_of_integers(graph, sizes, 1), ())
    first = graph.constant(0, np.int32)
    if operation.reverse:
        first = _add(graph, count, -1)
    states = [graph.weight(f"{one.name}/zeros", np.zeros(one.shape(n), np.float32)) for one in operation.states]
    shape = [graph.constant([n], np.int32), part_of_integers(graph, sizes, 1), graph.constant([width], np.int32)]
    dims = _concatenated_integers(graph, shape)
    y = graph.apply("FILL", [dims, graph.constant(0.0)], (n, ANY, width), options="Fill")
    variables = [first, count, *(_known(known[index]) for index in read), *states, y]
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


def _known(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


def part_of_integers(graph: Subgraph, sizes: Tensor, index: int) -> Tensor:
    """Append the selection of one integer of a vector, as a vector."""
    where = [graph.constant([one], np.int32) for one in (index, 1)]
    return graph.apply("SLICE", [sizes, *where], (1,), dtype=np.int32, options="Slice")


def reshape_integers(graph: Subgraph, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Append a reshape of integers."""
    sizes = graph.constant(np.asarray(shape, np.int32), np.int32)
    return graph.apply("RESHAPE", [value, sizes], shape, dtype=np.int32, options="Reshape", newShape=list(shape))


def _concatenated_integers(graph: Subgraph, values: Sequence[Tensor]) -> Tensor:
    return graph.apply("CONCATENATION", values, (len(values),), dtype=np.int32, options="Concatenation", axis=0)


def _add(graph: Subgraph, value: Tensor, number: int) -> Tensor:
    return graph.apply("ADD", [value, graph.constant(number, np.int32)], (), dtype=np.int32, options="Add")


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
        sequences, states, y = others[: len(self.read)], others[len(self.read) : -1], others[-1]
        current = {
            index: graph.apply("GATHER", [one, step], (one.shape[0], one.shape[-1]), options="Gather", axis=1)
            for index, one in zip(self.read, sequences, strict=True)
        }
        skipped = len(trace.inputs) - 1
        known = [current.get(index, value) for index, value in enumerate(self.known) if not 1 <= index <= skipped]
        h, after = _step(graph, operation, trace, self.weights, known, states, start=trace.projected)
        after = [self._copied(graph, one) for one in after]
        zero = graph.constant([0], np.int32)
        position = _concatenated_integers(graph, [zero, reshape_integers(graph, step, (1,)), zero])
        update = reshape(graph, h, h.shape[0], 1, operation.width)
        y = graph.apply("DYNAMIC_UPDATE_SLICE", [y, update, position], y.shape, options="DynamicUpdateSlice")
        following = _add(graph, step, -1 if operation.reverse else 1)
        graph.content.outputs += [one.index for one in (following, count, *sequences, *after, y)]
        return graph

    @staticmethod
    def _copied(graph: Subgraph, tensor: Tensor) -> Tensor:
        """Return a tensor, or a copy of an input: the runtime stores the states one after the other."""
        return reshape(graph, tensor, *tensor.shape) if tensor.index in graph.content.inputs else tensor
