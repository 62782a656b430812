"""Equations of recurrences whose gates are multilayer perceptrons of (x_t, h_{t-1}) instead of affine maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import ClassVar, cast

from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.gates import gru, lstm
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, Linear, NamedMap


@dataclass(frozen=True)
class MLPGates(Equations):
    """Base class of cells in which each of G gates has its own perceptron, with hidden layers of k_1, ..., k_m units.

    Let s be the state that the gate reads. Its pre-activation is a_{m+1}, of width h:

        a_1 = x_t W + s U + b,  a_{j+1} = f(a_j) V_j + b_j,  j = 1, ..., m

    Without hidden layers (m = 0), this is the affine map of the standard cell.

    For d inputs, the weights are `kernel` W, (d, G k_1); `recurrent_kernel` U, (h, G k_1); `bias` b, (G k_1,); and, for
    each j, `gate_kernel_j` V_j, (k_j, G k_{j+1}), and `gate_bias_j` b_j, (G k_{j+1},), where k_{m+1} = h. Each has one
    block of columns per gate. In total, these are G [(d + h + 1) k_1 + (k_1 + 1) k_2 + ... + (k_m + 1) h] parameters.

    Attributes:
        gate_units: Widths of the hidden layers, (k_1, ..., k_m); None for (h,).
    """

    gate_units: tuple[int, ...] | None = None

    gates: ClassVar[tuple[str, ...]] = ("candidate",)
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "gate_activation": "tanh"}

    def __post_init__(self) -> None:
        super().__post_init__()
        widths = (self.units,) if self.gate_units is None else self.gate_units
        widths = widths if isinstance(widths, (list, tuple)) else (widths,)
        checks.store(self, gate_units=tuple(checks.positive_int("gate_units", k) for k in widths))

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Widths of the hidden layers, (k_1, ..., k_m)."""
        return cast("tuple[int, ...]", self.gate_units)  # never None after __post_init__

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        widths = (*self.hidden_widths, self.units)
        return [
            AffineMap("kernel", input_dim, widths[0], self.gates, bias="bias"),
            AffineMap("recurrent_kernel", self.units, widths[0], self.gates, role="recurrent"),
            *(
                AffineMap(f"gate_kernel_{j}", from_width, to_width, self.gates, bias=f"gate_bias_{j}", role="hidden")
                for j, (from_width, to_width) in enumerate(pairwise(widths), start=1)
            ),
        ]

    def apply_hidden_layers(self, gate: str, a: Array, linear: Linear, f: SimpleNamespace) -> Array:
        """Return a_{m+1} of a gate, its pre-activation, from a_1."""
        for j in range(1, len(self.hidden_widths) + 1):
            a = linear(f"gate_kernel_{j}", f.gate_activation(a), gate)[gate]
        return a


class MLPGateRNN(MLPGates):
    """RNN with the transition h_t = f(MLP(x_t, h_{t-1}))."""

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        (h,) = states
        z = linear("recurrent_kernel", h)
        return [f.activation(self.apply_hidden_layers("candidate", x["candidate"] + z["candidate"], linear, f))]


class MLPGateGRU(MLPGates):
    """GRU whose gates and candidate are perceptrons.

    z, r = s(MLP(x_t, h_{t-1})),  g = f(MLP(x_t, r h_{t-1})),  h_t = z h_{t-1} + (1 - z) g
    """

    gates = ("update", "reset", "candidate")
    keep_gates: ClassVar[dict[str, int]] = {"update": 1}
    activations: ClassVar[dict[str, str]] = {**MLPGates.activations, "recurrent_activation": "sigmoid"}

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        (h,) = states
        product, z = linear("recurrent_kernel", h, "update", "reset"), {}
        for gate in ("update", "reset"):
            z[gate] = f.recurrent_activation(self.apply_hidden_layers(gate, x[gate] + product[gate], linear, f))
        product = linear("recurrent_kernel", z["reset"] * h, "candidate")
        candidate = self.apply_hidden_layers("candidate", x["candidate"] + product["candidate"], linear, f)
        return gru(z["update"], f.activation(candidate), h)


class MLPGateLSTM(MLPGates):
    """LSTM whose gates and candidate are perceptrons.

    i, f, o = s(MLP(x_t, h_{t-1})),  g = a(MLP(x_t, h_{t-1})),  c_t = f c_{t-1} + i g,  h_t = o a(c_t)
    """

    gates = ("input", "forget", "candidate", "output")
    states = ("h", "c")
    keep_gates: ClassVar[dict[str, int]] = {"forget": 1}
    write_gates = ("input",)
    keep_bias = 1.0
    activations: ClassVar[dict[str, str]] = {**MLPGates.activations, "recurrent_activation": "sigmoid"}

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        h, c = states
        product, z = linear("recurrent_kernel", h), {}
        for gate in self.gates:
            z[gate] = self.apply_hidden_layers(gate, x[gate] + product[gate], linear, f)
        return lstm(z, c, f)
