"""Equations of the quasi-recurrent network with a window of one or two steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.equations import primitives
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.gates import gru
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, Linear, NamedMap

MAX_WINDOW = 2


@dataclass(frozen=True)
class QuasiRecurrent(Equations):
    """Quasi-recurrent network (QRNN; Bradbury et al. 2016, arXiv:1611.01576) with fo-pooling.

        f, o = s(z_t),  g = a(z_t),  c_t = f c_{t-1} + (1 - f) g,  h_t = o c_t
        window=1:  z_t = x_t W + b
        window=2:  z_t = x_t W + v_{t-1} + b,  v_t = x_t V

    A window of two steps is a convolution over x_{t-1} and x_t. Its third state v_t (n, 3 h) stands for the last input:
    its width does not depend on that of the inputs, and all products are of the inputs only. Zeros are a last input of
    zeros; a masked step does not change v_t.

    Attributes:
        window: Number of steps that the gates read, 1 or 2.

    Raises:
        ValueError: If `window` is another number.

    >>> from deeprnn_keras.equations.quasi_recurrent import QuasiRecurrent
    >>> QuasiRecurrent(units=4).count_params(input_dim=3)      # 3 (3 + 1) 4
    48
    >>> QuasiRecurrent(units=4, window=2).count_params(input_dim=3)      # 3 (2 x 3 + 1) 4
    84
    """

    window: int = 1

    gates: ClassVar[tuple[str, ...]] = ("candidate", "forget", "output")
    keep_gates: ClassVar[dict[str, int]] = {"forget": 1}
    keep_bias = 1.0
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        checks.store(self, window=checks.positive_int("window", self.window))
        if self.window > MAX_WINDOW:
            raise ValueError(
                f"window must be 1 or {MAX_WINDOW}, the number of steps of x that it reads, got {self.window}"
            )

    @override
    def state_widths(self) -> dict[str, int]:
        last_input = {"v": len(self.gates) * self.units} if self.window > 1 else {}
        return {"h": self.units, "c": self.units, **last_input}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        kernel = AffineMap("kernel", input_dim, self.units, self.gates, bias="bias")
        return [kernel, AffineMap("previous_kernel", input_dim, self.units, self.gates)][: self.window]

    @override
    def project_inputs(self, x: Array, linear: Linear, f: SimpleNamespace) -> Blocks:
        if self.window == 1:
            return linear("kernel", x)
        parts = [linear(name, x).tensor for name in ("kernel", "previous_kernel")]
        return Blocks(primitives.concatenate(parts), ("now", "next"))

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        last_input: list[Array] = []
        if self.window > 1:
            x, last_input = Blocks(x["now"] + states[2], self.gates), [x["next"]]
        (c,) = gru(f.recurrent_activation(x["forget"]), f.activation(x["candidate"]), states[1])
        return [f.recurrent_activation(x["output"]) * c, c, *last_input]
