"""Zoneout in inference: the expectation of a state whose units randomly keep their previous values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.maps import Array, Blocks, Linear, NamedMap


@dataclass(frozen=True)
class ExpectedZoneout(Equations):
    """Recurrence with zoneout in inference, s_t = z s_{t-1} + (1 - z) s' (Krueger et al. 2017, arXiv:1606.01305).

    Attributes:
        recurrence: Recurrence that computes s' from s_{t-1}.
        rates: z of each state, the output first.
    """

    recurrence: Equations
    rates: tuple[float, ...]

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        checks.store(self, states=self.recurrence.states, activations=self.recurrence.activations)

    @override
    def state_widths(self) -> dict[str, int]:
        return self.recurrence.state_widths()

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        return self.recurrence.maps(input_dim)

    @override
    def project_inputs(self, x: Array, linear: Linear, f: SimpleNamespace) -> Blocks:
        return self.recurrence.project_inputs(x, linear, f)

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        after = self.recurrence.step(x, states, linear, f)
        return [z * old + (1 - z) * new for z, old, new in zip(self.rates, states, after, strict=True)]
