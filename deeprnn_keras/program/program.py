"""`Program`: a trained model as a flat list of operations with named weights and states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from deeprnn_keras._types import PathLike
from deeprnn_keras.program.operations import Input, Last, Operation, State

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, eq=False)
class Program:
    """A trained model as a flat list of operations, which runs without Keras.

    `lower` creates one from a model, `save` and `load` store it in one file, and `Stream`, `generate`, and the
    exporters read it. A program is not modified after it has been created.

    Attributes:
        name: Name of the model.
        inputs: Its inputs.
        operations: The operations, in an order in which each reads only earlier values.
        outputs: Names of the values that it returns.
        weights: {name: float32 array}; the names are those of Keras for weights that Keras has.
        attributes: Further properties as JSON values, for example the vocabulary of a language model.
        batch_size: Batch size of the program, or None for any.

    Raises:
        ValueError: If an operation reads a value or a weight that does not exist, or a name is used twice.

    >>> import keras
    >>> from deeprnn_keras import DeepRNN, lower
    >>> rnn = DeepRNN(4, num_layers=2, return_sequences=True, name="deep_rnn")
    >>> layers = [keras.Input((None, 3)), rnn, keras.layers.Dense(1, name="head")]
    >>> program = lower(keras.Sequential(layers, name="small"))
    >>> print(program)
    small: 277 weights
    input               features, width 3
    deep_rnn/forward_1  Recurrent(input), width 4: cell=lstm
    deep_rnn/forward_2  Recurrent(deep_rnn/forward_1), width 4: cell=lstm
    head                Dense(deep_rnn/forward_2), width 1
    outputs: head
    """

    name: str
    inputs: tuple[Input, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]
    weights: Mapping[str, np.ndarray]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | None = None

    def __post_init__(self) -> None:
        from deeprnn_keras.program.validation import check

        check(self)

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Return the program in a file.

        Raises:
            FileNotFoundError: If the file does not exist.
            DamagedFileError: If it is not the file of a program, or is damaged.
        """
        from deeprnn_keras.program.files import load

        return load(cls, path)

    def save(self, path: PathLike) -> None:
        """Write the program to a safetensors file in one atomic step: the weights, and the list as JSON metadata."""
        from deeprnn_keras.program.files import save

        save(self, path)

    @cached_property
    def states(self) -> dict[str, State]:
        """{name: state} of all operations, in their order."""
        return {state.name: state for operation in self.operations for state in operation.states}

    @cached_property
    def widths(self) -> dict[str, int]:
        """{name: number of features} of inputs and values."""
        return {one.name: one.width for one in (*self.inputs, *self.operations)}

    @cached_property
    def looking_ahead(self) -> Operation | None:
        """The first operation whose value depends on later steps, or None if the program can be streamed."""
        return next((operation for operation in self.operations if operation.looks_ahead), None)

    @cached_property
    def final(self) -> frozenset[str]:
        """Names of the values that exist once per sequence, after a `Last`, not once per step."""
        names: set[str] = set()
        for operation in self.operations:
            if isinstance(operation, Last) or names.intersection(operation.inputs):
                names.add(operation.name)
        return frozenset(names)

    @property
    def num_weights(self) -> int:
        """Number of weights."""
        return sum(array.size for array in self.weights.values())

    def initial_states(self, batch_size: int) -> dict[str, np.ndarray]:
        """Return {name: state before the first step}, zeros or learned values."""
        states = {name: np.zeros(state.shape(batch_size), np.float32) for name, state in self.states.items()}
        for name, state in self.states.items():
            if state.initial is not None:
                states[name][...] = self.weights[state.initial]
        return states

    def __str__(self) -> str:
        rows = list(self._rows())
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:{width}}  {text}" for name, text in rows]
        return "\n".join([f"{self.name}: {self.num_weights:,} weights", *lines, f"outputs: {', '.join(self.outputs)}"])

    def _rows(self) -> Iterator[tuple[str, str]]:
        for one in self.inputs:
            yield one.name, f"ids below {one.width}" if one.ids else f"features, width {one.width}"
        for operation in self.operations:
            details = operation.details()
            call = f"{type(operation).__name__}({', '.join(operation.inputs)}), width {operation.width}"
            yield operation.name, f"{call}: {details}" if details else call
