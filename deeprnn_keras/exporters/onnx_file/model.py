"""`make_model`: the ONNX model of a program."""

from __future__ import annotations

import json
from importlib.metadata import version

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, checker, helper
from typing_extensions import override

from deeprnn_keras.exporters.bidirectional import Pair
from deeprnn_keras.exporters.metadata import PACKAGE, facts
from deeprnn_keras.exporters.onnx_file.graph import IR_VERSION, OPSET, Graph
from deeprnn_keras.exporters.onnx_file.instructions import write_instructions
from deeprnn_keras.exporters.onnx_file.masks import Padding, write_padding, write_zeros
from deeprnn_keras.exporters.onnx_file.recurrences import write_bidirectional, write_recurrence
from deeprnn_keras.exporters.padding import lengths_name
from deeprnn_keras.exporters.target import Options
from deeprnn_keras.exporters.translation import Translation
from deeprnn_keras.exporters.value_names import next_state, output_names
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

PREFIX = "deeprnn_keras."
"""Prefix of the keys of the metadata, whose values are JSON."""


def make_model(program: Program, options: Options) -> ModelProto:
    """Return the model of a program, checked.

    Its inputs are those of the program, followed by the states if `options.streaming`; so are its outputs. If the
    Keras model reads a mask, the last input are the lengths of the sequences.
    """
    return _Writer(program, options).model()


class _Writer(Translation[str]):
    """Names of the values of a program in a graph, time-major."""

    def __init__(self, program: Program, options: Options) -> None:
        self.lengths = lengths_name(program, options)
        super().__init__(program, options.streaming, padded=self.lengths is not None)
        self.options, self.quantize = options, options.quantize is not None
        self.states: dict[str, str] = {}  # {state: its value after the last step}
        self.padding: Padding | None = None
        names = [one.name for one in program.inputs] + output_names(program)
        if self.streaming:
            names += [*program.states, *map(next_state, program.states)]
        self.graph = Graph((*names, *([self.lengths] if self.lengths else [])))

    def model(self) -> ModelProto:
        """Return the model."""
        graph, program = self.graph, self.program
        inputs = [graph.node("Transpose", one.name, perm=[1, 0] if one.ids else [1, 0, 2]) for one in program.inputs]
        if self.lengths is not None:
            self.padding = write_padding(graph, self.lengths, inputs[0])
        names, values = output_names(program), self.translate(inputs)
        for name, source, value in zip(names, program.outputs, values, strict=True):
            if self._is_vector(source):
                graph.publish(value, name)
            else:
                graph.output("Transpose", value, name, perm=[1, 0, 2])
        for name, value in self.states.items():
            graph.publish(value, next_state(name))
        return self._finished(names)

    def _is_vector(self, name: str) -> bool:
        return name in self.program.final and not self.streaming

    def _weight(self, name: str) -> str:
        return self.graph.weight(name, self.program.weights[name])

    # === Recurrences ===

    @override
    def recurrence(self, operation: op.Recurrence, x: str) -> str:
        before = [state.name for state in operation.states] if self.streaming else []
        value, after = write_recurrence(self.graph, self.program, operation, x, before, self.quantize, self.padding)
        self.states.update(zip(before, after, strict=True))
        return value

    @override
    def bidirectional(self, pair: Pair, x: str) -> list[str]:
        return write_bidirectional(self.graph, self.program, pair, x, self.quantize, self.padding)

    @override
    def zeroed(self, value: str) -> str:
        assert self.padding is not None
        return write_zeros(self.graph, self.padding, value)

    @override
    def zero_without_steps(self, value: str) -> str:
        assert self.padding is not None
        first = self.graph.slice(self.padding.mask, 0, 1, 0)
        return self.graph.node("Where", first, value, self.graph.constant(0.0))

    # === Operations of each step ===

    @override
    def embedding(self, operation: op.Embedding, x: list[str]) -> str:
        return self.graph.node("Gather", self._weight(operation.weight), *x, name=operation.name)

    @override
    def one_hot(self, operation: op.OneHot, x: list[str]) -> str:
        depth, values = self.graph.constant(operation.width, np.int32), self.graph.constant([0.0, 1.0])
        return self.graph.node("OneHot", *x, depth, values, name=operation.name)

    @override
    def dense(self, operation: op.Dense, x: list[str]) -> str:
        kernel = self._weight(operation.kernel)
        if operation.transposed:
            kernel = self.graph.node("Transpose", kernel, perm=[1, 0])
        value = self.graph.node("MatMul", *x, kernel, name=operation.name)
        return value if operation.bias is None else self.graph.node("Add", value, self._weight(operation.bias))

    @override
    def elementwise(self, operation: op.Elementwise, x: list[str]) -> str:
        return write_instructions(self.graph, operation.function, x, {})[operation.function.outputs[0]]

    @override
    def softmax(self, operation: op.Softmax, x: list[str]) -> str:
        operator = "LogSoftmax" if operation.logarithm else "Softmax"
        return self.graph.node(operator, *x, name=operation.name, axis=-1)

    @override
    def scaled(self, value: str, scale: str | None, offset: str | None) -> str:
        if scale is not None:
            value = self.graph.node("Mul", value, self._weight(scale))
        return value if offset is None else self.graph.node("Add", value, self._weight(offset))

    @override
    def normalized(self, operation: op.LayerNormalization, x: str) -> str:
        graph, centered = self.graph, x
        if operation.centered:
            centered = graph.node("Sub", x, graph.node("ReduceMean", x, axes=[-1], keepdims=1))
        square = graph.node("ReduceMean", graph.node("Mul", centered, centered), axes=[-1], keepdims=1)
        root = graph.node("Sqrt", graph.node("Add", square, graph.constant([operation.epsilon])))
        return graph.node("Div", centered, root, name=operation.name)

    # === Operations on several values or steps ===

    @override
    def concatenate(self, operation: op.Concatenate, x: list[str]) -> str:
        return self.graph.node("Concat", *x, name=operation.name, axis=-1)

    @override
    def add(self, operation: op.Add, x: list[str]) -> str:
        return self.graph.node("Sum", *x, name=operation.name)

    @override
    def reverse(self, operation: op.Reverse, x: list[str]) -> str:
        return self.graph.slice(x[0], -1, np.iinfo(np.int64).min, 0, -1)

    @override
    def last(self, operation: op.Last, x: list[str]) -> str:
        return self.graph.node("Gather", *x, self.graph.constant(-1, np.int64), name=operation.name, axis=0)

    # === The file ===

    def _finished(self, names: list[str]) -> ModelProto:
        program, streaming = self.program, self.streaming
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
        model.producer_name, model.producer_version = PACKAGE, version(PACKAGE)
        metadata = {**facts(program), "streaming": streaming}
        texts = {f"{PREFIX}{key}": json.dumps(value, ensure_ascii=False) for key, value in metadata.items()}
        helper.set_model_props(model, texts)
        checker.check_model(model, full_check=True)
        return model


def _info(name: str, *shape: int | str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
