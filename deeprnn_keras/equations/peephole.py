"""Equations of the LSTM whose gates see the cell state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, DiagonalMap, Linear, NamedMap


@dataclass(frozen=True)
class PeepholeLSTM(Equations):
    """LSTM with peepholes p from the cell state to the gates (Gers & Schmidhuber 2000; Graves 2013, arXiv:1308.0850).

        i, f = s(x_t W + h_{t-1} U + p c_{t-1} + b),  g = a(x_t W_g + h_{t-1} U_g + b_g),  c_t = f c_{t-1} + i g,
        o = s(x_t W_o + h_{t-1} U_o + p_o c_t + b_o),  h_t = o a(c_t)

    >>> from deeprnn_keras.equations.peephole import PeepholeLSTM
    >>> PeepholeLSTM(units=4).count_params(input_dim=3)      # 4 (3 + 4 + 1) 4 + 3 x 4
    140
    """

    states = ("h", "c")
    keep_gates: ClassVar[dict[str, int]] = {"forget": 1}
    write_gates = ("input",)
    keep_bias = 1.0
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        blocks = ("input", "forget", "candidate", "output")
        return [
            AffineMap("kernel", input_dim, self.units, blocks, bias="bias"),
            AffineMap("recurrent_kernel", self.units, self.units, blocks, role="recurrent"),
            DiagonalMap("peephole_kernel", self.units, ("input", "forget", "output"), role="peephole"),
        ]

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        h, c = states
        product, seen = linear("recurrent_kernel", h), linear("peephole_kernel", c, "input", "forget")
        write, keep = (f.recurrent_activation(x[gate] + product[gate] + seen[gate]) for gate in ("input", "forget"))
        c = keep * c + write * f.activation(x["candidate"] + product["candidate"])
        seen = linear("peephole_kernel", c, "output")
        output = f.recurrent_activation(x["output"] + product["output"] + seen["output"])
        return [output * f.activation(c), c]
