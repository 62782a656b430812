"""Equations of deep transitions: several layers (stages) between h_{t-1} and h_t (Pascanu et al. 2013)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.gates import gru, lstm
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, Linear, NamedMap


@dataclass(frozen=True)
class Transition(Equations):
    """Base class of deep transitions: D stages with separate weights.

    Stage k computes s^(k) from s^(k-1); the first input is s^(0) = h_{t-1}, and the last output is h_t = s^(D). The
    pre-activations of the gates are

        stage 1:                        x_t W_1 + s^(0) U_1 + b_1
        stage k > 1 without shortcuts:  s^(k-1) V_k + b_k
        stage k > 1 with shortcuts:     s^(k-1) V_k + b_k + x_t W_k + s^(0) U_k

    `DeepTransitionCell` lists the weights.

    Attributes:
        depth: D; 1 is the standard recurrence.
        shortcut: Connect x_t and h_{t-1} to every stage, not only to the first.
    """

    depth: int = 2
    shortcut: bool = True

    gates: ClassVar[tuple[str, ...]] = ("candidate",)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.store(self, depth=checks.positive_int("depth", self.depth))

    def stage_blocks(self, stage: int) -> tuple[str, ...]:
        """Return the names of the blocks of stage `stage`, 1 to D."""
        return tuple(f"{gate}_{stage}" for gate in self.gates)

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        stages = range(1, self.depth + 1 if self.shortcut else 2)
        input_blocks = tuple(name for stage in stages for name in self.stage_blocks(stage))
        return [
            AffineMap("kernel", input_dim, self.units, input_blocks, bias="bias"),
            AffineMap("recurrent_kernel", self.units, self.units, input_blocks, role="recurrent"),
            *(
                AffineMap(
                    f"transition_kernel_{stage}",
                    self.units,
                    self.units,
                    self.stage_blocks(stage),
                    bias=None if self.shortcut else f"transition_bias_{stage}",
                    role="recurrent",
                )
                for stage in range(2, self.depth + 1)
            ),
        ]

    def recurrent_product(self, stage: int, state: Array, linear: Linear, *gates: str) -> Blocks:
        """Return the product of a state and the recurrent weights of a stage, for the named gates or for all."""
        name = "recurrent_kernel" if stage == 1 else f"transition_kernel_{stage}"
        return linear(name, state, *(f"{gate}_{stage}" for gate in gates or self.gates))

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        shortcuts = [x]
        if self.shortcut and self.depth > 1:
            later = [name for stage in range(2, self.depth + 1) for name in self.stage_blocks(stage)]
            shortcuts.append(linear("recurrent_kernel", states[0], *later))
        for stage in range(1, self.depth + 1):
            added = {
                gate: sum(part[f"{gate}_{stage}"] for part in shortcuts if f"{gate}_{stage}" in part.names)
                for gate in self.gates
            }
            states = self.stage(stage, added, states, linear, f)
        return states

    @abstractmethod
    def stage(
        self, stage: int, added: Mapping[str, Array], states: list[Array], linear: Linear, f: SimpleNamespace
    ) -> list[Array]:
        """Return the states after a stage, the output first.

        Args:
            stage: Number of the stage, 1 to D.
            added: Terms that are added to the recurrent product of each gate.
            states: States before the stage.
            linear: Applies a map by name.
            f: The activations, as attributes.
        """


class TransitionRNN(Transition):
    """Transition whose stages are simple RNNs, s^(k) = f(z)."""

    @override
    def stage(
        self, stage: int, added: Mapping[str, Array], states: list[Array], linear: Linear, f: SimpleNamespace
    ) -> list[Array]:
        z = self.recurrent_product(stage, states[0], linear)
        return [f.activation(added["candidate"] + z[f"candidate_{stage}"])]


class TransitionGRU(Transition):
    """Transition whose stages are GRUs with the reset gate applied before the recurrent product (Cho et al. 2014)."""

    gates = ("update", "reset", "candidate")
    keep_gates: ClassVar[dict[str, int]] = {"update": 1}
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    @override
    def stage(
        self, stage: int, added: Mapping[str, Array], states: list[Array], linear: Linear, f: SimpleNamespace
    ) -> list[Array]:
        (h,) = states
        product, z = self.recurrent_product(stage, h, linear, "update", "reset"), {}
        for gate in ("update", "reset"):
            z[gate] = f.recurrent_activation(added[gate] + product[f"{gate}_{stage}"])
        product = self.recurrent_product(stage, z["reset"] * h, linear, "candidate")
        return gru(z["update"], f.activation(added["candidate"] + product[f"candidate_{stage}"]), h)


class TransitionLSTM(Transition):
    """Transition whose stages are LSTMs; both h and c pass through all stages."""

    gates = ("input", "forget", "candidate", "output")
    states = ("h", "c")
    keep_gates: ClassVar[dict[str, int]] = {"forget": 1}
    write_gates = ("input",)
    keep_bias = 1.0
    activations: ClassVar[dict[str, str]] = {"activation": "tanh", "recurrent_activation": "sigmoid"}

    @override
    def stage(
        self, stage: int, added: Mapping[str, Array], states: list[Array], linear: Linear, f: SimpleNamespace
    ) -> list[Array]:
        h, c = states
        product = self.recurrent_product(stage, h, linear)
        return lstm({gate: added[gate] + product[f"{gate}_{stage}"] for gate in self.gates}, c, f)
