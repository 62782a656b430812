"""Equations of FastGRNN, a gated RNN whose gate and candidate share their matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras.equations import primitives
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, DiagonalMap, Linear, NamedMap


@dataclass(frozen=True)
class FastGRNN(Equations):
    """Fast gated recurrent network (Kusupati et al. 2018, arXiv:1901.02358), with full matrices.

        v = x_t W + h_{t-1} U + b,  z = s(v + b_z),  g = a(v),
        h_t = (sigmoid(1 + k_1) (1 - z) + sigmoid(k_2 - 4)) g + z h_{t-1}

    W (d, h) and U (h, h) are shared by the gate z and the candidate g; k_1 and k_2 are scalars. (The gate of the paper
    has the bias b + b_z, and its scalars 1 + k_1 and k_2 - 4 start at 1 and -4.)

    >>> from deeprnn_keras.equations.fast_gated import FastGRNN
    >>> FastGRNN(units=4).count_params(input_dim=3)      # (3 + 4) 4 + 2 x 4 + 2
    38
    """

    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        return [
            AffineMap("kernel", input_dim, self.units, ("candidate",), bias="bias"),
            AffineMap("recurrent_kernel", self.units, self.units, ("candidate",), role="recurrent"),
            AffineMap("gate_bias", 1, self.units, ("update",), role="bias"),
            DiagonalMap("scalars", 1, ("old", "new"), role="bias"),
        ]

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        (h,) = states
        one = 1.0 + 0.0 * h[..., :1]
        v = x["candidate"] + linear("recurrent_kernel", h)["candidate"]
        update = f.recurrent_activation(v + linear("gate_bias", one)["update"])
        scalars = linear("scalars", one)
        weight = primitives.sigmoid(1.0 + scalars["old"]) * (1.0 - update) + primitives.sigmoid(scalars["new"] - 4.0)
        return [weight * f.activation(v) + update * h]
