"""Equations of the quasi-recurrent network with a window of one step."""

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
class QuasiRecurrent(Equations):
    """Quasi-recurrent network (QRNN; Bradbury et al. 2016, arXiv:1611.01576), fo-pooling, window of one step.

        f, o = s(x_t W + b),  g = a(x_t W_g + b_g),  c_t = f c_{t-1} + (1 - f) g,  h_t = o c_t

    >>> from deeprnn_keras.equations.quasi_recurrent import QuasiRecurrent
    >>> QuasiRecurrent(units=4).count_params(input_dim=3)      # 3 (3 + 1) 4
    48
    """

    states = ("h", "c")
    keep_gates: ClassVar[dict[str, int]] = {"forget": 1}
    keep_bias = 1.0
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        return [AffineMap("kernel", input_dim, self.units, ("candidate", "forget", "output"), bias="bias")]

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        (c,) = gru(f.recurrent_activation(x["forget"]), f.activation(x["candidate"]), states[1])
        return [f.recurrent_activation(x["output"]) * c, c]
