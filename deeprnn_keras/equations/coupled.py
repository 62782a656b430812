"""Equations of the LSTM whose input gate is one minus its forget gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.gates import gru
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, Linear, NamedMap


@dataclass(frozen=True)
class CoupledLSTM(Equations):
    """LSTM with coupled input and forget gate (CIFG; Greff et al. 2015, arXiv:1503.04069, without peepholes).

        f, o = s(x_t W + h_{t-1} U + b),  g = a(x_t W_g + h_{t-1} U_g + b_g),  c_t = f c_{t-1} + (1 - f) g,
        h_t = o a(c_t)

    >>> from deeprnn_keras.equations.coupled import CoupledLSTM
    >>> CoupledLSTM(units=4).count_params(input_dim=3)      # 3 (3 + 4 + 1) 4
    96
    """

    states = ("h", "c")
    keep_gates: ClassVar[dict[str, int]] = {"forget": 1}
    keep_bias = 1.0
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        blocks = ("forget", "candidate", "output")
        return [
            AffineMap("kernel", input_dim, self.units, blocks, bias="bias"),
            AffineMap("recurrent_kernel", self.units, self.units, blocks, role="recurrent"),
        ]

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        h, c = states
        product = linear("recurrent_kernel", h)
        forget, output = (f.recurrent_activation(x[gate] + product[gate]) for gate in ("forget", "output"))
        (c,) = gru(forget, f.activation(x["candidate"] + product["candidate"]), c)
        return [output * f.activation(c), c]
