"""`Translation`: a program in a graph of a runtime, operation by operation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from deeprnn_keras.exporters.bidirectional import Pair, bidirectional_pairs
from deeprnn_keras.exporters.padding import zeroed_recurrences
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

ValueT = TypeVar("ValueT")


class Translation(ABC, Generic[ValueT]):
    """Values of a program in a graph.

    Args:
        program: The program.
        streaming: The graph executes a single step.
        padded: The graph reads the lengths of sequences with padding.

    Attributes:
        values: {name in the program: value in the graph}. In the padding, recurrences repeat their last value.
    """

    def __init__(self, program: Program, streaming: bool, padded: bool) -> None:
        self.program, self.streaming = program, streaming
        self.values: dict[str, ValueT] = {}
        self.padded = padded
        self._zeroed = zeroed_recurrences(program) if padded else set()
        self._zeros: dict[str, ValueT] = {}  # {name: value with zeros in the padding}
        self._pairs = bidirectional_pairs(program)
        self._both: dict[str, ValueT] = {}  # values of operators that execute two recurrences

    def translate(self, inputs: Sequence[ValueT]) -> list[ValueT]:
        """Append all operations and return the outputs of the program.

        Args:
            inputs: The inputs of the program in the graph.
        """
        program = self.program
        self.values = {one.name: value for one, value in zip(program.inputs, inputs, strict=True)}
        for operation in program.operations:
            read = self.values.__getitem__ if isinstance(operation, op.Last) else self._value
            self.values[operation.name] = self._append(operation, [read(name) for name in operation.inputs])
        return [self._value(name) for name in program.outputs]

    def _value(self, name: str) -> ValueT:
        """Return a value as all operations but `Last` read it."""
        if name not in self._zeroed:
            return self.values[name]
        if name not in self._zeros:
            self._zeros[name] = self.zeroed(self.values[name])
        return self._zeros[name]

    def _append(self, operation: op.Operation, x: list[ValueT]) -> ValueT:
        if isinstance(operation, op.Recurrence):
            value = self._recurrence(operation, x[0])
            # without a step, the value of all steps is the initial state; in Keras it is zero
            return self.zero_without_steps(value) if self.padded and operation.initial else value
        if isinstance(operation, op.Last) and self.streaming:
            return x[0]
        return getattr(self, _METHODS[type(operation)])(operation, x)

    def _recurrence(self, operation: op.Recurrence, x: ValueT) -> ValueT:
        pair = self._pairs.get(operation.name)
        if pair is not None and operation.name not in self._both:
            values = self.bidirectional(pair, x)
            self._both.update(zip((one.name for one in pair), values, strict=False))
        return self._both[operation.name] if operation.name in self._both else self.recurrence(operation, x)

    # === Recurrences ===

    @abstractmethod
    def recurrence(self, operation: op.Recurrence, x: ValueT) -> ValueT:
        """Append a recurrence. In the padding, its states do not change, and its value is the first state."""

    def bidirectional(self, pair: Pair, x: ValueT) -> list[ValueT]:
        """Append two recurrences as one operator and return both values, or append nothing and return no value.

        The default is for runtimes that have no such operator.
        """
        return []

    @abstractmethod
    def zeroed(self, value: ValueT) -> ValueT:
        """Append the replacement of the padding of a value by zeros."""

    @abstractmethod
    def zero_without_steps(self, value: ValueT) -> ValueT:
        """Append the replacement of a value by zeros for sequences of length 0."""

    # === Operations of each step ===

    @abstractmethod
    def embedding(self, operation: op.Embedding, x: list[ValueT]) -> ValueT:
        """Append the selection of rows."""

    @abstractmethod
    def one_hot(self, operation: op.OneHot, x: list[ValueT]) -> ValueT:
        """Append one-hot vectors."""

    @abstractmethod
    def dense(self, operation: op.Dense, x: list[ValueT]) -> ValueT:
        """Append a product."""

    @abstractmethod
    def elementwise(self, operation: op.Elementwise, x: list[ValueT]) -> ValueT:
        """Append a function of each feature."""

    @abstractmethod
    def softmax(self, operation: op.Softmax, x: list[ValueT]) -> ValueT:
        """Append a softmax, or its logarithm."""

    @abstractmethod
    def scaled(self, value: ValueT, scale: str | None, offset: str | None) -> ValueT:
        """Append value * scale + offset, both names of weights or None."""

    @abstractmethod
    def normalized(self, operation: op.LayerNormalization, x: ValueT) -> ValueT:
        """Append a normalization without its scale and offset."""

    def _scale(self, operation: op.Scale, x: list[ValueT]) -> ValueT:
        return self.scaled(x[0], operation.scale, operation.offset)

    def _layer_normalization(self, operation: op.LayerNormalization, x: list[ValueT]) -> ValueT:
        return self.scaled(self.normalized(operation, x[0]), operation.gamma, operation.beta)

    # === Operations on several values or steps ===

    @abstractmethod
    def concatenate(self, operation: op.Concatenate, x: list[ValueT]) -> ValueT:
        """Append a concatenation."""

    @abstractmethod
    def add(self, operation: op.Add, x: list[ValueT]) -> ValueT:
        """Append a sum."""

    @abstractmethod
    def reverse(self, operation: op.Reverse, x: list[ValueT]) -> ValueT:
        """Append the reversal of the steps."""

    @abstractmethod
    def last(self, operation: op.Last, x: list[ValueT]) -> ValueT:
        """Append the selection of the last step; not called for a single step."""


_METHODS: dict[type[op.Operation], str] = {
    op.Embedding: "embedding",
    op.OneHot: "one_hot",
    op.Dense: "dense",
    op.Elementwise: "elementwise",
    op.Softmax: "softmax",
    op.Scale: "_scale",
    op.LayerNormalization: "_layer_normalization",
    op.Concatenate: "concatenate",
    op.Add: "add",
    op.Reverse: "reverse",
    op.Last: "last",
}
