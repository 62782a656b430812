"""Masks of any form for a kernel that supports only right-padded masks with at least one valid step per row.

Keras' cuDNN path is such a kernel. At masked steps it returns zeros, where Keras' loop repeats the last output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.contract import LayerResult


def run_right_padded(
    run: Callable[[Tensor, Tensor], LayerResult],
    sequences: Tensor,
    mask: Tensor,
    initial_state: Sequence[Tensor],
    *,
    return_sequences: bool,
    go_backwards: bool,
    zero_output_for_mask: bool = False,
) -> LayerResult:
    """Return the result of Keras' loop for any mask, computed by a function that supports right-padded masks only.

    A masked step leaves the state unchanged. The valid steps of a row can therefore be moved to its start, in order,
    and their outputs y moved back. With j(t) the number of valid steps of the row up to t, in reading order,

        outputs[t] = y[j(t)], and 0 if j(t) = 0; with `zero_output_for_mask`, 0 at each masked t.

    A row without a valid step runs on one step of zeros, whose result is discarded: its final states are the initial
    ones, its outputs are 0, and the run contributes no gradient.

    Args:
        run: (sequences, mask) -> (last output (n, h), outputs (n, T, h) or (n, 1, h), states), as Keras' `inner_loop`
            of an LSTM or a GRU; the first state is the output. With `go_backwards` the outputs are in reading order:
            those of the padding, then those of the valid steps from the last to the first. Its values at masked steps
            are ignored.
        sequences: (n, T, d), T at least 1; n and T may be unknown in a graph.
        mask: (n, T), true at valid steps, in any pattern.
        initial_state: Initial states of `run`, (n, h) each.
        return_sequences: True if `run` returns the outputs of all steps.
        go_backwards: True if `run` reads the sequences backwards.
        zero_output_for_mask: Keras' argument; the last output is then 0, too, if the step read last is masked.

    Returns:
        (last output (n, h), outputs (n, T, h), or (n, 1, h) without `return_sequences`, states), as Keras'
        `RNN.inner_loop`. Differentiable with respect to everything that `run` is differentiable in.

    Raises:
        ValueError: If the static shape of the mask is not compatible with (n, T).

    >>> import tensorflow as tf
    >>> from deeprnn_keras.kernels.cudnn.right_padded import run_right_padded
    >>> def running_sum(x, mask):  # returns 0 at masked steps, which follow the valid ones
    ...     y = tf.where(mask[:, :, None], tf.cumsum(x, axis=1), 0.0)
    ...     last = tf.reduce_max(y, axis=1)
    ...     return last, y, [last]
    >>> x, mask = tf.constant([[[9.0], [1.0], [9.0], [2.0], [9.0]]]), tf.constant([[False, True, False, True, False]])
    >>> options = {"return_sequences": True, "go_backwards": False}
    >>> last, y, _ = run_right_padded(running_sum, x, mask, [tf.zeros((1, 1))], **options)
    >>> y.numpy().ravel().tolist(), last.numpy().ravel().tolist()
    ([0.0, 1.0, 1.0, 3.0, 3.0], [3.0])
    """
    mask = tf.cast(mask, tf.bool)
    if not mask.shape.is_compatible_with(sequences.shape[:2]):
        raise ValueError(f"mask must have shape (n, T) = {tuple(sequences.shape[:2])}, got shape {tuple(mask.shape)}")
    mask = tf.ensure_shape(mask, sequences.shape[:2])
    has_valid = tf.reduce_any(mask, axis=1, keepdims=True)
    _, outputs, states = run(*_move_valid_first(sequences, mask, has_valid))
    states = [tf.where(has_valid, state, initial) for state, initial in zip(states, initial_state, strict=True)]
    reading_mask = tf.reverse(mask, [1]) if go_backwards else mask
    last = _zero_unless(reading_mask[:, -1:] if zero_output_for_mask else has_valid, states[0])
    if not return_sequences:
        return last, last[:, None], states
    return last, _restore_positions(outputs, reading_mask, go_backwards, zero_output_for_mask), states


def _move_valid_first(sequences: Tensor, mask: Tensor, has_valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sequences with the valid steps of each row first, and their mask with at least one valid step.

    Sequences that are right-padded already are not copied. `has_valid` is (n, 1).
    """
    lengths = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.int32), axis=1), 1)
    moved_mask = tf.sequence_mask(lengths, tf.shape(mask)[1])

    def moved() -> Tensor:
        order = tf.argsort(tf.cast(~mask, tf.int32), axis=1, stable=True)
        # A row without a valid step runs on zeros: a NaN there would reach the weight gradients, since 0 * NaN is NaN.
        return _zero_unless(has_valid[:, :, None], tf.gather(sequences, order, batch_dims=1))

    is_right_padded = tf.reduce_all(mask == moved_mask)
    return tf.cond(is_right_padded, lambda: tf.identity(sequences), moved), moved_mask


def _restore_positions(outputs: Tensor, reading_mask: Tensor, go_backwards: bool, zero_output_for_mask: bool) -> Tensor:
    """Return the outputs of the moved valid steps at their original positions.

    A step that no valid step precedes gathers the first output, never that of a masked step, and is zeroed.
    `reading_mask` is the mask in reading order.
    """
    count = tf.cumsum(tf.cast(reading_mask, tf.int32), axis=1)
    position = tf.maximum(count, 1) - 1
    if go_backwards:
        position += tf.shape(reading_mask)[1] - tf.maximum(count[:, -1:], 1)
    nonzero = (reading_mask if zero_output_for_mask else count > 0)[:, :, None]
    return _zero_unless(nonzero, tf.gather(outputs, position, batch_dims=1))


def _zero_unless(condition: Tensor, values: Tensor) -> Tensor:
    return tf.where(condition, values, tf.zeros((), values.dtype))
