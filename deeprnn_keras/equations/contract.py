"""`Equations`: a recurrence apart from its weights."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from deeprnn_keras import checks
from deeprnn_keras.equations.maps import Array, Blocks, Linear, NamedMap


@dataclass(frozen=True)
class Equations(ABC):
    """Base of all recurrences; its fields are their sizes and switches.

    A step is split in two. `project_inputs` is the part that does not depend on the state: it is computed for all steps
    at once. `step` is the rest. Both are pure functions that use nothing but arithmetic, the activations in `f`, and
    `linear(name, a, *blocks)`, the maps of `maps`. They therefore hold for arrays (n, features) and (features, n), for
    one step and, `project_inputs`, for whole sequences, and a gradient can be derived from them.

    Attributes:
        units: h.

    Class attributes:
        states: Names of the tensors carried from step to step, the output first; each has width h.
        activations: {name in f: default}.
        keep_gates: {gate: 1, or -1 for a gate that forgets where it is high}; a block "forget_2" is the gate "forget".
        write_gates: Gates that let new values in, where they are not one minus those that keep.
        keep: Initial bias of the gates that keep, unless another is asked for; None: 0.

    >>> from deeprnn_keras.equations.mlp_gates import MLPGateRNN
    >>> MLPGateRNN(units=4, gate_units=(3,)).count_params(input_dim=2)      # (2 + 4 + 1) 3 + (3 + 1) 4
    37
    """

    units: int

    states: ClassVar[tuple[str, ...]] = ("h",)
    activations: ClassVar[dict[str, str]] = {"activation": "tanh"}
    keep_gates: ClassVar[dict[str, int]] = {}
    write_gates: ClassVar[tuple[str, ...]] = ()
    keep: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", checks.positive_int("units", self.units))

    @abstractmethod
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        """Return the maps for inputs of this width, in the order of the weights."""

    def project_inputs(self, x: Array, linear: Linear, f: SimpleNamespace) -> Blocks:
        """Return the `Blocks` that `step` gets of x; by default the map "kernel" of x."""
        return linear("kernel", x)

    @abstractmethod
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        """Return the new states, the output first.

        Args:
            x: What `project_inputs` returns for the step.
            states: The states before the step, (n, h) each.
            linear: Applies a map by name.
            f: The activations, as attributes.
        """

    def gate_biases(self, keep: Array, write: Array | None = None) -> dict[tuple[str, str], Array]:
        """Return the initial values {(bias, block): value} of the gates that keep or write the state.

        Args:
            keep: Initial bias of the gates that keep.
            write: Initial bias of the gates that write; None leaves it to the default.
        """
        values = {gate: sign * keep for gate, sign in self.keep_gates.items()}
        if write is not None:
            values |= dict.fromkeys(self.write_gates, write)
        homes = {block: known.bias for known in self.maps(1) if known.bias for block in known.blocks}  # the last counts
        gates = {block: re.sub(r"_\d+$", "", block) for block in homes}
        return {(homes[block], block): values[gate] for block, gate in gates.items() if gate in values}

    def count_params(self, input_dim: int) -> int:
        """Return the number of weights for inputs of this width."""
        return sum(known.count_params() for known in self.maps(input_dim))
