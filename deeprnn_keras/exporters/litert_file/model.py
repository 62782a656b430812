"""`make_file`: the LiteRT file of a program."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

from deeprnn_keras.exporters.litert_file.arithmetic import (
    concatenate,
    dense,
    elementwise,
    mean,
    reshape,
    write_instructions,
)
from deeprnn_keras.exporters.litert_file.builder import ANY, FileBuilder, Tensor
from deeprnn_keras.exporters.litert_file.recurrences import (
    fused_operator,
    reverse,
    write_fused,
    write_loop,
    write_step,
)
from deeprnn_keras.exporters.target import Options
from deeprnn_keras.exporters.value_names import next_state, output_names
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

METADATA = "deeprnn_keras"
"""Name of the metadata: JSON."""


def make_file(program: Program, options: Options) -> bytes:
    """Return the file of a program.

    Its inputs are those of the program and, if `options.streaming`, the states of recurrences that are not fused
    operators; so are its outputs.
    """
    return _Writer(program, options).data()


class _Writer:
    def __init__(self, program: Program, options: Options) -> None:
        self.program, self.options = program, options
        self.batch_size = options.batch_size or program.batch_size or 1
        self.file = FileBuilder(options.quantize is not None)
        self.graph = self.file.subgraph("main")
        self.values: dict[str, Tensor] = {}
        self.states: dict[str, Tensor] = {}  # after the step
        fused = all(fused_operator(one) for one in program.operations if isinstance(one, op.Recurrence))
        self.steps = ANY if fused or not options.streaming else 1

    def data(self) -> bytes:
        """Return the file."""
        program, graph, n = self.program, self.graph, self.batch_size
        for one in program.inputs:
            shape, dtype = ((n, self.steps), np.int32) if one.ids else ((n, self.steps, one.width), np.float32)
            self.values[one.name] = graph.input(one.name, shape, dtype)
        before = {
            name: graph.input(name, program.states[name].shape(n)) for name in passed_states(program, self.options)
        }
        for operation in program.operations:
            inputs = [self.values[name] for name in operation.inputs]
            self.values[operation.name] = self._write(operation, inputs, before)
        for name, source in zip(output_names(program), program.outputs, strict=True):
            self._output(self.values[source], name)
        for name, state in self.states.items():
            self._output(state, next_state(name))
        facts = {"package": f"deeprnn-keras {version('deeprnn-keras')}", "name": program.name}
        facts |= {"streaming": self.options.streaming, **program.attributes}
        return self.file.data(program.name, {METADATA: json.dumps(facts, ensure_ascii=False).encode()})

    def _output(self, tensor: Tensor, name: str) -> None:
        """Make a tensor an output; one that is an input, or an output already, is copied."""
        content = self.graph.content
        if tensor.index in content.inputs or tensor.index in content.outputs:
            tensor = reshape(self.graph, tensor, *tensor.shape)
        content.tensors[tensor.index].name = name
        content.outputs.append(tensor.index)

    def _write(self, operation: op.Operation, inputs: list[Tensor], before: dict[str, Tensor]) -> Tensor:
        if isinstance(operation, op.Recurrence):
            return self._recurrence(operation, inputs[0], before)
        if isinstance(operation, op.Last) and self.options.streaming:
            return inputs[0]
        return _WRITERS[type(operation)](self, operation, inputs)

    def _recurrence(self, operation: op.Recurrence, x: Tensor, before: dict[str, Tensor]) -> Tensor:
        graph, program = self.graph, self.program
        if fused_operator(operation) is not None:
            assert isinstance(operation, op.Recurrent)
            return write_fused(graph, program, operation, x)
        if not self.options.streaming:
            return write_loop(graph, program, operation, x)
        names = [state.name for state in operation.states]
        value, after = write_step(graph, program, operation, x, [before[name] for name in names])
        self.states.update(zip(names, after, strict=True))
        return value

    def _weight(self, name: str) -> Tensor:
        return self.graph.weight(name, self.program.weights[name])

    # === Operations of each step ===

    def _embedding(self, operation: op.Embedding, inputs: list[Tensor]) -> Tensor:
        (ids,) = inputs
        table = self._weight(operation.weight)
        return self.graph.apply("GATHER", [table, ids], (*ids.shape, operation.width), operation.name, options="Gather")

    def _one_hot(self, operation: op.OneHot, inputs: list[Tensor]) -> Tensor:
        (ids,) = inputs
        numbers = [self.graph.constant(operation.width, np.int32), self.graph.constant(1.0), self.graph.constant(0.0)]
        shape = (*ids.shape, operation.width)
        return self.graph.apply("ONE_HOT", [ids, *numbers], shape, operation.name, options="OneHot", axis=-1)

    def _dense(self, operation: op.Dense, inputs: list[Tensor]) -> Tensor:
        array = self.program.weights[operation.kernel]
        if operation.transposed:
            weight = self._weight(operation.kernel)
        else:
            weight = self.graph.matrix(f"{operation.kernel}/transposed", array.T)
        bias = None if operation.bias is None else self._weight(operation.bias)
        return dense(self.graph, inputs[0], weight, bias, operation.name)

    def _elementwise(self, operation: op.Elementwise, inputs: list[Tensor]) -> Tensor:
        result = write_instructions(self.graph, operation.function, inputs, {})[operation.function.outputs[0]]
        assert result is not None
        return result

    def _softmax(self, operation: op.Softmax, inputs: list[Tensor]) -> Tensor:
        (x,) = inputs
        if operation.logarithm:
            return self.graph.apply("LOG_SOFTMAX", [x], x.shape, operation.name, options="LogSoftmax")
        return self.graph.apply("SOFTMAX", [x], x.shape, operation.name, options="Softmax", beta=1.0)

    def _scale(self, operation: op.Scale, inputs: list[Tensor]) -> Tensor:
        return self._scaled(inputs[0], operation.scale, operation.offset)

    def _scaled(self, value: Tensor, scale: str | None, offset: str | None) -> Tensor:
        if scale is not None:
            value = elementwise(self.graph, "multiply", value, self._weight(scale))
        return value if offset is None else elementwise(self.graph, "add", value, self._weight(offset))

    def _layer_normalization(self, operation: op.LayerNormalization, inputs: list[Tensor]) -> Tensor:
        graph, (centered,) = self.graph, inputs
        if operation.centered:
            centered = elementwise(graph, "subtract", centered, mean(graph, centered))
        square = mean(graph, elementwise(graph, "multiply", centered, centered))
        root = elementwise(graph, "sqrt", elementwise(graph, "add", square, graph.constant([operation.epsilon])))
        return self._scaled(elementwise(graph, "divide", centered, root), operation.gamma, operation.beta)

    # === Operations on several values or steps ===

    def _concatenate(self, operation: op.Concatenate, inputs: list[Tensor]) -> Tensor:
        return concatenate(self.graph, inputs, operation.name)

    def _add(self, operation: op.Add, inputs: list[Tensor]) -> Tensor:
        value = inputs[0]
        for other in inputs[1:]:
            value = elementwise(self.graph, "add", value, other)
        return value

    def _reverse(self, operation: op.Reverse, inputs: list[Tensor]) -> Tensor:
        return reverse(self.graph, inputs[0])

    def _last(self, operation: op.Last, inputs: list[Tensor]) -> Tensor:
        (x,) = inputs
        shape = (x.shape[0], x.shape[-1])
        index = self.graph.constant([0, -1, 0], np.int32), self.graph.constant([0, 0, 0], np.int32)
        steps = self.graph.constant([1, 1, 1], np.int32)
        masks: dict[str, Any] = {"beginMask": 0b101, "endMask": 0b111, "shrinkAxisMask": 0b010}
        return self.graph.apply(
            "STRIDED_SLICE", [x, *index, steps], shape, operation.name, options="StridedSlice", **masks
        )


def passed_states(program: Program, options: Options) -> list[str]:
    """Return the names of the states that are inputs and outputs of a file; the others are variables."""
    if not options.streaming:
        return []
    recurrences = [one for one in program.operations if isinstance(one, op.Recurrence) and not fused_operator(one)]
    return [state.name for operation in recurrences for state in operation.states]


_WRITERS: dict[type[op.Operation], Callable[..., Tensor]] = {
    op.Embedding: _Writer._embedding,
    op.OneHot: _Writer._one_hot,
    op.Dense: _Writer._dense,
    op.Elementwise: _Writer._elementwise,
    op.Softmax: _Writer._softmax,
    op.Scale: _Writer._scale,
    op.LayerNormalization: _Writer._layer_normalization,
    op.Concatenate: _Writer._concatenate,
    op.Add: _Writer._add,
    op.Reverse: _Writer._reverse,
    op.Last: _Writer._last,
}
