"""Equations of the real-gated linear recurrent unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.equations import primitives
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, DiagonalMap, Linear, NamedMap

MIN_DECAY, MAX_DECAY = 0.001, 0.105
"""Decays k with which the cell starts: factors a = exp(-k) from 0.999 to 0.9 per step, as in the paper."""


@dataclass(frozen=True)
class GatedLinearUnit(Equations):
    """Real-gated linear recurrent unit (RG-LRU of Griffin; De et al. 2024, arXiv:2402.19427).

        u_t = f(x_t W + b),  r, i = s(u_t V + d),  a = exp(-k r),  h_t = a h_{t-1} + sqrt(1 - a^2) (i u_t)

    The decay k (h,) is the 8 softplus(Lambda) of the paper.

    Attributes:
        max_decay: Largest k with which `RGLRUCell` starts.

    >>> from deeprnn_keras.equations.gated_linear import GatedLinearUnit
    >>> GatedLinearUnit(units=4).count_params(input_dim=3)      # (3 + 1) 4 + 2 (4 + 1) 4 + 4
    60
    """

    max_decay: float = MAX_DECAY

    activations: ClassVar[dict[str, str]] = {"activation": "linear", "recurrent_activation": "sigmoid"}

    def __post_init__(self) -> None:
        super().__post_init__()
        least = f"a number greater than {MIN_DECAY:g}"
        checks.store(self, max_decay=checks.number("max_decay", self.max_decay, MIN_DECAY, supported=least))

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        return [
            AffineMap("kernel", input_dim, self.units, ("input",), bias="bias"),
            AffineMap("gate_kernel", self.units, self.units, ("decay", "write"), bias="gate_bias", role="hidden"),
            DiagonalMap("decay", self.units, ("decay",)),
        ]

    @override
    def project_inputs(self, x: Array, linear: Linear, f: SimpleNamespace) -> Blocks:
        u = f.activation(linear("kernel", x)["input"])
        return Blocks(primitives.concatenate([u, linear("gate_kernel", u).tensor]), ("input", "decay", "write"))

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        gate = f.recurrent_activation(x["decay"])
        decay = linear("decay", gate)["decay"]
        kept = primitives.exp(-decay)
        written = f.recurrent_activation(x["write"]) * x["input"]
        # if a is close to 1, it has few digits of its distance from 1, which these products have
        lost = primitives.tanh(0.5 * decay) * (1.0 + kept)  # 1 - a
        share = lost * (1.0 + kept)  # 1 - a^2
        (h,) = states
        return [h - lost * h + primitives.sqrt(primitives.maximum(share, 1e-6)) * written]
