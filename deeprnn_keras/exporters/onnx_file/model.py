"""`make_model`: the ONNX model of a program."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, checker, helper

from deeprnn_keras.exporters.onnx_file.graph import IR_VERSION, OPSET, Graph
from deeprnn_keras.exporters.onnx_file.instructions import write_instructions
from deeprnn_keras.exporters.onnx_file.masks import (
    Padding,
    lengths_name,
    write_padding,
    write_zeros,
    zeroed_recurrences,
)
from deeprnn_keras.exporters.onnx_file.recurrences import write_recurrence
from deeprnn_keras.exporters.target import Options
from deeprnn_keras.exporters.value_names import next_state, output_names
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

PREFIX = "deeprnn_keras."
"""Prefix of the keys of the metadata."""


def make_model(program: Program, options: Options) -> ModelProto:
    """Return the model of a program, checked.

    Its inputs are those of the program, followed by the states if `options.streaming`; so are its outputs. If the
    Keras model reads a mask, the last input are the lengths of the sequences.
    """
    return _Writer(program, options).model()


@dataclass
class _Writer:
    program: Program
    options: Options
    values: dict[str, str] = field(default_factory=dict)  # {value of the program: value of the graph, time-major}
    states: dict[str, str] = field(default_factory=dict)  # {state: its value after the last step}
    zeros: dict[str, str] = field(default_factory=dict)  # {value: the value with zeros in the padding}
    padding: Padding | None = None

    def __post_init__(self) -> None:
        program = self.program
        names = [one.name for one in program.inputs] + output_names(program)
        if self.options.streaming:
            names += [*program.states, *map(next_state, program.states)]
        self.lengths, self.zeroed = lengths_name(program, self.options), zeroed_recurrences(program)
        self.graph = Graph((*names, *([self.lengths] if self.lengths else [])))

    def model(self) -> ModelProto:
        """Return the model."""
        graph, program = self.graph, self.program
        for one in program.inputs:
            self.values[one.name] = graph.node("Transpose", one.name, perm=[1, 0] if one.ids else [1, 0, 2])
        if self.lengths is not None:
            self.padding = write_padding(graph, self.lengths, self.values[program.inputs[0].name])
        for operation in program.operations:
            read = self.values.__getitem__ if isinstance(operation, op.Last) else self._value
            self.values[operation.name] = self._write(operation, [read(name) for name in operation.inputs])
        names = output_names(program)
        for name, source in zip(names, program.outputs, strict=True):
            if self._is_vector(source):
                graph.publish(self._value(source), name)
            else:
                graph.output("Transpose", self._value(source), name, perm=[1, 0, 2])
        for name, value in self.states.items():
            graph.publish(value, next_state(name))
        return self._finished(names)

    def _value(self, name: str) -> str:
        """Return a value as all operations but `Last` read it."""
        if self.padding is None or name not in self.zeroed:
            return self.values[name]
        if name not in self.zeros:
            self.zeros[name] = write_zeros(self.graph, self.padding, self.values[name])
        return self.zeros[name]

    def _is_vector(self, name: str) -> bool:
        return name in self.program.final and not self.options.streaming

    def _write(self, operation: op.Operation, inputs: list[str]) -> str:
        if isinstance(operation, op.Recurrence):
            before = [state.name for state in operation.states] if self.options.streaming else []
            quantize = self.options.quantize is not None
            value, after = write_recurrence(
                self.graph, self.program, operation, inputs[0], before, quantize, self.padding
            )
            self.states.update(zip(before, after, strict=True))
            return value
        if isinstance(operation, op.Last) and self.options.streaming:
            return inputs[0]
        return _WRITERS[type(operation)](self, operation, inputs)

    def _weight(self, name: str) -> str:
        return self.graph.weight(name, self.program.weights[name])

    # === Operations of each step ===

    def _embedding(self, operation: op.Embedding, inputs: list[str]) -> str:
        return self.graph.node("Gather", self._weight(operation.weight), *inputs, name=operation.name)

    def _one_hot(self, operation: op.OneHot, inputs: list[str]) -> str:
        depth, values = self.graph.constant(operation.width, np.int32), self.graph.constant([0.0, 1.0])
        return self.graph.node("OneHot", *inputs, depth, values, name=operation.name)

    def _dense(self, operation: op.Dense, inputs: list[str]) -> str:
        kernel = self._weight(operation.kernel)
        if operation.transposed:
            kernel = self.graph.node("Transpose", kernel, perm=[1, 0])
        value = self.graph.node("MatMul", *inputs, kernel, name=operation.name)
        return value if operation.bias is None else self.graph.node("Add", value, self._weight(operation.bias))

    def _elementwise(self, operation: op.Elementwise, inputs: list[str]) -> str:
        return write_instructions(self.graph, operation.function, inputs, {})[operation.function.outputs[0]]

    def _softmax(self, operation: op.Softmax, inputs: list[str]) -> str:
        operator = "LogSoftmax" if operation.logarithm else "Softmax"
        return self.graph.node(operator, *inputs, name=operation.name, axis=-1)

    def _scale(self, operation: op.Scale, inputs: list[str]) -> str:
        return self._scaled(inputs[0], operation.scale, operation.offset)

    def _scaled(self, value: str, scale: str | None, offset: str | None) -> str:
        if scale is not None:
            value = self.graph.node("Mul", value, self._weight(scale))
        return value if offset is None else self.graph.node("Add", value, self._weight(offset))

    def _layer_normalization(self, operation: op.LayerNormalization, inputs: list[str]) -> str:
        graph, (centered,) = self.graph, inputs
        if operation.centered:
            centered = graph.node("Sub", centered, graph.node("ReduceMean", centered, axes=[-1], keepdims=1))
        square = graph.node("ReduceMean", graph.node("Mul", centered, centered), axes=[-1], keepdims=1)
        root = graph.node("Sqrt", graph.node("Add", square, graph.constant([operation.epsilon])))
        value = graph.node("Div", centered, root, name=operation.name)
        return self._scaled(value, operation.gamma, operation.beta)

    # === Operations on several values or steps ===

    def _concatenate(self, operation: op.Concatenate, inputs: list[str]) -> str:
        return self.graph.node("Concat", *inputs, name=operation.name, axis=-1)

    def _add(self, operation: op.Add, inputs: list[str]) -> str:
        return self.graph.node("Sum", *inputs, name=operation.name)

    def _reverse(self, operation: op.Reverse, inputs: list[str]) -> str:
        return self.graph.slice(inputs[0], -1, np.iinfo(np.int64).min, 0, -1)

    def _last(self, operation: op.Last, inputs: list[str]) -> str:
        return self.graph.node("Gather", *inputs, self.graph.constant(-1, np.int64), name=operation.name, axis=0)

    # === The file ===

    def _finished(self, names: list[str]) -> ModelProto:
        program, streaming = self.program, self.options.streaming
        size = self.options.batch_size or program.batch_size or "n"
        inputs = [
            helper.make_tensor_value_info(
                one.name,
                TensorProto.INT32 if one.ids else TensorProto.FLOAT,
                [size, "T"] if one.ids else [size, "T", one.width],
            )
            for one in program.inputs
        ]
        outputs = [
            _info(name, size, *(() if self._is_vector(source) else ("T",)), program.widths[source])
            for name, source in zip(names, program.outputs, strict=True)
        ]
        if self.lengths is not None:
            inputs.append(helper.make_tensor_value_info(self.lengths, TensorProto.INT32, [size]))
        if streaming:
            shapes = {name: state.shape(1)[1:] for name, state in program.states.items()}
            inputs += [_info(name, size, *shape) for name, shape in shapes.items()]
            outputs += [_info(next_state(name), size, *shape) for name, shape in shapes.items()]
        constants = list(self.graph.constants.values())
        graph = helper.make_graph(self.graph.nodes, program.name, inputs, outputs, constants)
        versions = [helper.make_opsetid("", OPSET)]
        if any(node.domain for node in graph.node):
            versions.append(helper.make_opsetid("com.microsoft", 1))
        model = helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION)
        model.producer_name, model.producer_version = "deeprnn-keras", version("deeprnn-keras")
        helper.set_model_props(model, self._metadata())
        checker.check_model(model, full_check=True)
        return model

    def _metadata(self) -> dict[str, str]:
        """Return the metadata: name, form, and the attributes of the program as JSON."""
        facts = {"name": self.program.name, "streaming": self.options.streaming, **self.program.attributes}
        return {f"{PREFIX}{key}": json.dumps(value, ensure_ascii=False) for key, value in facts.items()}


def _info(name: str, *shape: int | str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


_WRITERS: dict[type[op.Operation], Callable[..., str]] = {
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
