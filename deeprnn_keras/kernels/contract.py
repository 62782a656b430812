"""The contract between recurrent layers and the implementations that run them.

Nothing here imports a framework: tensors are opaque, so an implementation for another backend is one directory beside
`xla` and `cudnn`, with an `IMPLEMENTATION` in its `__init__.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from deeprnn_keras.equations import Equations

Tensor = Any


@dataclass(frozen=True)
class Traits:
    """The properties of a recurrent layer on which the choice of an implementation depends.

    Attributes:
        cell: "rnn", "gru", "lstm", or None for any other cell.
        activation, recurrent_activation: Keras' name, or None for a function that has none.
        use_bias: Whether the cell has a bias.
        unroll: Whether the loop is written out.
        dropout, recurrent_dropout: Rates on x and on the state.
        implementation: Keras' argument; 1 keeps a product, and a dropout mask, for each gate.
        reset_after: Of a GRU.
        type_name: Class of the cell, for messages.
        has_equations: Whether the cell is a `RecurrentCell`.
        any_cell: Whether the layer is `RNN`, which runs any cell.
    """

    cell: str | None
    activation: str | None = "tanh"
    recurrent_activation: str | None = "sigmoid"
    use_bias: bool = True
    unroll: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    implementation: int = 2
    reset_after: bool = True
    type_name: str = ""
    has_equations: bool = False
    any_cell: bool = False


@dataclass(frozen=True)
class Recurrence:
    """A recurrence apart from its weights.

    Attributes:
        equations: What a step computes.
        activations: ((name in the equations, Keras' name of the function, or the function), ...).
    """

    equations: Equations
    activations: tuple[tuple[str, Any], ...]

    @property
    def is_shareable(self) -> bool:
        """True if nothing in it is user-defined, so that a cache that outlives the layer may hold it."""
        ours = type(self.equations).__module__.startswith("deeprnn_keras.")
        return ours and all(isinstance(function, str) for _, function in self.activations)


class LayerCall(NamedTuple):
    """One recurrent layer, as an implementation is given it for one call.

    Attributes:
        recurrence: Equations and activations; None for a cell that has none.
        weights: () -> {name: tensor}, as the cell stores them, in the precision of the variables.
        input_dim: d.
        go_backwards, return_sequences, zero_output_for_mask, training: As in Keras.
        compute_dtype: Precision of the layer's inputs and outputs.
        input_dropout: x -> x with the cell's input dropout; identity outside training.
        keras_loop: (sequences, states, mask) -> (last output, outputs, states): the loop over the cell's steps.
        keras_cudnn: The same by Keras' own choice between cuDNN and its loop.
        cache: Dictionary that lives as long as the layer, for what an implementation prepares once.
    """

    recurrence: Recurrence | None
    weights: Callable[[], Mapping[str, Tensor]]
    input_dim: int
    go_backwards: bool
    return_sequences: bool
    zero_output_for_mask: bool
    training: bool
    compute_dtype: str
    input_dropout: Callable[[Tensor], Tensor]
    keras_loop: Callable[..., tuple]
    keras_cudnn: Callable[..., tuple]
    cache: dict


@dataclass(frozen=True)
class Connections:
    """Connections between the layers of a stack.

    Attributes:
        kind: "stack", "residual", or "skip".
        block_size: Number of layers that a residual shortcut passes over.
        all_layers: Return what leaves every layer, not what leaves the top alone.
    """

    kind: str
    block_size: int
    all_layers: bool

    def reads_input(self, level: int) -> bool:
        """Return whether a level reads X beside what leaves the level below; levels count from 0."""
        return self.kind == "skip" and level > 0

    def shortcut_source(self, level: int) -> int | None:
        """Return the level whose output is added to that of this one, or None."""
        source = level - self.block_size
        return source if self.kind == "residual" and source >= 0 and (level + 1) % self.block_size == 0 else None


class StackCall(NamedTuple):
    """A whole stack, as an implementation is given it for one call.

    Attributes:
        levels: The layers of each level: [forward] or [forward, backward].
        connections: How they are joined.
        dropouts: For each level but the first, the dropout on what it reads from below.
        return_sequences, training: As in Keras.
        remat: Recompute the gates in the backward pass instead of storing them.
        cache: Dictionary that lives as long as the stack.
    """

    levels: Sequence[Sequence[LayerCall]]
    connections: Connections
    dropouts: Sequence[Callable[[Tensor], Tensor]]
    return_sequences: bool
    training: bool
    remat: bool
    cache: dict


@dataclass(frozen=True)
class Implementation:
    """One way to run recurrent layers.

    Attributes:
        name: As in `DeepRNN(implementation=...)`.
        preference: The highest that is supported is selected by "auto".
        backend: Keras backend that it needs, or None for any.
        device: "gpu": needs one; "cpu": is made for CPUs and not selected by "auto" on a GPU; None: any.
        unsupported_reasons: traits -> reasons why it does not support such a layer; empty where it does.
        layer_runner: "module:function" that runs a layer, (LayerCall, sequences (n, T, d), states, mask (n, T) or None)
            -> (last output (n, h), outputs (n, T, h) or (n, 1, h), final states).
        stack_runner: "module:function" that runs a whole stack, (StackCall, sequences, states per level, mask) ->
            (outputs, final states per level); None if layers run one by one.
    """

    name: str
    preference: int
    backend: str | None
    device: str | None
    unsupported_reasons: Callable[[Traits], list[str]]
    layer_runner: str
    stack_runner: str | None = None

    @property
    def run_layer(self) -> Callable[..., tuple]:
        """The function that runs a layer."""
        return _function(self.layer_runner)

    @property
    def run_stack(self) -> Callable[..., tuple]:
        """The function that runs a stack."""
        return _function(self.stack_runner)


def _function(path: str) -> Callable[..., tuple]:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
