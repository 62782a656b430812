"""Equations of the RNN with an elementwise recurrence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, DiagonalMap, Linear, NamedMap


@dataclass(frozen=True)
class IndependentRNN(Equations):
    """Independently recurrent network, h_t = a(x_t W + u h_{t-1} + b) (IndRNN; Li et al. 2018, arXiv:1803.04831).

    The recurrence is elementwise; units are combined only in the next layer.

    Attributes:
        steps: Length T of the sequences. `IndRNNCell` then keeps |u| <= 2^(1/T), so that a state cannot more than
            double over T steps. None for no bound.

    >>> from deeprnn_keras.equations.independent import IndependentRNN
    >>> IndependentRNN(units=4).count_params(input_dim=3)      # (3 + 1 + 1) 4
    20
    """

    steps: int | None = None

    activations: ClassVar[dict[str, str]] = {"activation": "relu"}

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.store(self, steps=checks.positive_int_or_none("steps", self.steps))

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        return [
            AffineMap("kernel", input_dim, self.units, ("candidate",), bias="bias"),
            DiagonalMap("recurrent_kernel", self.units, ("candidate",)),
        ]

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        return [f.activation(x["candidate"] + linear("recurrent_kernel", states[0])["candidate"])]
