"""An elementwise recurrence in plain TensorFlow operations, for second derivatives."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from deeprnn_keras._types import Tensor
from deeprnn_keras.equations.unitwise import UnitStep
from deeprnn_keras.kernels.xla.feature_major import PRIMITIVES


def plain_scan(
    step: UnitStep, x: Tensor, weights: Tensor, states: Tensor, mask: Tensor | None, reverse: bool, outputs: int
) -> tuple[Tensor, Tensor]:
    """Return the first states after all steps, (n, T, outputs, h), and the final states, (states, n, h).

    Args:
        step: A step of one unit.
        x: Projected inputs, (n, T, blocks h).
        weights: Values that depend on weights only, (weights, h).
        states: States before the first step, (states, n, h).
        mask: (n, T) of bool, or None.
        reverse: Read the sequences from their end; outputs keep the positions of their inputs.
        outputs: Number of states to return after all steps.
    """
    length = tf.shape(x)[1]
    results = tf.TensorArray(x.dtype, length, element_shape=(outputs, *states.shape[1:]))
    vectors = [weights[k] for k in range(step.num_weights)]

    def body(s: Tensor, before: Tensor, results: tf.TensorArray) -> tuple[Tensor, Tensor, tf.TensorArray]:
        t = length - 1 - s if reverse else s
        after = tf.stack(_step(step, x[:, t], tf.unstack(before), vectors))
        if mask is not None:
            after = tf.where(mask[None, :, t, None], after, before)
        return s + 1, tf.ensure_shape(after, before.shape), results.write(t, after[:outputs])

    _, final, results = tf.while_loop(lambda s, *_: s < length, body, (0, states, results))
    return tf.transpose(results.stack(), (2, 0, 1, 3)), final


def _step(step: UnitStep, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    blocks = tf.split(x, step.num_blocks, -1)
    values = [*blocks, *states, *weights, *(tf.constant(one, x.dtype) for one in step.constants)]
    for one in step.operations:
        values.append(PRIMITIVES[one.primitive](*(values[index] for index in one.operands)))
    return [tf.broadcast_to(values[index], tf.shape(states[0])) for index in step.new_states]
