"""Passes over time: run a recurrence over a whole sequence, with a custom gradient.

TensorFlow differentiates Keras' loop step by step: one small product, and one addition of the size of the weights, per
step. The backward pass here has one product per step; the weight gradients are large products at the end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.xla.layout import Span
from deeprnn_keras.kernels.xla.recurrence import ForwardRecord, Packed, StepRecurrence, Tensors, Weights

HOISTED_BATCH_SIZES = (2, 4)  # range in which projecting the inputs of all steps at once is faster (measured)
MAX_SHARED_PASSES = 64  # recurrences whose compiled passes outlive their layers
UNMASKED = Span(None, None)


class Passes:
    """Passes of a recurrence over time, compiled by XLA or as plain graphs.

    The arguments mask and steps are those of a `Span`.

    Attributes:
        compiled: True if XLA compiles them.
        forward: (x, packed weights, states, mask, steps) -> final states, outputs of all steps.
        forward_storing: The same arguments -> final states, all states of all steps, saved tensors of all steps.
        backward: (x, packed, states, mask, steps, states of all steps, saved tensors, d_outputs, d_final_states) ->
            argument of `input_gradient`, gradients of the weights, d_states.
        input_gradient: (input weights, d_projected, x) -> dx; separate, so that it is pruned if dx is not needed.
    """

    def __init__(self, recurrence: StepRecurrence, compiled: bool) -> None:
        wrap = _compile if compiled else lambda function: function
        self.compiled = compiled
        self.forward = wrap(functools.partial(_forward_pass, recurrence, False))
        self.forward_storing = wrap(functools.partial(_forward_pass, recurrence, True))
        self.backward = wrap(functools.partial(_backward_pass, recurrence))
        self.input_gradient = wrap(recurrence.input_gradient)


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    compiled = tf.function(function, jit_compile=True, autograph=False)
    _compat.omit_retracing_warning(compiled)  # one trace per shape is intended, and users cannot change it
    return compiled


@functools.lru_cache(maxsize=MAX_SHARED_PASSES)
def shared_passes(recurrence: StepRecurrence, compiled: bool) -> Passes:
    """Return the `Passes` of a recurrence; layers with equal recurrences share them and what XLA has compiled."""
    return Passes(recurrence, compiled)


def differentiable_sequence(
    recurrence: StepRecurrence, passes: Passes, weights: Weights, span: Span, store: bool
) -> Callable[..., tuple[Tensor, ...]]:
    """Return a function (x, *trainable weights, *states) -> (outputs, *final states) that runs a recurrence.

    Differentiable twice in reverse mode, with respect to all arguments.

    Args:
        recurrence: The recurrence.
        passes: Its `Passes`.
        weights: Its `Weights`.
        span: Mask and number of steps. Masked steps leave the states unchanged; outputs of padding are 0.
        store: Store the tensors that the backward pass needs; otherwise the gradient reruns the forward pass.
    """
    packed, count = weights.packed, len(weights.trainable)

    @tf.custom_gradient
    def sequence(x: Tensor, *variables: Tensor) -> tuple[Any, ...]:
        states = list(variables[count:])
        # An eager tape must not record a compiled pass: its gradient would pass tensor lists into and out of XLA, which
        # does not support them as arguments.
        arguments = _stop_gradients((x, packed, states, *span))
        if store:
            final_states, all_states, saved = passes.forward_storing(*arguments)
            outputs = all_states[0]
            stored = all_states, saved
        else:
            final_states, outputs = passes.forward(*arguments)
            stored = None

        def gradient(d_outputs: Tensor, *d_final_states: Tensor) -> tuple[Tensor, ...]:
            inputs = GradientInputs(x, list(variables[:count]), states, d_outputs, list(d_final_states))
            return _differentiable_gradient(recurrence, passes, inputs, packed, span, stored)

        return (outputs, *final_states), gradient

    return sequence


def plain_sequence(
    recurrence: StepRecurrence, weights: Weights, span: Span = UNMASKED
) -> Callable[..., tuple[Tensor, ...]]:
    """Return the function of `differentiable_sequence` in plain TensorFlow operations, without a custom gradient.

    For exports, which cannot hold a custom gradient, and for forward-mode derivatives.
    """

    def sequence(x: Tensor, *variables: Tensor) -> tuple[Tensor, ...]:
        states = list(variables[len(weights.trainable) :])
        packed = recurrence.pack(*weights.trainable)
        final_states, outputs = _forward_pass(recurrence, False, x, packed, states, *span)
        return (outputs, *final_states)

    return sequence


class GradientInputs(NamedTuple):
    """All tensors that the gradient depends on and may itself be differentiated with respect to."""

    x: Tensor
    weights: Tensors
    states: Tensors
    d_outputs: Tensor
    d_final_states: Tensors


def _stop_gradients(structure: tuple[Any, ...]) -> tuple[Any, ...]:
    return tf.nest.map_structure(lambda tensor: None if tensor is None else tf.stop_gradient(tensor), structure)


def _differentiable_gradient(
    recurrence: StepRecurrence,
    passes: Passes,
    inputs: GradientInputs,
    packed: Packed,
    span: Span,
    stored: tuple[Tensors, Tensors] | None,
) -> tuple[Tensor, ...]:
    """Return dx, the gradients of the weights, and d_states, all differentiable again.

    Args:
        recurrence: The recurrence.
        passes: Its `Passes`.
        inputs: Inputs of the gradient.
        packed: Weights from `pack`.
        span: Mask and number of steps.
        stored: States and saved tensors of all steps; None to rerun the forward pass.
    """

    @tf.custom_gradient
    def first_gradient(*flat_inputs: Tensor) -> tuple[Any, ...]:
        x, _, states, d_outputs, d_final_states = tf.nest.pack_sequence_as(inputs, flat_inputs)

        def second_gradient(*upstream: Tensor) -> list[Tensor]:
            return _second_gradient(recurrence, span, inputs, flat_inputs, upstream)

        if stored is None:
            # Recompute only when the backward pass reaches this layer, so that one layer at a time stores its tensors.
            with tf.control_dependencies([d_outputs, *d_final_states]):
                arguments = _stop_gradients((tf.identity(x), packed, states, *span))
                _, *forward_results = passes.forward_storing(*arguments)
        else:
            forward_results = stored
        d_projected, d_weights, d_states = passes.backward(
            *_stop_gradients((x, packed, states, *span, *forward_results, d_outputs, d_final_states))
        )
        dx = passes.input_gradient(*_stop_gradients((recurrence.input_weights(packed), d_projected, x)))
        return (dx, *d_weights, *d_states), second_gradient

    return first_gradient(*tf.nest.flatten(inputs))


def _second_gradient(
    recurrence: StepRecurrence,
    span: Span,
    structure: GradientInputs,
    flat_inputs: Sequence[Tensor],
    upstream: Sequence[Tensor],
) -> list[Tensor]:
    """Differentiate the forward and the backward pass as plain graphs: compiled ones are not differentiable."""
    with tf.GradientTape() as tape:
        tape.watch(flat_inputs)
        x, weights, states, d_outputs, d_final_states = tf.nest.pack_sequence_as(structure, flat_inputs)
        packed = list(recurrence.pack(*weights))
        _, all_states, saved = _forward_pass(recurrence, True, x, packed, states, *span)
        d_projected, d_weights, d_states = _backward_pass(
            recurrence, x, packed, states, *span, all_states, saved, d_outputs, d_final_states
        )
        dx = recurrence.input_gradient(recurrence.input_weights(packed), d_projected, x)
        gradients = (dx, *d_weights, *d_states)
    return tape.gradient(gradients, flat_inputs, output_gradients=upstream, unconnected_gradients="zero")


# === The passes ===


def _forward_pass(
    recurrence: StepRecurrence,
    store: bool,
    x: Tensor,
    packed: Packed,
    states: Tensors,
    mask: Tensor | None,
    steps: Tensor | None,
) -> tuple[Any, ...]:
    """Run all steps; see `Passes.forward` and, with `store`, `Passes.forward_storing`."""
    if x.shape[2] is not None and HOISTED_BATCH_SIZES[0] <= x.shape[2] <= HOISTED_BATCH_SIZES[1]:
        packed, x = recurrence.hoist_input_projection(packed, x)
    time, num_states = TimeLoop(x, steps), len(states)
    rows = [state.shape[0] for state in states]
    rows = rows + recurrence.saved_rows(rows[0]) if store else rows[:1]

    def body(t: Tensor, *variables: Any) -> tuple[Any, ...]:
        before = list(variables[:num_states])
        after, saved = recurrence.forward_step(packed, x[t], before)
        if mask is not None:
            after = [tf.where(mask[t], new, old) for new, old in zip(after, before, strict=True)]
        return time.next_variables(t, t, variables, after, [*after, *saved] if store else after[:1])

    variables = time.initial_variables(states, rows)
    if time.is_single_step:
        _, *variables = body(*variables)
    else:
        _, *variables = tf.while_loop(time.has_step, body, variables, maximum_iterations=time.steps)
    final_states, stacked = variables[:num_states], time.stack(variables[num_states:], rows)
    return (final_states, stacked[:num_states], stacked[num_states:]) if store else (final_states, stacked[0])


def _backward_pass(
    recurrence: StepRecurrence,
    x: Tensor,
    packed: Packed,
    states: Tensors,
    mask: Tensor | None,
    steps: Tensor | None,
    all_states: Tensors,
    saved: Tensors,
    d_outputs: Tensor,
    d_final_states: Tensors,
) -> tuple[Any, ...]:
    """Run all steps from the last to the first; see `Passes.backward`."""
    time, num_states = TimeLoop(x, steps, reverse=True), len(states)
    rows = recurrence.gradient_rows(states[0].shape[0])
    states_before = [tf.concat([first[None], later[:-1]], 0) for first, later in zip(states, all_states, strict=True)]
    record = ForwardRecord(x, states_before, all_states, saved)

    def body(i: Tensor, *variables: Any) -> tuple[Any, ...]:
        t = time.step(i)
        d_states = [variables[0] + d_outputs[t], *variables[1:num_states]]
        bypass = []  # gradient that bypasses a masked step
        if mask is not None:
            bypass = [tf.where(mask[t], tf.zeros_like(part), part) for part in d_states]
            d_states = [tf.where(mask[t], part, tf.zeros_like(part)) for part in d_states]
        step_record = ForwardRecord(x[t], *([part[t] for part in parts] for parts in record[1:]))
        to_store, d_before = recurrence.backward_step(packed, step_record, d_states)
        if mask is not None:
            d_before = [part + bypassing for part, bypassing in zip(d_before, bypass, strict=True)]
        return time.next_variables(i, t, variables, d_before, to_store)

    variables = time.initial_variables(d_final_states, rows)
    if time.is_single_step:
        _, *variables = body(*variables)
    else:
        _, *variables = tf.while_loop(time.has_step, body, variables, maximum_iterations=time.steps)
    stored = [
        tf.ensure_shape(part, (x.shape[0], height, x.shape[2]))
        for part, height in zip(time.stack(variables[num_states:], rows), rows, strict=True)
    ]
    return *recurrence.weight_gradients(record, stored), variables[:num_states]


class TimeLoop:
    """Loop over the steps of x (T, d, n) that carries tensors from step to step and stacks the tensors of each step.

    Args:
        x: The sequence.
        steps: Number of steps that are not padding, at most T; None for T. Stacked tensors are 0 at padding.
        reverse: Run from the last step to the first; tensors are still stacked in order of time.
    """

    def __init__(self, x: Tensor, steps: Tensor | None, reverse: bool = False) -> None:
        dynamic = tf.shape(x)
        length, _, self.batch_size = (
            static if static is not None else dynamic[axis] for axis, static in enumerate(x.shape)
        )
        self.dtype, self.length, self.reverse = x.dtype, length, reverse
        self.is_single_step = steps is None and isinstance(length, int) and length == 1
        self.steps = length if steps is None else steps
        if not isinstance(self.batch_size, int):
            # With an empty batch, the loop runs no step, as in a compiled pass.
            self.steps = self.steps * tf.minimum(self.batch_size, 1)

    def has_step(self, i: Tensor, *variables: Any) -> Tensor:
        """Return whether there is an i-th step."""
        return i < self.steps

    def step(self, i: Tensor) -> Tensor:
        """Return the time t of the i-th step that is run."""
        return self.steps - 1 - i if self.reverse else i

    def initial_variables(self, carried: Sequence[Tensor], rows: Sequence[int]) -> tuple[Any, ...]:
        """Return the variables of the loop before the first step: (i, *carried, *arrays).

        Args:
            carried: Tensors carried from step to step, (rows, n) each.
            rows: Number of rows of each tensor to stack.
        """
        if self.is_single_step:
            return (0, *carried, *[None] * len(rows))
        batch_size = self.batch_size if isinstance(self.batch_size, int) else None
        arrays = [
            tf.TensorArray(self.dtype, size=self.length, element_shape=(height, batch_size), clear_after_read=False)
            for height in rows
        ]
        return (tf.constant(0), *carried, *arrays)

    def next_variables(
        self, i: Tensor, t: Tensor, variables: Sequence[Any], carried: Sequence[Tensor], to_stack: Sequence[Tensor]
    ) -> tuple[Any, ...]:
        """Return the variables of the loop after its i-th step, which is time t."""
        if self.is_single_step:
            return (1, *carried, *to_stack)
        before, arrays = variables[: len(carried)], variables[len(carried) :]
        carried = [tf.ensure_shape(value, old.shape) for value, old in zip(carried, before, strict=True)]
        return (i + 1, *carried, *[array.write(t, value) for array, value in zip(arrays, to_stack, strict=True)])

    def stack(self, arrays: Sequence[Any], rows: Sequence[int]) -> Tensors:
        """Return the stacked tensors (T, rows, n), 0 at padding."""
        if self.is_single_step:
            return [value[None] for value in arrays]
        if isinstance(self.batch_size, int) or tf.executing_eagerly():
            return [array.stack() for array in arrays]
        return [self._stack_unknown_batch(array, height) for array, height in zip(arrays, rows, strict=True)]

    def _stack_unknown_batch(self, array: tf.TensorArray, height: int) -> Tensor:
        """Stack for an unknown n: `TensorArray.stack` fills with zeros only if the element shape is static."""
        shape = tf.stack([height, self.batch_size])
        stacked = tf.raw_ops.TensorListStack(input_handle=array.flow, element_shape=shape, element_dtype=self.dtype)
        return tf.ensure_shape(stacked, (None, height, None))
