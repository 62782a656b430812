"""Operations of a `Program`: plain data that interpreters execute and exporters translate.

Symbols: batch size n, time steps T. The value of an operation is a sequence (n, T, width), computed step by step.
Weights are named; their arrays are in `Program.weights`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import ClassVar

from deeprnn_keras.equations.trace import Trace

STANDARD_CELLS = {"rnn": ("h",), "gru": ("h",), "gru_reset_before": ("h",), "lstm": ("h", "c")}
"""States of the cells of `Recurrent`, the output first."""

STANDARD_ACTIVATIONS = ("linear", "tanh", "sigmoid", "relu", "hard_sigmoid")
"""Activations of the cells of `Recurrent`."""

NO_STEP = Trace((), (), ())
"""Default of a field that follows fields with defaults."""


@dataclass(frozen=True)
class Input:
    """An input of a program.

    Attributes:
        name: Its name.
        width: Number of features d; for ids, their number V.
        ids: True for integers (n, T) in [0, V), False for features (n, T, d).
    """

    name: str
    width: int
    ids: bool = False


@dataclass(frozen=True)
class State:
    """A state that is carried from step to step.

    Attributes:
        name: Its name, for example "deep_rnn/forward_1/h".
        width: Number of features, for example h.
        rate: Dilation rate r: the state holds the values of the last r steps, oldest first, (n, r, width);
            (n, width) if r = 1.
        initial: Name of the weight (width,) with its value before the first step, or None for zeros.
    """

    name: str
    width: int
    rate: int = 1
    initial: str | None = None

    def shape(self, batch_size: int) -> tuple[int, ...]:
        """Return the shape of the array."""
        return (batch_size, self.width) if self.rate == 1 else (batch_size, self.rate, self.width)


@dataclass(frozen=True)
class Operation:
    """Base class of operations.

    Attributes:
        name: Name of the operation and of its value.
        inputs: Names of the values that it reads.
        width: Number of features of its value.
    """

    name: str
    inputs: tuple[str, ...]
    width: int

    needs_whole_sequence: ClassVar[bool] = False

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Names of the weights."""
        return tuple(name for name in self._weights() if name is not None)

    def _weights(self) -> Iterator[str | None]:
        yield from ()

    @property
    def states(self) -> tuple[State, ...]:
        """States that the operation carries."""
        return ()

    @property
    def looks_ahead(self) -> bool:
        """True if a step of the value depends on later steps of the input."""
        return self.needs_whole_sequence

    def details(self) -> str:
        """Return the options that differ from their defaults, and the cell, for the listing."""
        options = {one.name: (getattr(self, one.name), one.default) for one in fields(self)[3:]}
        hidden = {*self.weight_names, None}
        return ", ".join(
            f"{name}={value}"
            for name, (value, default) in options.items()
            if isinstance(value, (str, int, float))
            and value not in hidden
            and (value != default or name in ("cell", "epsilon"))
        )


@dataclass(frozen=True)
class Embedding(Operation):
    """Rows of a weight (V, width), selected by ids."""

    weight: str

    def _weights(self) -> Iterator[str | None]:
        yield self.weight


@dataclass(frozen=True)
class OneHot(Operation):
    """One-hot vectors of ids."""


@dataclass(frozen=True)
class Dense(Operation):
    """x W + b.

    Attributes:
        kernel: W, (inputs, width); if `transposed`, the weight is its transpose, (width, inputs).
        bias: b, (width,), or None.
        transposed: The weight is used transposed, as that of an embedding in a tied head.
    """

    kernel: str
    bias: str | None = None
    transposed: bool = False

    def _weights(self) -> Iterator[str | None]:
        yield from (self.kernel, self.bias)


@dataclass(frozen=True)
class Elementwise(Operation):
    """A function of each feature, such as an activation.

    Attributes:
        function: Its instructions, with one input and one output.
    """

    function: Trace


@dataclass(frozen=True)
class Softmax(Operation):
    """exp(x) / sum(exp(x)) over the features, or its logarithm.

    Attributes:
        logarithm: Return the logarithm.
    """

    logarithm: bool = False


@dataclass(frozen=True)
class Scale(Operation):
    """x * scale + offset, as in `Rescaling`, `Normalization`, and batch normalization of a trained model.

    Attributes:
        scale: (width,) or (1,), or None for 1.
        offset: (width,) or (1,), or None for 0.
    """

    scale: str | None = None
    offset: str | None = None

    def _weights(self) -> Iterator[str | None]:
        yield from (self.scale, self.offset)


@dataclass(frozen=True)
class LayerNormalization(Operation):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, over the features.

    Attributes:
        epsilon: The constant.
        gamma: (width,), or None for 1.
        beta: (width,), or None for 0.
        centered: Subtract the mean; without it, the normalization divides by the root of the mean square.
    """

    epsilon: float
    gamma: str | None = None
    beta: str | None = None
    centered: bool = True

    def _weights(self) -> Iterator[str | None]:
        yield from (self.gamma, self.beta)


@dataclass(frozen=True)
class Concatenate(Operation):
    """The features of several values side by side."""


@dataclass(frozen=True)
class Add(Operation):
    """The sum of several values."""


@dataclass(frozen=True)
class Recurrence(Operation):
    """Base class of recurrences.

    Attributes:
        reverse: Read the sequence from its end; the value keeps the positions of the inputs.
        rate: Dilation rate r: step t follows step t - r.
        initial: Weights (width,) with the states before the first step, in the order of the states; empty for zeros.
    """

    reverse: bool = False
    rate: int = 1
    initial: tuple[str, ...] = ()

    def _states(self, widths: Iterable[tuple[str, int]]) -> tuple[State, ...]:
        """Return the states with these names and widths."""
        initial = self.initial or itertools.repeat(None)
        return tuple(
            State(f"{self.name}/{name}", width, self.rate, weight)
            for (name, width), weight in zip(widths, initial, strict=False)
        )

    @property
    def looks_ahead(self) -> bool:
        """True if the sequence is read from its end."""
        return self.reverse


@dataclass(frozen=True)
class Recurrent(Recurrence):
    """A simple RNN, a GRU, or an LSTM, with weights as in `keras.layers`.

    Attributes:
        cell: One of `STANDARD_CELLS`; "gru" resets after the product.
        activation: Activation of the candidate, one of `STANDARD_ACTIVATIONS`.
        recurrent_activation: Activation of the gates.
        kernel: W, (inputs, G width).
        recurrent_kernel: U, (width, G width).
        bias: (G width,), (2, G width) for "gru", or None.
    """

    cell: str = "lstm"
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    kernel: str = ""
    recurrent_kernel: str = ""
    bias: str | None = None

    def _weights(self) -> Iterator[str | None]:
        yield from (self.kernel, self.recurrent_kernel, self.bias, *self.initial)

    @property
    def states(self) -> tuple[State, ...]:
        """h, and c for an LSTM."""
        return self._states((name, self.width) for name in STANDARD_CELLS[self.cell])


@dataclass(frozen=True)
class Cell(Recurrence):
    """A recurrence that is given by its instructions.

    Attributes:
        step: The instructions; its inputs are x and the states.
        state_names: Names of the states without the name of the operation, the output first.
        weights: Pairs (name in the instructions, name in the program).
    """

    step: Trace = NO_STEP
    state_names: tuple[str, ...] = ("h",)
    weights: tuple[tuple[str, str], ...] = ()

    def _weights(self) -> Iterator[str | None]:
        yield from (*(name for _, name in self.weights), *self.initial)

    @property
    def states(self) -> tuple[State, ...]:
        """The states of the instructions, with their widths."""
        return self._states(zip(self.state_names, self.step.inputs[1:], strict=True))


@dataclass(frozen=True)
class Reverse(Operation):
    """The steps in reverse order."""

    needs_whole_sequence = True


@dataclass(frozen=True)
class Last(Operation):
    """The last step only: a sequence (n, T, width) becomes (n, width). Streamed, it is the current step."""


OPERATIONS: dict[str, type[Operation]] = {
    one.__name__: one
    for one in (
        *(Embedding, OneHot, Dense, Elementwise, Softmax, Scale, LayerNormalization, Concatenate, Add),
        *(Recurrent, Cell, Reverse, Last),
    )
}
"""{name in files: class}."""
