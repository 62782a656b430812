"""`Equations`: base class of recurrences, which are defined separately from their weights."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import ClassVar

from deeprnn_keras import checks
from deeprnn_keras.equations.maps import Array, Blocks, Linear, NamedMap


@dataclass(frozen=True)
class Equations(ABC):
    """Base class of recurrences; the fields of a subclass are its sizes and options.

    A step consists of two methods. `project_inputs` computes the part that does not depend on the state, for all steps
    at once; `step` computes the rest. Both are pure functions that use only arithmetic, the activations in `f`, and
    the maps in `maps`, through `linear(name, a, *blocks)`. They can therefore be evaluated on arrays
    (n, features) or (features, n), `project_inputs` also on whole sequences, and their gradient can be derived.

    Attributes:
        units: h.
        states: Class attribute. Names of the tensors carried from step to step, the output first. Each has width h;
            equations with states of other widths override `state_widths`.
        activations: Class attribute. Default activations, {name in f: Keras activation}.
        keep_gates: Class attribute. Gates that control how much of the state is kept, {gate: sign}: 1 for a gate that
            keeps the state where its value is high, -1 for a gate that overwrites it. The gate of a block "forget_2" is
            "forget".
        write_gates: Class attribute. Gates that multiply the candidate, except those defined as one minus a keep gate.
        keep_bias: Class attribute. Default initial bias of the keep gates; None for 0.

    >>> from deeprnn_keras.equations.mlp_gates import MLPGateRNN
    >>> MLPGateRNN(units=4, gate_units=(3,)).count_params(input_dim=2)      # (2 + 4 + 1) 3 + (3 + 1) 4
    37
    """

    units: int

    states: ClassVar[tuple[str, ...]] = ("h",)
    activations: ClassVar[dict[str, str]] = {"activation": "tanh"}
    keep_gates: ClassVar[dict[str, int]] = {}
    write_gates: ClassVar[tuple[str, ...]] = ()
    keep_bias: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        """Check `units` and all fields of type bool."""
        checks.store(self, units=checks.positive_int("units", self.units))
        for field in fields(self):
            if field.type in (bool, "bool"):
                checks.store(self, **{field.name: checks.flag(field.name, getattr(self, field.name))})

    @abstractmethod
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        """Return the maps for inputs of width `input_dim`, in the order of the weights."""

    def project_inputs(self, x: Array, linear: Linear, f: SimpleNamespace) -> Blocks:
        """Return the part of a step that depends only on the inputs; by default "kernel" applied to x.

        Args:
            x: Inputs, (n, d) or (n, T, d).
            linear: Applies a map by name.
            f: The activations, as attributes.
        """
        return linear("kernel", x)

    @abstractmethod
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        """Return the new states, the output first.

        Args:
            x: Result of `project_inputs` for the step.
            states: States before the step, (n, width) each, in the order of `state_widths`.
            linear: Applies a map by name.
            f: The activations, as attributes.
        """

    def state_widths(self) -> dict[str, int]:
        """Return {state: number of features}, the output first; by default h for each of `states`.

        Everything that stores, passes on, or checks states takes their names and widths from here.
        """
        return dict.fromkeys(self.states, self.units)

    @property
    def output_width(self) -> int:
        """Number of features of the output, which is the first state."""
        return next(iter(self.state_widths().values()))

    def default_keep_bias(self) -> float | None:
        """Return the default initial bias of the keep gates, or None for 0."""
        return self.keep_bias

    def gate_biases(self, keep: Array, write: Array | None = None) -> dict[tuple[str, str], Array]:
        """Return the initial biases of the keep and write gates, {(name of the bias, block): value}.

        Args:
            keep: Initial bias of the keep gates; negated for gates with sign -1.
            write: Initial bias of the write gates; None to omit them from the result.
        """
        values = {gate: sign * keep for gate, sign in self.keep_gates.items()}
        if write is not None:
            values |= dict.fromkeys(self.write_gates, write)
        # a block with biases in several maps is initialized in the last map, the closest to the gate's output
        bias_names = {block: one.bias for one in self.maps(1) if one.bias for block in one.blocks}
        gates = {block: re.sub(r"_\d+$", "", block) for block in bias_names}
        return {(bias_names[block], block): values[gate] for block, gate in gates.items() if gate in values}

    def count_params(self, input_dim: int) -> int:
        """Return the number of parameters for inputs of width `input_dim`."""
        return sum(one.count_params() for one in self.maps(input_dim))
