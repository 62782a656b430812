"""`fused`: a whole sequence at once on a CPU, with a gradient written by hand.

Keras' loop is differentiated step by step: one small product and one addition of the size of the weights per step.
Here the way back has one product per step, and the weights' gradients are large products at the end.
"""

from typing import NamedTuple

import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras.kernels.tensorflow.passes import passes


class Weights(NamedTuple):
    """The weights of the steps, in Keras' layout and as a step wants them, and those that only `read` wants."""

    given: list
    packed: list
    reading: object = None


def packed(recurrence, given, reading=None):
    """`Weights`: made once per layer and batch, used by every piece of the sequence."""
    given = list(given)
    return Weights(given, list(recurrence.pack(*map(tf.stop_gradient, given))), reading)


@tf.autograph.experimental.do_not_convert
def fused(recurrence, x, weights, states, span=(None, None), keep=True, compiled=False):
    """A recurrence over a whole sequence.

    Args:
        recurrence: `LSTM()`, `GRU()`, ...
        x: (T, d, n), what `recurrence.read` gave.
        weights: `Weights` in x's dtype.
        states: list of (h, n).
        span: mask: None or (T, 1, n) of bool; where False the states stay; and steps: None, or how many of the T
            steps there are, a scalar: behind them hs is 0.
        keep: keep what the way back needs; if not, the way forward is run again when a gradient is wanted.
        compiled: by XLA, once per recurrence and shape; else as a plain graph.

    Returns:
        (hs (T, h, n), final states). Differentiable in all but the mask: in reverse mode, also twice; in eager mode by
        `tf.autodiff.ForwardAccumulator` too, for which nothing is compiled (in a graph it stops with an error).
    """
    if _in_forward_mode([x, *weights.given, *states]):
        return plain(recurrence, x, weights, states, span)
    ready = weights.packed
    run = passes(recurrence, compiled)
    count = len(weights.given)

    @tf.custom_gradient
    def differentiable(x, *variables):
        states = list(variables[count:])
        if keep:
            final, history, saved = run.forward_keeping(x, ready, states, *span)
            hs = history[0]
        else:
            final, hs = run.forward(x, ready, states, *span)
            history = saved = None

        def gradient(d_hs, *d_final):
            inputs = Inputs(x, list(variables[:count]), states, d_hs, list(d_final))
            return _gradient(recurrence, run, inputs, ready, span, history, saved)

        return (hs, *final), gradient

    hs, *final = differentiable(x, *weights.given, *states)
    return hs, final


def _in_forward_mode(tensors):
    """Whether a `ForwardAccumulator` follows one of these: it cannot follow them through a compiled pass."""
    if not tf.executing_eagerly():
        return False
    return _compat.followed_in_forward_mode(list(map(tf.convert_to_tensor, tensors)))


def plain(recurrence, x, weights, states, span=(None, None)):
    """What `fused` gives, by TensorFlow's operations alone: for exports, which lose a gradient of our own, and for
    derivatives in forward mode.
    """
    final, hs = passes(recurrence, compiled=False).forward(x, recurrence.pack(*weights.given), states, *span)
    return hs, list(final)


class Inputs(NamedTuple):
    """All that the gradient depends on, and may be differentiated by in turn."""

    x: object
    weights: list
    states: list
    d_hs: object
    d_final: list


def _gradient(recurrence, run, inputs, ready, span, history, saved):
    """-> dx, dW, dU, db, d_states, differentiable again."""

    @tf.custom_gradient
    def once(*flat):
        x, _, states, d_hs, d_final = tf.nest.pack_sequence_as(inputs, flat)

        def twice(*upstream):
            return _second_gradient(recurrence, span, inputs, flat, upstream)

        kept = history, saved
        if history is None:
            with tf.control_dependencies([d_hs, *d_final]):  # not before the gradient has come here
                _, *kept = run.forward_keeping(tf.identity(x), ready, states, *span)
        left, d_weights, d_states = run.backward(x, ready, states, *span, *kept, d_hs, d_final)
        return (run.input_gradient(ready, left, x), *d_weights, *d_states), twice

    return once(*tf.nest.flatten(inputs))


def _second_gradient(recurrence, span, structure, flat, upstream):
    """Through the way forward and the way back as plain graphs: XLA's cannot be differentiated."""
    run = passes(recurrence, compiled=False)
    with tf.GradientTape() as tape:
        tape.watch(flat)
        x, weights, states, d_hs, d_final = tf.nest.pack_sequence_as(structure, flat)
        ready = list(recurrence.pack(*weights))
        _, history, saved = run.forward_keeping(x, ready, states, *span)
        left, d_weights, d_states = run.backward(x, ready, states, *span, history, saved, d_hs, d_final)
        outputs = (run.input_gradient(ready, left, x), *d_weights, *d_states)
    return tape.gradient(outputs, flat, output_gradients=upstream, unconnected_gradients="zero")
