"""Equations of the update-gate RNN, a GRU without a reset gate."""

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
class UpdateGateRNN(Equations):
    """Update-gate RNN (Collins, Sohl-Dickstein & Sussillo 2016, arXiv:1611.09913).

        z = s(x_t W_z + h_{t-1} U_z + b_z),  g = a(x_t W_g + h_{t-1} U_g + b_g),  h_t = z h_{t-1} + (1 - z) g

    >>> from deeprnn_keras.equations.update_gate import UpdateGateRNN
    >>> UpdateGateRNN(units=4).count_params(input_dim=3)      # 2 (3 + 4 + 1) 4
    64
    """

    keep_gates: ClassVar[dict[str, int]] = {"update": 1}
    keep_bias = 1.0
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        blocks = ("update", "candidate")
        return [
            AffineMap("kernel", input_dim, self.units, blocks, bias="bias"),
            AffineMap("recurrent_kernel", self.units, self.units, blocks, role="recurrent"),
        ]

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        (h,) = states
        product = linear("recurrent_kernel", h)
        update = f.recurrent_activation(x["update"] + product["update"])
        return gru(update, f.activation(x["candidate"] + product["candidate"]), h)
