"""Recurrences whose gates have hidden layers: a multilayer perceptron of (x_t, h_{t-1}) in place of an affine map."""

from dataclasses import dataclass
from itertools import pairwise

from deeprnn_keras import checks
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.gates import gru, lstm
from deeprnn_keras.equations.maps import AffineMap


@dataclass(frozen=True)
class MLPGates(Equations):
    """The base: each of G gates has a perceptron of its own, with hidden layers of k_1, ..., k_m units.

        a_1 = x_t W + s U + b,  a_{j+1} = f(a_j) V_j + b_j,  j = 1, ..., m

    a_{m+1}, of width h, is what enters the gate's own activation; s is the state that the gate looks at. Without
    hidden layers, m = 0, this is the affine map of the plain cell.

    Weights (d inputs): kernel W (d, G k_1), recurrent_kernel U (h, G k_1), bias b (G k_1,); and for each j
    gate_kernel_j V_j (k_j, G k_{j+1}), in which each gate has its block of columns, gate_bias_j (G k_{j+1},);
    k_{m+1} = h. In all G [(d + h + 1) k_1 + (k_1 + 1) k_2 + ... + (k_m + 1) h].

    Attributes:
        gate_units: (k_1, ..., k_m); None: (h,).
    """

    gate_units: tuple[int, ...] | None = None
    gates = ("candidate",)
    activations = {"activation": "tanh", "gate_activation": "tanh"}  # noqa: RUF012

    def __post_init__(self):
        super().__post_init__()
        given = (self.units,) if self.gate_units is None else self.gate_units
        given = given if isinstance(given, (list, tuple)) else (given,)
        object.__setattr__(self, "gate_units", tuple(checks.positive_int("gate_units", k) for k in given))

    def maps(self, input_dim):
        widths = (*self.gate_units, self.units)
        return [
            AffineMap("kernel", input_dim, widths[0], self.gates, bias="bias"),
            AffineMap("recurrent_kernel", self.units, widths[0], self.gates, role="recurrent"),
            *(
                AffineMap(f"gate_kernel_{j}", reads, gives, self.gates, bias=f"gate_bias_{j}", role="hidden")
                for j, (reads, gives) in enumerate(pairwise(widths), start=1)
            ),
        ]

    def deepened(self, gate, a, linear, f):
        """a_1 -> a_{m+1} of a gate."""
        for j in range(1, len(self.gate_units) + 1):
            a = linear(f"gate_kernel_{j}", f.gate_activation(a), gate)[gate]
        return a


class MLPGateRNN(MLPGates):
    """h_t = f(MLP(x_t, h_{t-1}))."""

    def step(self, x, states, linear, f):
        (h,) = states
        z = linear("recurrent_kernel", h)
        return [f.activation(self.deepened("candidate", x["candidate"] + z["candidate"], linear, f))]


class MLPGateGRU(MLPGates):
    """z, r = s(MLP(x_t, h_{t-1})),  g = f(MLP(x_t, r h_{t-1})),  h_t = z h_{t-1} + (1 - z) g."""

    gates = ("update", "reset", "candidate")
    keep_gates = {"update": 1}  # noqa: RUF012
    activations = {**MLPGates.activations, "recurrent_activation": "sigmoid"}  # noqa: RUF012

    def step(self, x, states, linear, f):
        (h,) = states
        product, z = linear("recurrent_kernel", h, "update", "reset"), {}
        for gate in ("update", "reset"):
            z[gate] = f.recurrent_activation(self.deepened(gate, x[gate] + product[gate], linear, f))
        product = linear("recurrent_kernel", z["reset"] * h, "candidate")
        candidate = self.deepened("candidate", x["candidate"] + product["candidate"], linear, f)
        return gru(z["update"], f.activation(candidate), h)


class MLPGateLSTM(MLPGates):
    """i, f, o = s(MLP(x_t, h_{t-1})),  g = a(MLP(x_t, h_{t-1})),  c_t = f c_{t-1} + i g,  h_t = o a(c_t)."""

    gates = ("input", "forget", "candidate", "output")
    states = ("h", "c")
    keep_gates = {"forget": 1}  # noqa: RUF012
    write_gates = ("input",)
    keep = 1.0
    activations = {**MLPGates.activations, "recurrent_activation": "sigmoid"}  # noqa: RUF012

    def step(self, x, states, linear, f):
        h, c = states
        product, z = linear("recurrent_kernel", h), {}
        for gate in self.gates:
            z[gate] = self.deepened(gate, x[gate] + product[gate], linear, f)
        return lstm(z, c, f)
