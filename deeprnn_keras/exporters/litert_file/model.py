"""`make_file`: the LiteRT file of a program."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from typing_extensions import override

from deeprnn_keras.exporters.bidirectional import Pair
from deeprnn_keras.exporters.litert_file import masks
from deeprnn_keras.exporters.litert_file.arithmetic import (
    concatenate,
    dense,
    elementwise,
    mean,
    part,
    reshape,
    write_instructions,
)
from deeprnn_keras.exporters.litert_file.builder import ANY, FileBuilder, Tensor
from deeprnn_keras.exporters.litert_file.recurrences import (
    LSTM,
    fused_operator,
    write_bidirectional,
    write_fused,
    write_loop,
    write_step,
)
from deeprnn_keras.exporters.metadata import facts
from deeprnn_keras.exporters.padding import lengths_name
from deeprnn_keras.exporters.target import Options
from deeprnn_keras.exporters.translation import Translation
from deeprnn_keras.exporters.value_names import next_state, output_names
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

METADATA = "deeprnn_keras"
"""Name of the metadata: JSON."""


def make_file(program: Program, options: Options) -> bytes:
    """Return the file of a program.

    Its inputs are those of the program and, if `options.streaming`, the states of recurrences that are not fused
    operators; so are its outputs. If the Keras model reads a mask, the last input are the lengths of the sequences.
    """
    return _Writer(program, options).data()


class _Writer(Translation[Tensor]):
    """Tensors of the values of a program, (n, T, width)."""

    def __init__(self, program: Program, options: Options) -> None:
        self.lengths = lengths_name(program, options)
        super().__init__(program, options.streaming, padded=self.lengths is not None)
        self.options = options
        self.batch_size = options.batch_size or program.batch_size or 1
        self.file = FileBuilder(options.quantize is not None)
        self.graph = self.file.subgraph("main")
        self.before: dict[str, Tensor] = {}  # states before the step
        self.after: dict[str, Tensor] = {}  # and after it
        self.padding: masks.Padding | None = None
        fused = all(fused_operator(one) for one in program.operations if isinstance(one, op.Recurrence))
        self.steps = ANY if fused or not options.streaming else 1

    def data(self) -> bytes:
        """Return the file."""
        program, graph, n = self.program, self.graph, self.batch_size
        inputs = [
            graph.input(one.name, (n, self.steps), np.int32)
            if one.ids
            else graph.input(one.name, (n, self.steps, one.width))
            for one in program.inputs
        ]
        if self.lengths is not None:
            self.padding = masks.write_padding(graph, graph.input(self.lengths, (n,), np.int32), inputs[0])
        for name in passed_states(program, self.options):
            self.before[name] = graph.input(name, program.states[name].shape(n))
        for name, value in zip(output_names(program), self.translate(inputs), strict=True):
            self._output(value, name)
        for name, state in self.after.items():
            self._output(state, next_state(name))
        metadata = {**facts(program), "streaming": self.streaming}
        return self.file.data(program.name, {METADATA: json.dumps(metadata, ensure_ascii=False).encode()})

    def _output(self, tensor: Tensor, name: str) -> None:
        """Make a tensor an output; one that is an input, or an output already, is copied."""
        content = self.graph.content
        if tensor.index in content.inputs or tensor.index in content.outputs:
            tensor = reshape(self.graph, tensor, *tensor.shape)
        content.tensors[tensor.index].name = name
        content.outputs.append(tensor.index)

    def _weight(self, name: str) -> Tensor:
        return self.graph.weight(name, self.program.weights[name])

    # === Recurrences ===

    @override
    def recurrence(self, operation: op.Recurrence, x: Tensor) -> Tensor:
        graph, program = self.graph, self.program
        if fused_operator(operation) is not None:
            assert isinstance(operation, op.Recurrent)
            return write_fused(graph, program, operation, x, self.padding)
        if not self.streaming:
            return write_loop(graph, program, operation, x, self.padding)
        names = [state.name for state in operation.states]
        value, after = write_step(graph, program, operation, x, [self.before[name] for name in names])
        self.after.update(zip(names, after, strict=True))
        return value

    @override
    def bidirectional(self, pair: Pair, x: Tensor) -> list[Tensor]:
        if fused_operator(pair[0]) != LSTM or self.padding is not None:  # the operator reads no lengths
            return []
        return write_bidirectional(self.graph, self.program, pair, x)

    @override
    def zeroed(self, value: Tensor) -> Tensor:
        assert self.padding is not None
        return masks.write_zeros(self.graph, self.padding, value)

    @override
    def zero_without_steps(self, value: Tensor) -> Tensor:
        assert self.padding is not None
        first = part(self.graph, self.padding.mask, 0, 1, axis=1)
        return masks.select(self.graph, first, value, self.graph.constant([0.0]))

    # === Operations of each step ===

    @override
    def embedding(self, operation: op.Embedding, x: list[Tensor]) -> Tensor:
        (ids,) = x
        table = self._weight(operation.weight)
        return self.graph.apply("GATHER", [table, ids], (*ids.shape, operation.width), operation.name, options="Gather")

    @override
    def one_hot(self, operation: op.OneHot, x: list[Tensor]) -> Tensor:
        (ids,) = x
        numbers = [self.graph.constant(operation.width, np.int32), self.graph.constant(1.0), self.graph.constant(0.0)]
        shape = (*ids.shape, operation.width)
        return self.graph.apply("ONE_HOT", [ids, *numbers], shape, operation.name, options="OneHot", axis=-1)

    @override
    def dense(self, operation: op.Dense, x: list[Tensor]) -> Tensor:
        array = self.program.weights[operation.kernel]
        if operation.transposed:
            weight = self._weight(operation.kernel)
        else:
            weight = self.graph.matrix(f"{operation.kernel}/transposed", array.T)
        bias = None if operation.bias is None else self._weight(operation.bias)
        return dense(self.graph, x[0], weight, bias, operation.name)

    @override
    def elementwise(self, operation: op.Elementwise, x: list[Tensor]) -> Tensor:
        result = write_instructions(self.graph, operation.function, x, {})[operation.function.outputs[0]]
        assert result is not None
        return result

    @override
    def softmax(self, operation: op.Softmax, x: list[Tensor]) -> Tensor:
        if operation.logarithm:
            return self.graph.apply("LOG_SOFTMAX", x, x[0].shape, operation.name, options="LogSoftmax")
        return self.graph.apply("SOFTMAX", x, x[0].shape, operation.name, options="Softmax", beta=1.0)

    @override
    def scaled(self, value: Tensor, scale: str | None, offset: str | None) -> Tensor:
        if scale is not None:
            value = elementwise(self.graph, "multiply", value, self._weight(scale))
        return value if offset is None else elementwise(self.graph, "add", value, self._weight(offset))

    @override
    def normalized(self, operation: op.LayerNormalization, x: Tensor) -> Tensor:
        graph = self.graph
        centered = elementwise(graph, "subtract", x, mean(graph, x)) if operation.centered else x
        square = mean(graph, elementwise(graph, "multiply", centered, centered))
        root = elementwise(graph, "sqrt", elementwise(graph, "add", square, graph.constant([operation.epsilon])))
        return elementwise(graph, "divide", centered, root)

    # === Operations on several values or steps ===

    @override
    def concatenate(self, operation: op.Concatenate, x: list[Tensor]) -> Tensor:
        return concatenate(self.graph, x, operation.name)

    @override
    def add(self, operation: op.Add, x: list[Tensor]) -> Tensor:
        value = x[0]
        for other in x[1:]:
            value = elementwise(self.graph, "add", value, other)
        return value

    @override
    def reverse(self, operation: op.Reverse, x: list[Tensor]) -> Tensor:
        return masks.reverse(self.graph, x[0])

    @override
    def last(self, operation: op.Last, x: list[Tensor]) -> Tensor:
        shape = (x[0].shape[0], x[0].shape[-1])
        index = self.graph.constant([0, -1, 0], np.int32), self.graph.constant([0, 0, 0], np.int32)
        steps = self.graph.constant([1, 1, 1], np.int32)
        parts: dict[str, Any] = {"beginMask": 0b101, "endMask": 0b111, "shrinkAxisMask": 0b010}
        return self.graph.apply(
            "STRIDED_SLICE", [*x, *index, steps], shape, operation.name, options="StridedSlice", **parts
        )


def passed_states(program: Program, options: Options) -> list[str]:
    """Return the names of the states that are inputs and outputs of a file; the others are variables."""
    if not options.streaming:
        return []
    recurrences = [one for one in program.operations if isinstance(one, op.Recurrence) and not fused_operator(one)]
    return [state.name for operation in recurrences for state in operation.states]
