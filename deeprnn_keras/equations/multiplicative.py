"""Equations of the LSTM whose recurrent weights depend on the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras.equations import primitives
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.gates import lstm
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, Linear, NamedMap


@dataclass(frozen=True)
class MultiplicativeLSTM(Equations):
    """Multiplicative LSTM (Krause et al. 2016, arXiv:1609.07959, with h_t as in Radford et al. 2017, arXiv:1704.01444).

        m = (x_t V) (h_{t-1} R)  (elementwise),
        i, f, o = s(x_t W + m U + b),  g = a(x_t W_g + m U_g + b_g),  c_t = f c_{t-1} + i g,  h_t = o a(c_t)

    >>> from deeprnn_keras.equations.multiplicative import MultiplicativeLSTM
    >>> MultiplicativeLSTM(units=4).count_params(input_dim=3)      # 4 (3 + 4 + 1) 4 + (3 + 4) 4
    156
    """

    gates: ClassVar[tuple[str, ...]] = ("input", "forget", "candidate", "output")
    states = ("h", "c")
    keep_gates: ClassVar[dict[str, int]] = {"forget": 1}
    write_gates = ("input",)
    keep_bias = 1.0
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        return [
            AffineMap("kernel", input_dim, self.units, self.gates, bias="bias"),
            AffineMap("recurrent_kernel", self.units, self.units, self.gates, role="recurrent"),
            AffineMap("multiplier_kernel", input_dim, self.units, ("multiplier",)),
            AffineMap("multiplier_recurrent_kernel", self.units, self.units, ("multiplier",), role="recurrent"),
        ]

    @override
    def project_inputs(self, x: Array, linear: Linear, f: SimpleNamespace) -> Blocks:
        parts = linear("kernel", x), linear("multiplier_kernel", x)
        return Blocks(primitives.concatenate([part.tensor for part in parts]), (*self.gates, "multiplier"))

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        h, c = states
        multiplied = x["multiplier"] * linear("multiplier_recurrent_kernel", h)["multiplier"]
        product = linear("recurrent_kernel", multiplied)
        return lstm({gate: x[gate] + product[gate] for gate in self.gates}, c, f)
