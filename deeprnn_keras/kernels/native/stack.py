"""Execution of stacks and layers in native code, feature-major between the first and the last layer.

The code is the same for all backends. What differs is in one module per backend, each with
`read_weight`, `run_sequence`, `to_columns`, `from_columns`, and `ZERO_BEFORE_FIRST_VALID`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import NamedTuple

import keras
from keras import ops

from deeprnn_keras import _compat
from deeprnn_keras._types import Tensor
from deeprnn_keras.equations import GRUEquations, LSTMEquations, SimpleRNNEquations
from deeprnn_keras.kernels.contract import LayerCall, LayerResult, StackCall, StackResult
from deeprnn_keras.kernels.native.sequences import Layer, LayerWeights

CELLS = {SimpleRNNEquations: "rnn", GRUEquations: "gru", LSTMEquations: "lstm"}


@functools.cache
def _backend() -> ModuleType:
    """Return the module with the operations of the current Keras backend."""
    return importlib.import_module(f"deeprnn_keras.kernels.native.{keras.backend.backend()}")


class PreparedLayer(NamedTuple):
    """A layer that is ready to run.

    Attributes:
        layer: Facts about it.
        weights: Its weights.
    """

    layer: Layer
    weights: LayerWeights


def _prepare(call: LayerCall, remat: bool) -> PreparedLayer:
    assert call.recurrence is not None  # the native code supports cells with equations only
    equations, activations = call.recurrence.equations, dict(call.recurrence.activations)
    cell = CELLS[type(equations)]
    if isinstance(equations, GRUEquations) and not equations.reset_after:
        cell = "gru_reset_before"
    layer = Layer(
        cell,
        str(activations["activation"]),
        str(activations.get("recurrent_activation", "sigmoid")),
        return_sequences=True,
        remat=remat,
    )
    # The only read of each weight in an update: see `xla/stack.py`.
    stored = {name: _backend().read_weight(weight) for name, weight in call.weights().items()}
    return PreparedLayer(layer, LayerWeights(stored["kernel"], stored["recurrent_kernel"], stored.get("bias")))


# === A stack ===


@_compat.without_autograph
def run_stack(
    call: StackCall, sequences: Tensor, states: Sequence[Sequence[Tensor]], mask: Tensor | None
) -> StackResult:
    """Return the outputs of a stack, one or one per level, and the final states of each level.

    Args:
        call: The stack.
        sequences: (n, T, d).
        states: Initial states (n, h) of each level, forward then backward.
        mask: (n, T), or None.
    """
    xla_stack = _xla_in_forward_mode([sequences, *[state for level in states for state in level]], call.levels)
    if xla_stack is not None:
        return xla_stack.run_stack(call, sequences, states, mask)
    run = _StackRun(call, sequences, mask)
    for level, level_states in enumerate(states):
        run.run_level(level, [ops.cast(state, "float32") for state in level_states])
    compute_dtype = call.levels[0][0].compute_dtype
    outputs = [ops.cast(output, compute_dtype) for output in run.outputs()]
    return outputs, [[ops.cast(state, compute_dtype) for state in level] for level in run.final_states]


class _StackRun:
    """One run of a stack, level by level.

    Attributes:
        final_states: Final states of the levels so far.
    """

    def __init__(self, call: StackCall, sequences: Tensor, mask: Tensor | None) -> None:
        self.call, self.connections = call, call.connections
        self.bidirectional = len(call.levels[0]) == 2
        self.mask = None if mask is None else ops.cast(mask, "bool")
        self.x = ops.cast(sequences, "float32")
        self.batch_size = ops.shape(sequences)[0]
        self.x_columns = _backend().to_columns(self.x, self.mask) if self.connections.kind == "skip" else None
        self.sequences: list[Tensor | None] = []  # of the levels so far, feature-major
        self.last: list[Tensor] = []  # outputs of the last step, (n, width)
        self.final_states: list[list[Tensor]] = []
        self.top: Tensor | None = None  # (n, T, width), if the top level returns it directly

    def run_level(self, level: int, states: list[Tensor]) -> None:
        """Run the layers of a level."""
        call, layers = self.call, self.call.levels[level]
        x, x_batch_major = self._input(level)
        is_top = level == len(call.levels) - 1
        direct = is_top and call.return_sequences and self._returns_top_only(level)
        count = len(states) // len(layers)
        outputs, final_states = [], []
        for direction, layer_call in enumerate(layers):
            prepared = _prepare(layer_call, call.remat)
            layer = replace(
                prepared.layer,
                reverse=direction == 1,
                x_batch_major=x_batch_major,
                y_batch_major=direct,
                return_sequences=call.return_sequences or not is_top,
            )
            initial = states[direction * count : (direction + 1) * count]
            output, final = _backend().run_sequence(layer, x, prepared.weights, initial, self.mask, call.training)
            outputs.append(output)
            final_states.append(final)
        self.final_states.append([state for final in final_states for state in final])
        self.last.append(self._with_shortcut(level, self._last_output(final_states), self.last))
        if direct:
            self.top = outputs[0] if len(outputs) == 1 else ops.concatenate(outputs, -1)
            return
        joined = outputs[0] if len(outputs) == 1 or outputs[0] is None else ops.concatenate(outputs, 1)
        self.sequences.append(self._with_shortcut(level, joined, self.sequences))

    def _input(self, level: int) -> tuple[Tensor, bool]:
        """Return the input of a level, and whether it is batch-major."""
        if level == 0:
            return (self.x, True) if self.x_columns is None else (self.x_columns, False)
        dropped = self.call.dropouts[level - 1](self.sequences[-1])
        factors = self.call.dropout_masks[level - 1]
        dropped = dropped if factors is None else dropped * self._in_columns(factors)
        if self.connections.reads_input(level):
            return ops.concatenate([dropped, self.x_columns], 1), False
        return dropped, False

    def _in_columns(self, rows: Tensor) -> Tensor:
        """Return rows (n, width) as (1, width, columns), in the order of the columns of feature-major sequences."""
        if self.mask is None:
            return _backend().to_columns(rows[:, None], None)
        number = ops.cast(ops.arange(self.batch_size)[:, None, None], "float32")
        numbers = ops.broadcast_to(number, (*ops.shape(self.mask), 1))
        # a conversion sets masked steps to 0, so that the row of a column is the maximum over its steps
        column_rows = ops.max(_backend().to_columns(numbers, self.mask), 0)[0]
        return ops.transpose(ops.take(rows, ops.cast(column_rows, "int32"), 0))[None]

    def _returns_top_only(self, level: int) -> bool:
        connections = self.connections
        return connections.kind != "skip" and not connections.all_layers and connections.shortcut_source(level) is None

    def _with_shortcut(self, level: int, output: Tensor | None, below: Sequence[Tensor | None]) -> Tensor | None:
        source = self.connections.shortcut_source(level)
        return output if source is None or output is None else output + below[source]

    def _last_output(self, final_states: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the output of the last step: 0 for examples without a valid step."""
        states = [final[0] for final in final_states]
        last = states[0] if len(states) == 1 else ops.concatenate(states, -1)
        return last if self.mask is None else _zero_unless(_any_valid(self.mask), last)

    def outputs(self) -> list[Tensor]:
        """Return the outputs of the stack, with zeros where Keras has them."""
        if not self.call.return_sequences:
            return self._selected(self.last, -1)
        if self.top is not None:
            return [self._zeroed(self.top)]
        columns = self._selected([output for output in self.sequences if output is not None], 1)
        return [self._zeroed(_backend().from_columns(output, self.mask, self.batch_size)) for output in columns]

    def _selected(self, levels: Sequence[Tensor], axis: int) -> list[Tensor]:
        if self.connections.all_layers:
            return list(levels)
        return [ops.concatenate(levels, axis) if self.connections.kind == "skip" else levels[-1]]

    def _zeroed(self, outputs: Tensor) -> Tensor:
        """Return (n, T, width) with 0 before the first valid step, or at every masked step with two directions."""
        if self.mask is None:
            return outputs
        nonzero = self.mask[:, :, None] if self.bidirectional else _from_first_valid(self.mask)
        return _zero_unless(nonzero, outputs)


# === A layer ===


@_compat.without_autograph
def run_layer(call: LayerCall, sequences: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> LayerResult:
    """Return the last output (n, h), the outputs (n, T, h) or the last one (n, 1, h), and the final states of a layer.

    Args:
        call: The layer.
        sequences: (n, T, d).
        states: Initial states, (n, h) each.
        mask: (n, T), or None.
    """
    xla_stack = _xla_in_forward_mode([sequences, *states], [[call]])
    if xla_stack is not None:
        return xla_stack.run_layer(call, sequences, states, mask)
    x = ops.cast(call.input_dropout(sequences), "float32")
    mask = None if mask is None else ops.cast(mask, "bool")
    prepared = _prepare(call, remat=False)
    layer = replace(prepared.layer, reverse=call.go_backwards, return_sequences=call.return_sequences)
    initial = [ops.cast(state, "float32") for state in states]
    outputs, final_states = _backend().run_sequence(layer, x, prepared.weights, initial, mask, call.training)
    return layer_result(call, outputs, final_states, mask)


def layer_result(
    call: LayerCall, outputs: Tensor | None, final_states: Sequence[Tensor], mask: Tensor | None
) -> LayerResult:
    """Return the result of a layer, with zeros where Keras has them.

    Args:
        call: The layer.
        outputs: (n, T, h) at the positions of the inputs, or None without `return_sequences`.
        final_states: (n, h) each.
        mask: (n, T) of bool, or None.
    """
    last = final_states[0]
    reading_mask = ops.flip(mask, 1) if mask is not None and call.go_backwards else mask
    if reading_mask is not None:
        nonzero = reading_mask[:, -1:] if call.zero_output_for_mask else _any_valid(reading_mask)
        last = _zero_unless(nonzero, last)
    final_states = [ops.cast(state, call.compute_dtype) for state in final_states]
    last = ops.cast(last, call.compute_dtype)
    if outputs is None:
        return last, ops.expand_dims(last, 1), final_states
    outputs = ops.flip(outputs, 1) if call.go_backwards else outputs
    if reading_mask is not None:
        nonzero = reading_mask[:, :, None] if call.zero_output_for_mask else _from_first_valid(reading_mask)
        outputs = _zero_unless(nonzero, outputs)
    return last, ops.cast(outputs, call.compute_dtype), final_states


# === Shared by stacks and layers ===


def _xla_in_forward_mode(tensors: Sequence[Tensor], levels: Sequence[Sequence[LayerCall]]) -> ModuleType | None:
    """Return XLA's module if a `ForwardAccumulator`, which native code does not support, watches an input or a weight.

    Only TensorFlow's implementation of XLA supports it; the other backends raise an error in forward mode.
    """
    if keras.backend.backend() != "tensorflow" or not _compat.executes_eagerly():
        return None
    weights = [
        _backend().read_weight(weight) for level in levels for call in level for weight in call.weights().values()
    ]
    if not _compat.in_forward_mode([*tensors, *weights]):
        return None
    return importlib.import_module("deeprnn_keras.kernels.xla.stack")


def _zero_unless(condition: Tensor | None, x: Tensor) -> Tensor:
    if condition is None:
        return x
    return ops.where(condition, x, 0.0)


def _from_first_valid(mask: Tensor) -> Tensor | None:
    """Return (n, T, 1), False before the first valid step of a row; None if outputs are not 0 there."""
    return ops.cumsum(ops.cast(mask, "int32"), 1)[:, :, None] > 0 if _backend().ZERO_BEFORE_FIRST_VALID else None


def _any_valid(mask: Tensor) -> Tensor | None:
    """Return (n, 1), whether a row has a valid step; None if the last output is not 0 without one."""
    return ops.any(mask, 1, keepdims=True) if _backend().ZERO_BEFORE_FIRST_VALID else None
