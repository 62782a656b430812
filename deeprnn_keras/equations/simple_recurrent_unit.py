"""Equations of the simple recurrent unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras.equations import primitives
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.gates import gru
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, DiagonalMap, Linear, NamedMap


@dataclass(frozen=True)
class SimpleRecurrentUnit(Equations):
    """Simple recurrent unit (SRU; Lei et al. 2018, arXiv:1709.02755), with a matrix on its highway connection.

        f = s(x_t W_f + v_f c_{t-1} + b_f),  r = s(x_t W_r + v_r c_{t-1} + b_r),
        c_t = f c_{t-1} + (1 - f) a(x_t W),  h_t = r c_t + (1 - r) x_t W_x

    The paper uses x_t itself instead of x_t W_x where d = h.

    >>> from deeprnn_keras.equations.simple_recurrent_unit import SimpleRecurrentUnit
    >>> SimpleRecurrentUnit(units=4).count_params(input_dim=3)      # 2 (3 + 1) 4 + 2 x 4 + 2 x 3 x 4
    64
    """

    states = ("h", "c")
    keep_gates: ClassVar[dict[str, int]] = {"forget": 1}
    keep_bias = 1.0
    activations: ClassVar[dict[str, str]] = {"activation": "linear", "recurrent_activation": "sigmoid"}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        return [
            AffineMap("kernel", input_dim, self.units, ("forget", "reset"), bias="bias"),
            AffineMap("input_kernel", input_dim, self.units, ("candidate", "highway")),
            DiagonalMap("peephole_kernel", self.units, ("forget", "reset"), role="peephole"),
        ]

    @override
    def project_inputs(self, x: Array, linear: Linear, f: SimpleNamespace) -> Blocks:
        parts = linear("kernel", x), linear("input_kernel", x)
        names = ("forget", "reset", "candidate", "highway")
        return Blocks(primitives.concatenate([part.tensor for part in parts]), names)

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        c = states[1]
        seen = linear("peephole_kernel", c)
        forget, reset = (f.recurrent_activation(x[gate] + seen[gate]) for gate in ("forget", "reset"))
        (c,) = gru(forget, f.activation(x["candidate"]), c)
        (h,) = gru(reset, x["highway"], c)
        return [h, c]
