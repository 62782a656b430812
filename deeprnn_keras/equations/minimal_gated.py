"""Equations of the minimal gated unit, a GRU with one gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, Linear, NamedMap


@dataclass(frozen=True)
class MinimalGatedUnit(Equations):
    """Minimal gated unit (Zhou et al. 2016, arXiv:1603.09420).

        f = s(x_t W_f + h_{t-1} U_f + b_f),  g = a(x_t W_g + (f h_{t-1}) U_g + b_g),  h_t = (1 - f) h_{t-1} + f g

    >>> from deeprnn_keras.equations.minimal_gated import MinimalGatedUnit
    >>> MinimalGatedUnit(units=4).count_params(input_dim=3)      # 2 (3 + 4 + 1) 4
    64
    """

    keep_gates: ClassVar[dict[str, int]] = {"forget": -1}  # where it is 1, the state is replaced
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        blocks = ("forget", "candidate")
        return [
            AffineMap("kernel", input_dim, self.units, blocks, bias="bias"),
            AffineMap("recurrent_kernel", self.units, self.units, blocks, role="recurrent"),
        ]

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        (h,) = states
        forget = f.recurrent_activation(x["forget"] + linear("recurrent_kernel", h, "forget")["forget"])
        product = linear("recurrent_kernel", forget * h, "candidate")
        candidate = f.activation(x["candidate"] + product["candidate"])
        return [h + forget * (candidate - h)]
