"""Deep transitions: from one step to the next the state goes through several stages (Pascanu et al. 2013)."""

from abc import abstractmethod
from dataclasses import dataclass

from deeprnn_keras import checks
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.gates import gru, lstm
from deeprnn_keras.equations.maps import AffineMap


@dataclass(frozen=True)
class Transition(Equations):
    """The base: D stages, each a recurrence of its own; the first reads x_t, each further one the state before it.

    What enters the gates of stage k, with s^(0) = h_{t-1}:

        k = 1:  x_t W_1 + s^(0) U_1 + b_1
        k > 1:  s^(k-1) V_k + b_k, and with shortcuts  + x_t W_k + s^(0) U_k

    Weights (G gates, S = D with shortcuts, else 1): kernel W (d, S G h), recurrent_kernel U (h, S G h),
    bias (S G h,), stage after stage; transition_kernel_k V_k (h, G h) for k = 2, ..., D, and without shortcuts
    transition_bias_k (G h,). In all G h [(d + h) S + h (D - 1) + D].

    Attributes:
        depth: D; 1 is the plain recurrence.
        shortcut: whether stages after the first read x_t and h_{t-1} too.
    """

    depth: int = 2
    shortcut: bool = True
    gates = ("candidate",)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "depth", checks.positive_int("depth", self.depth))
        object.__setattr__(self, "shortcut", bool(self.shortcut))

    def names(self, stage):
        """The blocks of a stage."""
        return tuple(f"{gate}_{stage}" for gate in self.gates)

    def maps(self, input_dim):
        stages = range(1, self.depth + 1 if self.shortcut else 2)
        joint = tuple(name for stage in stages for name in self.names(stage))
        return [
            AffineMap("kernel", input_dim, self.units, joint, bias="bias"),
            AffineMap("recurrent_kernel", self.units, self.units, joint, role="recurrent"),
            *(
                AffineMap(
                    f"transition_kernel_{stage}",
                    self.units,
                    self.units,
                    self.names(stage),
                    bias=None if self.shortcut else f"transition_bias_{stage}",
                    role="recurrent",
                )
                for stage in range(2, self.depth + 1)
            ),
        ]

    def from_state(self, stage, state, linear, *gates):
        """The recurrent product of a stage."""
        name = "recurrent_kernel" if stage == 1 else f"transition_kernel_{stage}"
        return linear(name, state, *(f"{gate}_{stage}" for gate in gates or self.gates))

    def step(self, x, states, linear, f):
        shortcuts = [x]
        if self.shortcut and self.depth > 1:
            later = [name for stage in range(2, self.depth + 1) for name in self.names(stage)]
            shortcuts.append(linear("recurrent_kernel", states[0], *later))
        for stage in range(1, self.depth + 1):
            added = {
                gate: sum(part[f"{gate}_{stage}"] for part in shortcuts if f"{gate}_{stage}" in part.names)
                for gate in self.gates
            }
            states = self.stage(stage, added, states, linear, f)
        return states

    @abstractmethod
    def stage(self, stage, added, states, linear, f):
        """(what is added to the recurrent products, by gate; states) -> new states."""


class TransitionRNN(Transition):
    """s^(k) = f(z)."""

    def stage(self, stage, added, states, linear, f):
        z = self.from_state(stage, states[0], linear)
        return [f.activation(added["candidate"] + z[f"candidate_{stage}"])]


class TransitionGRU(Transition):
    """Each stage is a GRU whose reset gate acts before the product (Cho et al. 2014)."""

    gates = ("update", "reset", "candidate")
    keep_gates = {"update": 1}  # noqa: RUF012
    activations = {"activation": "tanh", "recurrent_activation": "sigmoid"}  # noqa: RUF012

    def stage(self, stage, added, states, linear, f):
        (h,) = states
        product, z = self.from_state(stage, h, linear, "update", "reset"), {}
        for gate in ("update", "reset"):
            z[gate] = f.recurrent_activation(added[gate] + product[f"{gate}_{stage}"])
        product = self.from_state(stage, z["reset"] * h, linear, "candidate")
        return gru(z["update"], f.activation(added["candidate"] + product[f"candidate_{stage}"]), h)


class TransitionLSTM(Transition):
    """Each stage is an LSTM; h and c both go through all stages."""

    gates = ("input", "forget", "candidate", "output")
    states = ("h", "c")
    keep_gates = {"forget": 1}  # noqa: RUF012
    write_gates = ("input",)
    keep = 1.0
    activations = {"activation": "tanh", "recurrent_activation": "sigmoid"}  # noqa: RUF012

    def stage(self, stage, added, states, linear, f):
        h, c = states
        product = self.from_state(stage, h, linear)
        return lstm({gate: added[gate] + product[f"{gate}_{stage}"] for gate in self.gates}, c, f)
