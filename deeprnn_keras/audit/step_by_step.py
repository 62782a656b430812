"""Run of a stack step by step, so that a loss can be differentiated with respect to every state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras import _compat
from deeprnn_keras._types import Tensor

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from deeprnn_keras.layers import DeepRNN


@dataclass
class LayerPass:
    """Tensors of one layer in a pass.

    Attributes:
        layer: The Keras recurrent layer.
        initial_states: Initial states, (n, width) each.
        offsets: Zeros added to the states, (T, n, h) each. The derivative of a loss with respect to them is the total
            derivative with respect to the states: through all later steps and all layers above.
        inputs: Inputs, (n, d) for each step.
        states: States after each step, a list of (n, width) for each step.
        outputs: H_t, (n, h) for each step; a masked step repeats the previous one.
    """

    layer: keras.layers.RNN
    initial_states: list[Tensor]
    offsets: list[Tensor]
    inputs: list[Tensor] = field(default_factory=list)
    states: list[list[Tensor]] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)


class StepByStep:
    """Replacement for the call of a `DeepRNN` that runs the cells step by step, with equal results.

    It computes in the dtype of the weights: in half precision, small derivatives with respect to early steps would
    underflow.

    Args:
        stack: A built `DeepRNN` with one direction, forward, without dilation.
        tape: Gradient tape that watches the offsets.

    Attributes:
        passes: One `LayerPass` per layer, from the last call.
        mask: Mask (n, T) of bool, from the last call.
        calls: Number of calls.
    """

    def __init__(self, stack: DeepRNN, tape: tf.GradientTape) -> None:
        self.stack, self.tape = stack, tape
        self.passes: list[LayerPass] = []
        self.mask: np.ndarray = np.zeros((0, 0), bool)
        self.calls = 0

    def call(
        self,
        sequences: Tensor,
        initial_state: Sequence[Any] | None = None,
        mask: Tensor | None = None,
        training: bool = False,
        **unused: Any,
    ) -> Tensor | list[Tensor] | tuple[Any, ...]:
        """Return the result of `DeepRNN.call` without dropout.

        States that a stateful layer carries over from earlier calls are ignored.
        """
        import tensorflow as tf

        self.calls += 1
        if mask is None:
            mask = _compat.keras_mask(sequences)
        n, steps = sequences.shape[:2]
        self.mask = np.ones((n, steps), bool) if mask is None else np.asarray(mask).astype(bool)
        with _compat.no_autocast():  # reads the weights in their own dtype instead of half precision
            inputs = tf.unstack(tf.cast(sequences, self.stack.variable_dtype), axis=1)
            results = self._run_levels(inputs, self._initial_states(initial_state, n))
        output = results if self.stack.return_all_layers else results[0]
        if not self.stack.return_state:
            return output
        from deeprnn_keras.layers.state_structure import pack_state

        final_states = [
            [tf.cast(state, self.stack.compute_dtype) for state in layer_pass.states[-1]] for layer_pass in self.passes
        ]
        return (output, *pack_state(final_states))

    def _initial_states(self, initial_state: Sequence[Any] | None, n: int) -> list[list[Tensor]]:
        import tensorflow as tf

        from deeprnn_keras.layers.state_structure import unpack_state

        dtype = self.stack.variable_dtype
        passed = unpack_state(initial_state, self.stack.state_size, n)
        return [
            [tf.cast(state, dtype) for state in states] or [tf.zeros((n, size), dtype) for size in sizes]
            for states, sizes in zip(passed, self.stack.state_size, strict=True)
        ]

    def _run_levels(self, inputs: list[Tensor], initial_states: list[list[Tensor]]) -> list[Tensor]:
        """Return the outputs in the compute dtype: one per level with `return_all_layers`, else only one."""
        import tensorflow as tf

        connections = self.stack.connections
        self.passes = []
        outputs_below: list[list[Tensor]] = [[] for _ in inputs]  # outputs of the levels so far, for each step
        for index, (level, initial) in enumerate(zip(self.stack.levels, initial_states, strict=True)):
            level_inputs = inputs if index == 0 else [below[-1] for below in outputs_below]
            if connections.reads_input(index):
                level_inputs = [tf.concat(pair, -1) for pair in zip(level_inputs, inputs, strict=True)]
            self.passes.append(self._run_layer(level[0], level_inputs, initial))
            source = connections.shortcut_source(index)
            for below, output in zip(outputs_below, self.passes[-1].outputs, strict=True):
                below.append(output if source is None else output + below[source])
        step_outputs = [self._select_levels(below) for below in outputs_below]
        if self.stack.return_sequences:
            results = [tf.stack(parts, 1) for parts in zip(*step_outputs, strict=True)]
        else:
            results = step_outputs[-1]
        return [tf.cast(result, self.stack.compute_dtype) for result in results]

    def _select_levels(self, outputs: list[Tensor]) -> list[Tensor]:
        """Return the outputs of the stack at one step from those of its levels."""
        import tensorflow as tf

        if self.stack.return_all_layers:
            return outputs
        return [tf.concat(outputs, -1) if self.stack.connection == "skip" else outputs[-1]]

    def _run_layer(self, layer: keras.layers.RNN, inputs: list[Tensor], initial_states: list[Tensor]) -> LayerPass:
        import tensorflow as tf

        steps = len(inputs)
        offsets = [tf.zeros((steps, *state.shape), state.dtype) for state in initial_states]
        for offset in offsets:
            self.tape.watch(offset)
        layer_pass = LayerPass(layer, initial_states, offsets, inputs)
        states, output = initial_states, tf.zeros_like(initial_states[0])
        for step, step_offsets in enumerate(zip(*map(tf.unstack, offsets), strict=True)):
            new_output, new_states = layer.cell.call(inputs[step], states)
            new_states = list(new_states) if isinstance(new_states, (list, tuple)) else [new_states]
            is_state = new_output is new_states[0]  # if not, the offset affects the outputs of later steps only
            new_states = [self._update(step, new, old) for new, old in zip(new_states, states, strict=True)]
            states = [state + offset for state, offset in zip(new_states, step_offsets, strict=True)]
            output = self._update(step, states[0] if is_state else new_output, output)
            layer_pass.states.append(states)
            layer_pass.outputs.append(output)
        return layer_pass

    def _update(self, step: int, new: Tensor, old: Tensor) -> Tensor:
        """Return `new`, except in the rows where the step is masked, which keep their value in `old`."""
        import tensorflow as tf

        new = tf.cast(new, old.dtype)
        valid = self.mask[:, step]
        return new if valid.all() else tf.where(valid[:, None], new, old)


@contextmanager
def replaced_call(stack: DeepRNN, function: Callable[..., Any]) -> Iterator[None]:
    """Replace `stack.call` with a function within the block, wherever the layer is in a model.

    Splitting the model with `keras.Model` instead would add nodes to the layers above at every measurement.
    """
    stack.call = function
    try:
        yield
    finally:
        del stack.call


@contextmanager
def restored_variables(model: keras.Model) -> Iterator[None]:
    """Restore variables that a forward pass may change (carried states, seeds, and metrics) at the end of the block."""
    variables = [*model.non_trainable_variables, *(v for metric in model.metrics for v in metric.variables)]
    values = [variable.numpy().copy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
