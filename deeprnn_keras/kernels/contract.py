"""Interface between recurrent layers and the implementations that run them.

This module imports no framework: tensors are opaque. An implementation for another backend is one more subpackage next
to `xla` and `cudnn`, with an `IMPLEMENTATION` in its `__init__.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from deeprnn_keras._types import Tensor
from deeprnn_keras.equations import Equations

LayerResult: TypeAlias = "tuple[Tensor, Tensor, list[Tensor]]"
"""Result of a layer: last output (n, h), outputs (n, T, h) or (n, 1, h), and final states, as Keras' `inner_loop`."""

StackResult: TypeAlias = "tuple[list[Tensor], list[list[Tensor]]]"
"""Result of a stack: its outputs, one or one per level, and the final states of each level."""

InnerLoop: TypeAlias = "Callable[[Tensor, Sequence[Tensor], Tensor | None], LayerResult]"
"""Function (sequences, initial states, mask) that runs a layer, as `inner_loop` of a Keras recurrent layer."""

LayerRunner: TypeAlias = "Callable[[LayerCall, Tensor, Sequence[Tensor], Tensor | None], LayerResult]"
"""Function (LayerCall, sequences (n, T, d), initial states, mask (n, T) or None) that runs a layer."""

StackRunner: TypeAlias = "Callable[[StackCall, Tensor, Sequence[Sequence[Tensor]], Tensor | None], StackResult]"
"""Function (StackCall, sequences (n, T, d), initial states per level, mask (n, T) or None) that runs a stack."""


@dataclass(frozen=True)
class Traits:
    """Properties of a recurrent layer that determine which implementations support it.

    Attributes:
        cell: "rnn", "gru", "lstm", or None for any other cell.
        activation: Keras' name of the activation, or None for a user-defined function.
        recurrent_activation: Keras' name of the gates' activation, or None for a user-defined function.
        use_bias: True if the cell has a bias.
        unroll: True if the loop over time is unrolled.
        dropout: Dropout rate of the inputs.
        recurrent_dropout: Dropout rate of the states.
        zoneout: Largest zoneout rate of the states.
        implementation: Argument of a Keras cell; 1 computes one product per gate, each with its own dropout mask.
        reset_after: Argument of a GRU.
        type_name: Class name of the cell, for messages.
        has_equations: True if the cell is a `RecurrentCell`.
        untraceable: Operation of its equations that is not one of the primitives, or "".
        unitwise: True if its recurrence is elementwise: no unit reads the states of another one.
        first_order: True if, in addition, the new states are linear functions of the old ones.
        any_cell: True if the layer is `RNN`, which accepts any cell.
        compute_dtype: Dtype of the layer's inputs and outputs.
    """

    cell: str | None
    activation: str | None = "tanh"
    recurrent_activation: str | None = "sigmoid"
    use_bias: bool = True
    unroll: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    zoneout: float = 0.0
    implementation: int = 2
    reset_after: bool = True
    type_name: str = ""
    has_equations: bool = False
    untraceable: str = ""
    unitwise: bool = False
    first_order: bool = False
    any_cell: bool = False
    compute_dtype: str = "float32"


@dataclass(frozen=True)
class Machine:
    """Facts about a machine, a process, and the graph being traced that determine the selection.

    Attributes:
        backend: Keras backend.
        gpu: True if a GPU is visible to the backend.
        native_missing: Reason why the native library is unavailable; empty if it is available.
        exporting: True if a graph is traced for export to a file.
        compiled_by_xla: True if TensorFlow's XLA compiles the graph being traced.
        compiled_by_torch: True if `torch.compile` or `torch.export` traces the current call.
    """

    backend: str = "tensorflow"
    gpu: bool = False
    native_missing: str = ""
    exporting: bool = False
    compiled_by_xla: bool = False
    compiled_by_torch: bool = False


@dataclass(frozen=True)
class Recurrence:
    """Equations and activations of a recurrence, without its weights.

    Attributes:
        equations: Computation of one step.
        activations: ((name in the equations, Keras' name of the function or the function itself), ...).
    """

    equations: Equations
    activations: tuple[tuple[str, str | Callable[[Tensor], Tensor]], ...]

    @property
    def is_shareable(self) -> bool:
        """True if no part is user-defined, so that a cache that outlives the layer may hold it."""
        from_this_package = type(self.equations).__module__.startswith("deeprnn_keras.")
        return from_this_package and all(isinstance(function, str) for _, function in self.activations)


class LayerCall(NamedTuple):
    """One call of a recurrent layer, as passed to an implementation.

    Attributes:
        recurrence: Equations and activations; None for a cell without equations.
        weights: () -> {name: variable or tensor of the backend}, as the cell stores them, with weight dropout applied.
            Implementations read each of them once.
        input_dim: Number of input features, d.
        go_backwards: Keras' argument.
        return_sequences: Keras' argument.
        zero_output_for_mask: Keras' argument.
        training: Keras' argument.
        compute_dtype: Dtype of the layer's inputs and outputs.
        input_dropout: x -> x with the cell's input dropout applied; the identity outside training.
        keras_loop: Keras' loop over the steps of the cell.
        keras_cudnn: Keras' own selection between cuDNN and its loop.
        cache: Dictionary with the lifetime of the layer, for objects that an implementation prepares once.
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
    keras_loop: InnerLoop
    keras_cudnn: InnerLoop
    cache: dict[object, Any]


@dataclass(frozen=True)
class Connections:
    """Connections between the levels of a stack.

    Attributes:
        kind: "stack", "residual", or "skip".
        block_size: Number of layers that a residual shortcut spans.
        all_layers: Return the outputs of all levels instead of the top level only.
    """

    kind: str
    block_size: int
    all_layers: bool

    def reads_input(self, level: int) -> bool:
        """Return whether a level reads X in addition to the output of the level below; levels count from 0."""
        return self.kind == "skip" and level > 0

    def shortcut_source(self, level: int) -> int | None:
        """Return the level whose output is added to the output of this level, or None."""
        source = level - self.block_size
        return source if self.kind == "residual" and source >= 0 and (level + 1) % self.block_size == 0 else None


class StackCall(NamedTuple):
    """One call of a stack of recurrent layers, as passed to an implementation.

    Attributes:
        levels: Layers of each level: [forward] or [forward, backward].
        connections: Connections between the levels.
        dropouts: Dropout on the input from the level below, for each level but the first.
        dropout_masks: Factors (n, width) of the input from the level below, the same for all steps, or None, for each
            level but the first.
        return_sequences: Keras' argument.
        training: Keras' argument.
        remat: Recompute the gates in the backward pass instead of storing them.
        cache: Dictionary with the lifetime of the stack, for objects that an implementation prepares once.
    """

    levels: Sequence[Sequence[LayerCall]]
    connections: Connections
    dropouts: Sequence[Callable[[Tensor], Tensor]]
    dropout_masks: Sequence[Tensor | None]
    return_sequences: bool
    training: bool
    remat: bool
    cache: dict[object, Any]


@dataclass(frozen=True)
class Implementation:
    """One way to run recurrent layers.

    Attributes:
        name: Value of the argument in `DeepRNN(implementation=...)`.
        preference: "auto" selects the supported implementation with the highest preference.
        backends: Supported Keras backends, or None for any.
        device: "gpu" if it requires a GPU; "cpu" if it is optimized for CPUs, so that "auto" does not select it on a
            machine with a GPU; None for any device.
        unsupported_reasons: Traits -> reasons why such a layer is not supported; empty if it is supported.
        layer_runner: "module:function" of the `LayerRunner`.
        machine_reasons: Machine -> further reasons why it cannot run there.
        stack_runner: "module:function" of the `StackRunner`; None if the layers of a stack run one by one.
        concerns: Traits -> False for layers of kinds that the implementation is not made for; then reports omit it.
    """

    name: str
    preference: int
    backends: tuple[str, ...] | None
    device: str | None
    unsupported_reasons: Callable[[Traits], list[str]]
    layer_runner: str
    stack_runner: str | None = None
    machine_reasons: Callable[[Machine], list[str]] = lambda machine: []
    concerns: Callable[[Traits], bool] = lambda traits: True

    @property
    def run_layer(self) -> LayerRunner:
        """Function that runs a layer."""
        return _import_function(self.layer_runner)

    @property
    def run_stack(self) -> StackRunner:
        """Function that runs a stack; only for an implementation with a `stack_runner`."""
        assert self.stack_runner is not None
        return _import_function(self.stack_runner)


def _import_function(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
