"""The way forward and the way back over time, compiled by XLA where they stand, or not compiled at all."""

import functools

import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras.kernels.tensorflow.scan import scan

FEW = (2, 4)  # examples, from and to, where the input's products are cheaper for all steps at once (measured)


class Passes:
    """The three functions that a recurrence is run with; one object per recurrence and variant, in `passes`.

    forward: (x, packed weights, states, mask, steps) -> final states, h of all steps.
    forward_keeping: the same -> final states, all states of all steps, what else the way back needs.
    backward: (x, packed, states, mask, steps, history, saved, d_hs, d_final) -> what is left for dx, weights'
        gradients, d_states.
    mask and steps are those of `fused`'s span.
    input_gradient: (packed, what is left, x) -> dx; on its own, so that it is pruned where x is data.
    """

    def __init__(self, recurrence, compiled):
        wrap = _compiled if compiled else lambda function: function
        self.forward = wrap(functools.partial(_forward, recurrence))
        self.forward_keeping = wrap(functools.partial(_forward_keeping, recurrence))
        self.backward = wrap(functools.partial(_backward, recurrence))
        self.input_gradient = wrap(recurrence.input_gradient)


@functools.cache
def passes(recurrence, compiled):
    """The `Passes` of a recurrence; the same object for all layers, so that they share what is compiled."""
    return Passes(recurrence, compiled)


def _compiled(function):
    """`function` under XLA, whatever surrounds it.

    In eager mode a tape would record what is inside and meet a tensor list at XLA's border: hence `stop_gradient`.
    """
    inner = tf.function(function, jit_compile=True, autograph=False)
    _compat.omit_retracing_warning(inner)  # one trace per shape is meant; the advice would be to the wrong person
    shield = functools.partial(tf.nest.map_structure, lambda t: None if t is None else tf.stop_gradient(t))
    return lambda *inputs: inner(*shield(inputs))


def sizes(x):
    """Sizes of x: numbers where known, else scalar tensors."""
    dynamic = tf.shape(x)
    return [static if static is not None else dynamic[axis] for axis, static in enumerate(x.shape)]


def _scan_forward(recurrence, x, packed, states, mask, steps, keep):
    """The scan; for very few examples, where that is known, with the input's products taken beforehand."""
    batch = x.shape[2]
    if batch is not None and FEW[0] <= batch <= FEW[1] and hasattr(recurrence, "projected"):
        packed, x = recurrence.projected(packed, x)
    return _scan_steps(recurrence, x, packed, states, mask, steps, keep)


def _scan_steps(recurrence, x, packed, states, mask, steps, keep):
    length, _, batch = sizes(x)
    rows = [state.shape[0] for state in states]

    def step(t, before):
        after, saved = recurrence.forward(packed, x[t], before)
        if mask is not None:
            after = [tf.where(mask[t], new, old) for new, old in zip(after, before, strict=True)]
        return after, [*after, *saved] if keep else after[:1]

    rows = rows + recurrence.saved_rows(rows[0]) if keep else rows[:1]
    return scan(length, step, states, rows, batch, x.dtype, steps)


def _forward(recurrence, x, packed, states, mask, steps):
    final, (hs,) = _scan_forward(recurrence, x, packed, states, mask, steps, keep=False)
    return final, hs


def _forward_keeping(recurrence, x, packed, states, mask, steps):
    final, outputs = _scan_forward(recurrence, x, packed, states, mask, steps, keep=True)
    return final, outputs[: recurrence.states], outputs[recurrence.states :]


def _backward(recurrence, x, packed, states, mask, steps, history, saved, d_hs, d_final):
    length, _, batch = sizes(x)
    units = states[0].shape[0]
    earlier = [tf.concat([first[None], later[:-1]], 0) for first, later in zip(states, history, strict=True)]

    def step(t, gradient):
        gradient = [gradient[0] + d_hs[t], *gradient[1:]]
        if mask is not None:
            kept = [tf.where(mask[t], tf.zeros_like(part), part) for part in gradient]
            gradient = [tf.where(mask[t], part, tf.zeros_like(part)) for part in gradient]
        before, after = [part[t] for part in earlier], [part[t] for part in history]
        written, new = recurrence.backward(packed, x[t], [part[t] for part in saved], before, after, gradient)
        if mask is not None:
            new = [part + keep for part, keep in zip(new, kept, strict=True)]
        return new, written

    rows = recurrence.written_rows(units)
    d_states, written = scan(length, step, d_final, rows, batch, x.dtype, steps, reverse=True)
    written = [
        tf.ensure_shape(part, (x.shape[0], height, x.shape[2])) for part, height in zip(written, rows, strict=True)
    ]
    return *recurrence.weight_gradients(x, earlier, written, saved), d_states
