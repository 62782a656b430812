"""Evaluation of a program with TensorFlow: its weights as variables, and its operations."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from typing_extensions import override

from deeprnn_keras._types import Tensor
from deeprnn_keras.exporters.identifiers import Names
from deeprnn_keras.exporters.saved_model import recurrences
from deeprnn_keras.exporters.saved_model.instructions import evaluate, matmul
from deeprnn_keras.exporters.traced_steps import traced_step
from deeprnn_keras.exporters.translation import Translation
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program


class Weights:
    """Variables with the weights of a program, and the instructions of its recurrences.

    Args:
        program: The program.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.variables: dict[str, Tensor] = {}
        recurrent = [one for one in program.operations if isinstance(one, op.Recurrence)]
        self.steps = {one.name: traced_step(program, one) for one in recurrent}
        stored = {id(array): name for name, array in program.weights.items()}
        self._names: dict[tuple[str, str], str] = {}  # {(recurrence, name in its instructions): name}
        for operation, (_, weights) in self.steps.items():
            for local, (name, array) in weights.items():
                self._names[operation, local] = stored.get(id(array), name)
                self._add(self._names[operation, local], array)
        for one in program.operations:
            for name in one.initial if isinstance(one, op.Recurrence) else one.weight_names:
                self._add(name, program.weights[name])

    def _add(self, name: str, array: np.ndarray) -> None:
        if name not in self.variables:
            plain = "/".join(map(Names.plain, name.split("/")))
            self.variables[name] = tf.Variable(array, trainable=False, name=plain, dtype=tf.float32)

    def read(self, name: str) -> Tensor:
        """Return the values of a weight; they are read outside of loops."""
        return self.variables[name].read_value()

    def read_recurrence(self, operation: op.Recurrence) -> dict[str, Tensor]:
        """Return {name in the instructions: values} of a recurrence."""
        _, weights = self.steps[operation.name]
        return {local: self.read(self._names[operation.name, local]) for local in weights}


class Evaluation(Translation[Tensor]):
    """Tensors of the values of a program while a function is traced: time-major sequences, or single steps.

    Args:
        weights: The weights.
        states: The states before a step, by name; None for whole sequences. They are replaced by those after it.
        mask: (T, n, 1), False for padding, or None.
    """

    def __init__(self, weights: Weights, states: dict[str, Tensor] | None = None, mask: Tensor = None) -> None:
        super().__init__(weights.program, states is not None, padded=mask is not None)
        self.weights, self.states, self.mask = weights, states or {}, mask

    # === Recurrences ===

    @override
    def recurrence(self, operation: op.Recurrence, x: Tensor) -> Tensor:
        trace, _ = self.weights.steps[operation.name]
        weights = self.weights.read_recurrence(operation)
        if not self.streaming:
            initial = [0.0 if one.initial is None else self.weights.read(one.initial) for one in operation.states]
            return recurrences.loop(operation, trace, weights, initial, x, self.mask)
        names = [state.name for state in operation.states]
        value, after = recurrences.step(operation, trace, weights, x, [self.states[name] for name in names])
        self.states.update(zip(names, after, strict=True))
        return value

    @override
    def zeroed(self, value: Tensor) -> Tensor:
        return tf.where(self.mask, value, 0.0)

    @override
    def zero_without_steps(self, value: Tensor) -> Tensor:
        return tf.where(self.mask[:1], value, 0.0)

    # === Operations of each step ===

    @override
    def embedding(self, operation: op.Embedding, x: list[Tensor]) -> Tensor:
        return tf.gather(self.weights.read(operation.weight), x[0])

    @override
    def one_hot(self, operation: op.OneHot, x: list[Tensor]) -> Tensor:
        return tf.one_hot(x[0], operation.width)

    @override
    def dense(self, operation: op.Dense, x: list[Tensor]) -> Tensor:
        product = matmul(x[0], self.weights.read(operation.kernel), operation.transposed)
        return product if operation.bias is None else product + self.weights.read(operation.bias)

    @override
    def elementwise(self, operation: op.Elementwise, x: list[Tensor]) -> Tensor:
        return evaluate(operation.function, x, {})[operation.function.outputs[0]]

    @override
    def softmax(self, operation: op.Softmax, x: list[Tensor]) -> Tensor:
        return (tf.nn.log_softmax if operation.logarithm else tf.nn.softmax)(x[0])

    @override
    def scaled(self, value: Tensor, scale: str | None, offset: str | None) -> Tensor:
        if scale is not None:
            value = value * self.weights.read(scale)
        return value if offset is None else value + self.weights.read(offset)

    @override
    def normalized(self, operation: op.LayerNormalization, x: Tensor) -> Tensor:
        centered = x - tf.reduce_mean(x, axis=-1, keepdims=True) if operation.centered else x
        return centered / tf.sqrt(tf.reduce_mean(tf.square(centered), axis=-1, keepdims=True) + operation.epsilon)

    # === Operations on several values or steps ===

    @override
    def concatenate(self, operation: op.Concatenate, x: list[Tensor]) -> Tensor:
        return tf.concat(x, axis=-1)

    @override
    def add(self, operation: op.Add, x: list[Tensor]) -> Tensor:
        return tf.add_n(x)

    @override
    def reverse(self, operation: op.Reverse, x: list[Tensor]) -> Tensor:
        return tf.reverse(x[0], [0])

    @override
    def last(self, operation: op.Last, x: list[Tensor]) -> Tensor:
        return x[0][-1]
