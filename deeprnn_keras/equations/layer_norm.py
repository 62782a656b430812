"""Equations of the LSTM and the GRU with layer normalization inside the step."""

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
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, DiagonalMap, Linear, NamedMap


@dataclass(frozen=True)
class LayerNormEquations(Equations):
    """Base class: the products of x and of h are normalized separately, then scaled by a gain per unit and gate.

    N(a) = (a - mean(a)) / sqrt(variance(a) + epsilon), over the features of a.

    Attributes:
        epsilon: Added to the variance.
    """

    epsilon: float = 1e-3

    gates: ClassVar[tuple[str, ...]] = ()
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.store(self, epsilon=checks.positive("epsilon", self.epsilon))

    def scaled(self, name: str, product: Blocks, linear: Linear) -> dict[str, Array]:
        """Return {block: gain N(product) + bias}; the blocks of the product are normalized together.

        Args:
            name: Name of the gain.
            product: Output of a map.
            linear: Applies a map by name.
        """
        normalized = Blocks(self.normalized(product.tensor), product.names)
        return {block: linear(name, normalized[block], block)[block] for block in product.names}

    def normalized(self, a: Array) -> Array:
        """Return N(a)."""
        centered = a - primitives.mean(a)
        return centered * primitives.rsqrt(primitives.mean(centered * centered) + self.epsilon)


@dataclass(frozen=True)
class LayerNormLSTM(LayerNormEquations):
    """LSTM with layer normalization (Ba, Kiros & Hinton 2016, arXiv:1607.06450).

        z = k N(x_t W) + r N(h_{t-1} U) + b  (all gates normalized together),
        i, f, o = s(z),  g = a(z_g),  c_t = f c_{t-1} + i g,  h_t = o a(p N(c_t) + q)

    Attributes:
        normalized_state: Carry p N(c_t) + q to the next step instead of c_t, as the `LayerNormLSTMCell` of
            tensorflow-addons does. (Its weights beta of the first two normalizations are part of b here.)

    >>> from deeprnn_keras.equations.layer_norm import LayerNormLSTM
    >>> LayerNormLSTM(units=4).count_params(input_dim=3)      # 4 (3 + 4 + 1) 4 + 2 x 4 x 4 + 2 x 4
    168
    """

    normalized_state: bool = False

    gates = ("input", "forget", "candidate", "output")
    states = ("h", "c")
    keep_gates: ClassVar[dict[str, int]] = {"forget": 1}
    write_gates = ("input",)
    keep_bias = 1.0

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        return [
            AffineMap("kernel", input_dim, self.units, self.gates),
            AffineMap("recurrent_kernel", self.units, self.units, self.gates, role="recurrent"),
            DiagonalMap("kernel_gain", self.units, self.gates, role="gain"),
            DiagonalMap("recurrent_gain", self.units, self.gates, bias="bias", role="gain"),
            DiagonalMap("state_gain", self.units, ("state",), bias="state_bias", role="gain"),
        ]

    @override
    def project_inputs(self, x: Array, linear: Linear, f: SimpleNamespace) -> Blocks:
        scaled = self.scaled("kernel_gain", linear("kernel", x), linear)
        return Blocks(primitives.concatenate(list(scaled.values())), self.gates)

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        h, c = states
        scaled = self.scaled("recurrent_gain", linear("recurrent_kernel", h), linear)
        z = {gate: x[gate] + scaled[gate] for gate in self.gates}
        write, keep, output = (f.recurrent_activation(z[gate]) for gate in ("input", "forget", "output"))
        c = keep * c + write * f.activation(z["candidate"])
        normalized = linear("state_gain", self.normalized(c))["state"]
        return [output * f.activation(normalized), normalized if self.normalized_state else c]


@dataclass(frozen=True)
class LayerNormGRU(LayerNormEquations):
    """GRU with layer normalization (Ba, Kiros & Hinton 2016, arXiv:1607.06450, appendix).

        z, r = s(k N(x_t W) + b + v N(h_{t-1} U) + b')  (both gates normalized together),
        g = a(k_g N(x_t W_g) + b_g + r (v_g N(h_{t-1} U_g) + b'_g)),  h_t = z h_{t-1} + (1 - z) g

    >>> from deeprnn_keras.equations.layer_norm import LayerNormGRU
    >>> LayerNormGRU(units=4).count_params(input_dim=3)      # 3 (3 + 4) 4 + 4 x 3 x 4
    132
    """

    gates = ("update", "reset", "candidate")
    keep_gates: ClassVar[dict[str, int]] = {"update": 1}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        return [
            AffineMap("kernel", input_dim, self.units, self.gates),
            AffineMap("recurrent_kernel", self.units, self.units, self.gates, role="recurrent"),
            DiagonalMap("kernel_gain", self.units, self.gates, bias="bias", role="gain"),
            DiagonalMap("recurrent_gain", self.units, self.gates, bias="recurrent_bias", role="gain"),
        ]

    def _products(self, name: str, gain: str, a: Array, linear: Linear) -> dict[str, Array]:
        gates = self.scaled(gain, linear(name, a, "update", "reset"), linear)
        return gates | self.scaled(gain, linear(name, a, "candidate"), linear)

    @override
    def project_inputs(self, x: Array, linear: Linear, f: SimpleNamespace) -> Blocks:
        products = self._products("kernel", "kernel_gain", x, linear)
        return Blocks(primitives.concatenate(list(products.values())), self.gates)

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        (h,) = states
        product = self._products("recurrent_kernel", "recurrent_gain", h, linear)
        update, reset = (f.recurrent_activation(x[gate] + product[gate]) for gate in ("update", "reset"))
        return gru(update, f.activation(x["candidate"] + reset * product["candidate"]), h)
