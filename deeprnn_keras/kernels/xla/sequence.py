"""A recurrence over a whole sequence, with a gradient of our own.

Keras' loop is differentiated step by step: one small product and one addition of the size of the weights per step. Here
the backward pass has one product per step, and the gradients of the weights are large products at the end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras.kernels.xla.layout import Span
from deeprnn_keras.kernels.xla.recurrence import StepRecurrence, Tensor, Weights

HOISTED = (2, 4)  # examples, from and to, where the input's products are faster for all steps at once (measured)
MAX_SHARED = 64  # recurrences whose compiled passes outlive their layers
WHOLE = Span(None, None)


class Passes:
    """The passes over time of a recurrence, compiled by XLA or as plain graphs.

    Attributes:
        forward: (x, packed weights, states, mask, steps) -> final states, h of all steps.
        forward_storing: The same -> final states, all states of all steps, what else the backward pass needs.
        backward: (x, packed, states, mask, steps, history, saved, d_hs, d_final) -> what is left for dx, gradients of
            the weights, d_states. mask and steps are those of a `Span`.
        input_gradient: (packed, what is left, x) -> dx; on its own, so that it is pruned where x is data.
    """

    def __init__(self, recurrence: StepRecurrence, compiled: bool) -> None:
        wrap = _compiled if compiled else lambda function: function
        self.compiled = compiled
        self.forward = wrap(functools.partial(_forward, recurrence, False))
        self.forward_storing = wrap(functools.partial(_forward, recurrence, True))
        self.backward = wrap(functools.partial(_backward, recurrence))
        self.input_gradient = wrap(recurrence.input_gradient)


def _compiled(function: Callable) -> Callable:
    inner = tf.function(function, jit_compile=True, autograph=False)
    _compat.omit_retracing_warning(inner)  # one trace per shape is intended; users cannot act on the advice
    return inner


@functools.lru_cache(maxsize=MAX_SHARED)
def shared_passes(recurrence: StepRecurrence, compiled: bool) -> Passes:
    """Return the `Passes` of a recurrence, the same object for all layers, so that they share what is compiled."""
    return Passes(recurrence, compiled)


def differentiable_sequence(
    recurrence: StepRecurrence, passes: Passes, weights: Weights, span: Span, store: bool
) -> Callable[..., tuple]:
    """Return the function (x, *given weights, *states) -> (hs, *final states) of a recurrence over a sequence.

    Differentiable in all but the mask, in reverse mode, also twice.

    Args:
        recurrence: What a step computes.
        passes: Its `Passes`.
        weights: Its `Weights`.
        span: Where the mask is False the states stay; behind `steps` hs is 0.
        store: Store what the backward pass needs; otherwise the forward pass is run again for the gradient.
    """
    packed, count = weights.packed, len(weights.given)

    @tf.custom_gradient
    def sequence(x: Tensor, *variables: Tensor) -> tuple:
        states = list(variables[count:])
        # a tape of eager mode must not follow a compiled pass: it would meet a tensor list at XLA's border
        arguments = _without_gradient((x, packed, states, *span))
        if store:
            final, history, saved = passes.forward_storing(*arguments)
            hs = history[0]
        else:
            final, hs = passes.forward(*arguments)
            history = saved = None

        def gradient(d_hs: Tensor, *d_final: Tensor) -> tuple:
            inputs = Inputs(x, list(variables[:count]), states, d_hs, list(d_final))
            return _gradient(recurrence, passes, inputs, packed, span, history, saved)

        return (hs, *final), gradient

    return sequence


def plain_sequence(recurrence: StepRecurrence, weights: Weights, span: Span = WHOLE) -> Callable[..., tuple]:
    """Return the same function by TensorFlow's operations alone.

    It is for exports, which lose a gradient of our own, and for derivatives in forward mode.
    """

    def sequence(x: Tensor, *variables: Tensor) -> tuple:
        states = list(variables[len(weights.given) :])
        final, hs = _forward(recurrence, False, x, recurrence.pack(*weights.given), states, *span)
        return (hs, *final)

    return sequence


class Inputs(NamedTuple):
    """Everything that the gradient depends on, and may be differentiated by in turn."""

    x: Tensor
    weights: list[Tensor]
    states: list[Tensor]
    d_hs: Tensor
    d_final: list[Tensor]


def _without_gradient(structure: Any) -> Any:
    return tf.nest.map_structure(lambda tensor: None if tensor is None else tf.stop_gradient(tensor), structure)


def _gradient(
    recurrence: StepRecurrence,
    passes: Passes,
    inputs: Inputs,
    packed: Sequence[Tensor],
    span: Span,
    history: list[Tensor] | None,
    saved: list[Tensor] | None,
) -> tuple:
    """Return dx, the gradients of the weights, and d_states, differentiable again."""

    @tf.custom_gradient
    def once(*flat: Tensor) -> tuple:
        x, _, states, d_hs, d_final = tf.nest.pack_sequence_as(inputs, flat)

        def twice(*upstream: Tensor) -> list[Tensor]:
            return _second_gradient(recurrence, span, inputs, flat, upstream)

        stored = history, saved
        if history is None:
            with tf.control_dependencies([d_hs, *d_final]):  # not before the gradient has come here
                _, *stored = passes.forward_storing(*_without_gradient((tf.identity(x), packed, states, *span)))
        left, d_weights, d_states = passes.backward(
            *_without_gradient((x, packed, states, *span, *stored, d_hs, d_final))
        )
        return (passes.input_gradient(*_without_gradient((packed, left, x))), *d_weights, *d_states), twice

    return once(*tf.nest.flatten(inputs))


def _second_gradient(
    recurrence: StepRecurrence, span: Span, structure: Inputs, flat: Sequence[Tensor], upstream: Sequence[Tensor]
) -> list[Tensor]:
    """Differentiate the forward and the backward pass as plain graphs: XLA's cannot be differentiated."""
    with tf.GradientTape() as tape:
        tape.watch(flat)
        x, weights, states, d_hs, d_final = tf.nest.pack_sequence_as(structure, flat)
        packed = list(recurrence.pack(*weights))
        _, history, saved = _forward(recurrence, True, x, packed, states, *span)
        left, d_weights, d_states = _backward(recurrence, x, packed, states, *span, history, saved, d_hs, d_final)
        outputs = (recurrence.input_gradient(packed, left, x), *d_weights, *d_states)
    return tape.gradient(outputs, flat, output_gradients=upstream, unconnected_gradients="zero")


# === The passes ===


def _forward(
    recurrence: StepRecurrence,
    store: bool,
    x: Tensor,
    packed: Sequence[Tensor],
    states: list[Tensor],
    mask: Tensor | None,
    steps: Tensor | None,
) -> tuple:
    """Run all steps; see `Passes.forward` and, with `store`, `Passes.forward_storing`."""
    if x.shape[2] is not None and HOISTED[0] <= x.shape[2] <= HOISTED[1]:
        packed, x = recurrence.hoisted(packed, x)
    time, width = Time(x, steps), len(states)
    rows = [state.shape[0] for state in states]
    rows = rows + recurrence.saved_rows(rows[0]) if store else rows[:1]

    def body(t: Tensor, *loop: Any) -> tuple:
        before = list(loop[:width])
        after, saved = recurrence.forward(packed, x[t], before)
        if mask is not None:
            after = [tf.where(mask[t], new, old) for new, old in zip(after, before, strict=True)]
        return time.next(t, t, loop, after, [*after, *saved] if store else after[:1])

    loop = time.variables(states, rows)
    _, *loop = (
        body(*loop) if time.single else tf.while_loop(time.is_before_end, body, loop, maximum_iterations=time.steps)
    )
    final, outputs = loop[:width], time.stacked(loop[width:], rows)
    return (final, outputs[:width], outputs[width:]) if store else (final, outputs[0])


def _backward(
    recurrence: StepRecurrence,
    x: Tensor,
    packed: Sequence[Tensor],
    states: list[Tensor],
    mask: Tensor | None,
    steps: Tensor | None,
    history: list[Tensor],
    saved: list[Tensor],
    d_hs: Tensor,
    d_final: list[Tensor],
) -> tuple:
    """Run all steps from the last to the first; see `Passes.backward`."""
    time, width = Time(x, steps, reverse=True), len(states)
    rows = recurrence.written_rows(states[0].shape[0])
    earlier = [tf.concat([first[None], later[:-1]], 0) for first, later in zip(states, history, strict=True)]

    def body(i: Tensor, *loop: Any) -> tuple:
        t = time.step(i)
        gradient = [loop[0] + d_hs[t], *loop[1:width]]
        if mask is not None:
            passing = [tf.where(mask[t], tf.zeros_like(part), part) for part in gradient]
            gradient = [tf.where(mask[t], part, tf.zeros_like(part)) for part in gradient]
        before, after = [part[t] for part in earlier], [part[t] for part in history]
        written, new = recurrence.backward(packed, x[t], [part[t] for part in saved], before, after, gradient)
        if mask is not None:
            new = [part + past for part, past in zip(new, passing, strict=True)]
        return time.next(i, t, loop, new, written)

    loop = time.variables(d_final, rows)
    _, *loop = (
        body(*loop) if time.single else tf.while_loop(time.is_before_end, body, loop, maximum_iterations=time.steps)
    )
    written = [
        tf.ensure_shape(part, (x.shape[0], height, x.shape[2]))
        for part, height in zip(time.stacked(loop[width:], rows), rows, strict=True)
    ]
    return *recurrence.weight_gradients(x, earlier, written, saved), loop[:width]


class Time:
    """The loop over the steps of x (T, d, n), which carries tensors and stacks what each step writes.

    Args:
        x: The sequence.
        steps: Number of real steps, at most T; None: T. What padding does not write is 0.
        reverse: From the last step to the first; what is written stands at its own t.
    """

    def __init__(self, x: Tensor, steps: Tensor | None, reverse: bool = False) -> None:
        dynamic = tf.shape(x)
        length, _, self.batch = (static if static is not None else dynamic[axis] for axis, static in enumerate(x.shape))
        self.dtype, self.length, self.reverse = x.dtype, length, reverse
        self.single = steps is None and isinstance(length, int) and length == 1
        self.steps = length if steps is None else steps
        if not isinstance(self.batch, int):
            self.steps = self.steps * tf.minimum(self.batch, 1)  # no examples, no steps: as XLA does, which knows n

    def is_before_end(self, i: Tensor, *_: Any) -> Tensor:
        """Return whether there is an i-th step."""
        return i < self.steps

    def step(self, i: Tensor) -> Tensor:
        """Return t of the i-th step that is run."""
        return self.steps - 1 - i if self.reverse else i

    def variables(self, carry: Sequence[Tensor], rows: Sequence[int]) -> tuple:
        """Return the loop's variables before the first step: (i, *carry, *arrays).

        Args:
            carry: List of (rows, n).
            rows: Rows of each tensor that a step writes.
        """
        if self.single:
            return (0, *carry, *[None] * len(rows))
        batch = self.batch if isinstance(self.batch, int) else None
        arrays = [
            tf.TensorArray(self.dtype, size=self.length, element_shape=(height, batch), clear_after_read=False)
            for height in rows
        ]
        return (tf.constant(0), *carry, *arrays)

    def next(
        self, i: Tensor, t: Tensor, loop: Sequence[Any], carry: Sequence[Tensor], written: Sequence[Tensor]
    ) -> tuple:
        """Return the loop's variables after the i-th step, which is step t of the sequence."""
        if self.single:
            return (1, *carry, *written)
        old, arrays = loop[: len(carry)], loop[len(carry) :]
        carry = [tf.ensure_shape(value, before.shape) for value, before in zip(carry, old, strict=True)]
        return (i + 1, *carry, *[array.write(t, value) for array, value in zip(arrays, written, strict=True)])

    def stacked(self, arrays: Sequence[Any], rows: Sequence[int]) -> list[Tensor]:
        """Return what the steps wrote, (T, rows, n) each, 0 where nothing was written."""
        if self.single:
            return [value[None] for value in arrays]
        if isinstance(self.batch, int) or tf.executing_eagerly():
            return [array.stack() for array in arrays]
        return [self._stacked_unknown(array, height) for array, height in zip(arrays, rows, strict=True)]

    def _stacked_unknown(self, array: tf.TensorArray, height: int) -> Tensor:
        """Stack for an unknown n, which `TensorArray.stack` must know to fill with 0."""
        shape = tf.stack([height, self.batch])
        stacked = tf.raw_ops.TensorListStack(input_handle=array.flow, element_shape=shape, element_dtype=self.dtype)
        return tf.ensure_shape(stacked, (None, height, None))
