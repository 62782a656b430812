"""Equations of the simple RNN, the GRU in both forms, and the LSTM, with the weight layout of `keras.layers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.gates import gru, lstm
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, Linear, NamedMap


@dataclass(frozen=True)
class StandardEquations(Equations):
    """Base class: the gates are blocks of a kernel W (d, G h), a recurrent kernel U (h, G h), and a bias b (G h,).

    Attributes:
        use_bias: Add biases to the maps.
    """

    use_bias: bool = True

    gates: ClassVar[tuple[str, ...]] = ("candidate",)

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        bias = "bias" if self.use_bias else None
        return [
            AffineMap("kernel", input_dim, self.units, self.gates, bias),
            AffineMap("recurrent_kernel", self.units, self.units, self.gates, role="recurrent"),
        ]

    def from_keras(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        """Convert {name: weight} of a Keras cell to {name: weight} of the maps."""
        return dict(weights)


class SimpleRNNEquations(StandardEquations):
    """Simple RNN, h_t = a(x_t W + h_{t-1} U + b) (Elman 1990).

    >>> from deeprnn_keras.equations import SimpleRNNEquations
    >>> SimpleRNNEquations(units=4).count_params(input_dim=3)      # (3 + 4 + 1) 4
    32
    """

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        return [f.activation(x["candidate"] + linear("recurrent_kernel", states[0])["candidate"])]


@dataclass(frozen=True)
class GRUEquations(StandardEquations):
    """Gated recurrent unit (Cho et al. 2014, arXiv:1406.1078).

        z, r = s(x_t W + h_{t-1} U + b + b'),  h_t = z h_{t-1} + (1 - z) g
        reset_after=True:   g = a(x_t W_g + b_g + r (h_{t-1} U_g + b'_g))
        reset_after=False:  g = a(x_t W_g + b_g + (r h_{t-1}) U_g), without b'

    Attributes:
        reset_after: Apply the reset gate after the recurrent product, which then has a second bias b' (as in cuDNN
            and PyTorch). Keras stores b and b' as the two rows of one bias (2, 3 h). If False, apply it before.

    >>> from deeprnn_keras.equations import GRUEquations
    >>> GRUEquations(units=4).count_params(input_dim=3), GRUEquations(4, reset_after=False).count_params(3)
    (108, 96)
    """

    reset_after: bool = True

    gates = ("update", "reset", "candidate")
    keep_gates: ClassVar[dict[str, int]] = {"update": 1}
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        bias = "recurrent_bias" if self.use_bias and self.reset_after else None
        recurrent = AffineMap("recurrent_kernel", self.units, self.units, self.gates, bias, role="recurrent")
        return [super().maps(input_dim)[0], recurrent]

    @override
    def from_keras(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        converted = dict(weights)
        if self.use_bias and self.reset_after:
            converted["bias"], converted["recurrent_bias"] = weights["bias"][0], weights["bias"][1]
        return converted

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        (h,) = states
        if self.reset_after:
            product = linear("recurrent_kernel", h)
            update, reset = (f.recurrent_activation(x[gate] + product[gate]) for gate in ("update", "reset"))
            return gru(update, f.activation(x["candidate"] + reset * product["candidate"]), h)
        product = linear("recurrent_kernel", h, "update", "reset")
        update, reset = (f.recurrent_activation(x[gate] + product[gate]) for gate in ("update", "reset"))
        product = linear("recurrent_kernel", reset * h, "candidate")
        return gru(update, f.activation(x["candidate"] + product["candidate"]), h)


class LSTMEquations(StandardEquations):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000).

        i, f, o = s(x_t W + h_{t-1} U + b),  g = a(x_t W_g + h_{t-1} U_g + b_g),  c_t = f c_{t-1} + i g,  h_t = o a(c_t)

    >>> from deeprnn_keras.equations import LSTMEquations
    >>> LSTMEquations(units=4).count_params(input_dim=3)      # 4 (3 + 4 + 1) 4
    128
    """

    gates = ("input", "forget", "candidate", "output")
    states = ("h", "c")
    keep_gates: ClassVar[dict[str, int]] = {"forget": 1}
    write_gates = ("input",)
    keep_bias = 1.0
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        h, c = states
        product = linear("recurrent_kernel", h)
        return lstm({gate: x[gate] + product[gate] for gate in self.gates}, c, f)
