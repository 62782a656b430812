"""The recurrent highway network: a deep transition whose stages carry what they do not transform."""

from dataclasses import dataclass

from deeprnn_keras import checks
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.maps import AffineMap


@dataclass(frozen=True)
class RecurrentHighway(Equations):
    """D highway layers from h_{t-1} to h_t (Zilly et al. 2016, arXiv:1607.03474).

    With s^(0) = h_{t-1} and h_t = s^(D), for k = 1, ..., D:

        g = a(s^(k-1) V_k + b_k [+ x_t W if k = 1]),  t = s(likewise),  c = s(likewise), or 1 - t if coupled
        s^(k) = g t + s^(k-1) c

    Weights (G = 2 coupled, else 3): kernel W (d, G h), recurrent_kernel V_1 (h, G h), bias b_1 (G h,); for
    k = 2, ..., D transition_kernel_k V_k (h, G h), transition_bias_k (G h,). In all G h [d + D (h + 1)].

    Attributes:
        depth: D.
        coupled: c = 1 - t.
        transform_bias: where b of t starts; below 0 the network begins by carrying, as a long memory wants.
    """

    depth: int = 3
    coupled: bool = True
    transform_bias: float = -2.0

    activations = {"activation": "tanh", "recurrent_activation": "sigmoid"}  # noqa: RUF012

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "depth", checks.positive_int("depth", self.depth))
        object.__setattr__(self, "coupled", bool(self.coupled))
        bias = checks.number("transform_bias", self.transform_bias)
        object.__setattr__(self, "transform_bias", bias)

    def names(self, stage):
        """The blocks of a stage."""
        gates = ("candidate", "transform") if self.coupled else ("candidate", "transform", "carry")
        return tuple(f"{gate}_{stage}" for gate in gates)

    def maps(self, input_dim):
        width, first = self.units, self.names(1)
        return [
            AffineMap("kernel", input_dim, width, first, bias="bias"),
            AffineMap("recurrent_kernel", width, width, first, role="recurrent"),
            *(
                AffineMap(f"transition_kernel_{k}", width, width, self.names(k), f"transition_bias_{k}", "recurrent")
                for k in range(2, self.depth + 1)
            ),
        ]

    def step(self, x, states, linear, f):
        (s,) = states
        for k in range(1, self.depth + 1):
            z = linear("recurrent_kernel" if k == 1 else f"transition_kernel_{k}", s)

            def enters(gate, z=z, k=k):
                return z[f"{gate}_{k}"] + x[f"{gate}_{k}"] if k == 1 else z[f"{gate}_{k}"]

            candidate, transform = f.activation(enters("candidate")), f.recurrent_activation(enters("transform"))
            if self.coupled:
                s = s + transform * (candidate - s)
            else:
                s = candidate * transform + s * f.recurrent_activation(enters("carry"))
        return [s]

    @property
    def keep_gates(self):
        """A coupled layer carries where it does not transform."""
        return {"transform": -1} if self.coupled else {"transform": -1, "carry": 1}

    @property
    def keep(self):
        """Of the transform gate, with its sign."""
        return -self.transform_bias
