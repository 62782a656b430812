"""`Equations`: what a recurrence is, apart from its weights."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

from deeprnn_keras import checks


@dataclass(frozen=True)
class Equations(ABC):
    """The base of all recurrences that are written as equations; its fields are their sizes.

    A step is split in two. `read` is all that does not depend on the state: it is computed for every step at once.
    `step` is the rest. Both are pure functions and use nothing but arithmetic, the activations in `f` and
    `linear(name, a, *blocks)`, the affine maps of `maps`: so they hold for arrays (n, features) and (features, n),
    for one step and, `read`, for whole sequences, and a gradient can be derived from them.

    Attributes:
        units: h.

    Class attributes:
        states: names of what is carried from step to step, the output first; each has width h.
        activations: {name in f: the default}.
        keep_gates: {gate: 1, or -1 for one that forgets where it is high}; a block "forget_2" is the gate "forget".
        write_gates: gates that let new things in, where they are not one minus those that keep.
        keep: where the bias of the gates that keep starts, unless another is asked for; None: 0.

    >>> from deeprnn_keras.equations.mlp_gates import MLPGateRNN
    >>> MLPGateRNN(units=4, gate_units=(3,)).count_params(inputs=2)      # (2 + 4 + 1) 3 + (3 + 1) 4
    37
    """

    units: int

    states = ("h",)
    activations = {"activation": "tanh"}  # noqa: RUF012 - a class attribute, not a field
    keep_gates = {}  # noqa: RUF012
    write_gates = ()
    keep = None

    def __post_init__(self):
        object.__setattr__(self, "units", checks.positive_int("units", self.units))

    @abstractmethod
    def maps(self, inputs):
        """The `AffineMap`s for inputs of this width, in the order of the weights."""

    def read(self, x, linear, f):
        """x -> the `Blocks` that `step` gets; by default the map "kernel" of x."""
        return linear("kernel", x)

    @abstractmethod
    def step(self, x, states, linear, f):
        """(what `read` gives, states, linear, f) -> new states, the output first."""

    def remembering(self, keep, write=None):
        """{(bias, block): where it starts} if gates that keep start at `keep`, and those that write at `write`."""
        values = {gate: sign * keep for gate, sign in self.keep_gates.items()}
        if write is not None:
            values |= dict.fromkeys(self.write_gates, write)
        homes = {block: known.bias for known in self.maps(1) if known.bias for block in known.blocks}  # the last counts
        gates = {block: re.sub(r"_\d+$", "", block) for block in homes}
        return {(homes[block], block): values[gate] for block, gate in gates.items() if gate in values}

    def count_params(self, inputs):
        """The number of weights for inputs of this width."""
        return sum(known.count_params() for known in self.maps(inputs))
