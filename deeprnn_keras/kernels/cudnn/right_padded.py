"""`right_padded`: any mask for a kernel that wants the valid steps of each row first, and at least one of them.

cuDNN, as Keras calls it, is such a kernel. At masked steps it gives zeros, where Keras' loop repeats the last output.
"""

import tensorflow as tf


def right_padded(run, sequences, mask, initial_state, *, return_sequences, go_backwards, zero_output_for_mask=False):
    """What Keras' plain loop gives for any mask, from a `run` that takes none but right-padded masks.

    A masked step leaves the state as it is, so the valid steps of a row can be moved to its start, in their order,
    and their outputs y back again. With j(t) the number of valid steps of the row up to t, in the order of reading,

        outputs[t] = y[j(t)], and 0 where j(t) = 0; with `zero_output_for_mask` 0 at each masked t.

    A row without a valid step is run on one step of zeros, whose result is thrown away: its states are the initial
    ones, its outputs 0, and no gradient comes from the run.

    Args:
        run: (sequences, mask) -> (last output (n, h), outputs (n, T, h) or (n, 1, h), states), as Keras' `inner_loop`
            of an LSTM or a GRU does; the first state is the output. If it reads backwards, its outputs stand in the
            order of reading: those of the padding, then those of the valid steps from the last to the first. What it
            gives at masked steps does not matter.
        sequences: (n, T, d), T at least 1; n and T may be unknown in a graph.
        mask: (n, T), true at valid steps, anywhere.
        initial_state: list of (n, h), what `run` starts from.
        return_sequences: whether `run` gives the outputs of all steps.
        go_backwards: whether `run` reads backwards.
        zero_output_for_mask: Keras' argument; the last output too is then 0 where the step read last is masked.

    Returns:
        (last output (n, h), outputs (n, T, h), or (n, 1, h) without `return_sequences`, states), as Keras'
        `RNN.inner_loop` does. Differentiable in all that `run` is differentiable in.

    Raises:
        ValueError: the mask's shape is not (n, T), as far as known.

    >>> def running_sum(x, mask):  # 0 at masked steps, which stand at the end
    ...     y = tf.where(mask[:, :, None], tf.cumsum(x, axis=1), 0.0)
    ...     last = tf.reduce_max(y, axis=1)
    ...     return last, y, [last]
    >>> x = tf.constant([[[9.0], [1.0], [9.0], [2.0], [9.0]]])
    >>> mask = tf.constant([[False, True, False, True, False]])
    >>> last, y, _ = right_padded(running_sum, x, mask, [tf.zeros((1, 1))], return_sequences=True, go_backwards=False)
    >>> y.numpy().ravel().tolist(), last.numpy().ravel().tolist()
    ([0.0, 1.0, 1.0, 3.0, 3.0], [3.0])
    """
    mask = tf.cast(mask, tf.bool)
    if not mask.shape.is_compatible_with(sequences.shape[:2]):
        raise ValueError(f"mask must be (n, T), here {tuple(sequences.shape[:2])}, got shape {tuple(mask.shape)}")
    mask = tf.ensure_shape(mask, sequences.shape[:2])
    some = tf.reduce_any(mask, axis=1, keepdims=True)
    _, outputs, states = run(*_valid_first(sequences, mask, some))
    states = [tf.where(some, state, initial) for state, initial in zip(states, initial_state, strict=True)]
    read = tf.reverse(mask, [1]) if go_backwards else mask
    last = _or_zero(read[:, -1:] if zero_output_for_mask else some, states[0])
    if not return_sequences:
        return last, last[:, None], states
    return last, _back_in_place(outputs, read, go_backwards, zero_output_for_mask), states


def _valid_first(sequences, mask, some):
    """Sequences with the valid steps of each row at its start, and their mask, true at one step at least; some: (n, 1).

    What stands in place already is not copied.
    """
    lengths = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.int32), axis=1), 1)
    moved_mask = tf.sequence_mask(lengths, tf.shape(mask)[1])

    def moved():
        order = tf.argsort(tf.cast(~mask, tf.int32), axis=1, stable=True)
        # A row without a valid step runs on zeros: NaN there would reach the weights' gradients, as 0 * NaN is NaN.
        return _or_zero(some[:, :, None], tf.gather(sequences, order, batch_dims=1))

    in_place = tf.reduce_all(mask == moved_mask)
    return tf.cond(in_place, lambda: tf.identity(sequences), moved), moved_mask


def _back_in_place(outputs, read, go_backwards, zero_output_for_mask):
    """The outputs of a run on the valid steps, at the steps they belong to; `read` is the mask in the order of reading.

    A step without a valid one before it reads the first output, never a masked one, and is zeroed.
    """
    count = tf.cumsum(tf.cast(read, tf.int32), axis=1)
    place = tf.maximum(count, 1) - 1
    if go_backwards:
        place += tf.shape(read)[1] - tf.maximum(count[:, -1:], 1)
    return _or_zero((read if zero_output_for_mask else count > 0)[:, :, None], tf.gather(outputs, place, batch_dims=1))


def _or_zero(condition, values):
    return tf.where(condition, values, tf.zeros((), values.dtype))
