"""Equations of the recurrent highway network, a deep transition with gated carry connections between its stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, Linear, NamedMap


@dataclass(frozen=True)
class RecurrentHighway(Equations):
    """D highway layers between h_{t-1} and h_t (Zilly et al. 2016, arXiv:1607.03474).

    Highway layer k computes s^(k) from s^(k-1); the first input is s^(0) = h_{t-1}, and the last output is h_t = s^(D):

        layer 1:      z = x_t W + s^(0) V_1 + b_1
        layer k > 1:  z = s^(k-1) V_k + b_k
        g, t, c = a(z_g), s(z_t), s(z_c), or c = 1 - t if coupled
        s^(k) = g t + s^(k-1) c

    `RHNCell` lists the weights.

    Attributes:
        depth: D.
        coupled: Define the carry gate as c = 1 - t.
        transform_bias: Initial bias of the transform gate t. With a value below 0, the layers initially carry most of
            the state unchanged, which helps to learn long-term dependencies.
    """

    depth: int = 3
    coupled: bool = True
    transform_bias: float = -2.0

    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    keep_gates: ClassVar[dict[str, int]] = {"transform": -1, "carry": 1}  # coupled layers have no carry gate

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.store(
            self,
            depth=checks.positive_int("depth", self.depth),
            transform_bias=checks.number("transform_bias", self.transform_bias),
        )

    def layer_blocks(self, layer: int) -> tuple[str, ...]:
        """Return the names of the blocks of highway layer `layer`, 1 to D."""
        gates = ("candidate", "transform") if self.coupled else ("candidate", "transform", "carry")
        return tuple(f"{gate}_{layer}" for gate in gates)

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        h, first = self.units, self.layer_blocks(1)
        return [
            AffineMap("kernel", input_dim, h, first, bias="bias"),
            AffineMap("recurrent_kernel", h, h, first, role="recurrent"),
            *(
                AffineMap(f"transition_kernel_{k}", h, h, self.layer_blocks(k), f"transition_bias_{k}", "recurrent")
                for k in range(2, self.depth + 1)
            ),
        ]

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        (s,) = states
        for k in range(1, self.depth + 1):
            z = linear("recurrent_kernel" if k == 1 else f"transition_kernel_{k}", s)

            def pre_activation(gate: str, z: Blocks = z, k: int = k) -> Array:
                return z[f"{gate}_{k}"] + x[f"{gate}_{k}"] if k == 1 else z[f"{gate}_{k}"]

            candidate = f.activation(pre_activation("candidate"))
            transform = f.recurrent_activation(pre_activation("transform"))
            if self.coupled:
                s = s + transform * (candidate - s)
            else:
                s = candidate * transform + s * f.recurrent_activation(pre_activation("carry"))
        return [s]

    @override
    def default_keep_bias(self) -> float:
        return -self.transform_bias
