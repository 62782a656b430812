"""`scan`: a loop over time that carries tensors and stacks what each step saves."""

import tensorflow as tf


def scan(length, step, carry, rows, batch, dtype, steps=None, reverse=False):
    """Runs `step` for t = 0, ..., steps - 1, or from the end.

    Args:
        length: T, a number or a scalar tensor.
        step: (t, carry) -> (new carry, saved), lists of tensors.
        carry: the carry before the first step: list of (rows, n) tensors.
        rows: number of rows of each tensor that a step saves.
        batch: n, a number or a scalar tensor.
        dtype: of what is saved.
        steps: how many steps there are, at most T; None: T. What they do not save is 0.
        reverse: from the last step to the first; what is saved stands at its own t.

    Returns:
        (final carry, list of tensors (T, rows, n)).
    """
    if steps is None and isinstance(length, int) and length == 1:
        carry, saved = step(0, list(carry))
        return carry, [value[None] for value in saved]
    static = batch if isinstance(batch, int) else None
    buffers = [
        tf.TensorArray(dtype, size=length, element_shape=(height, static), clear_after_read=False) for height in rows
    ]
    width = len(carry)
    steps = length if steps is None else steps
    if static is None:
        steps = steps * tf.minimum(batch, 1)  # no examples, no steps: XLA, which knows n, leaves the loop out

    def body(i, *loop):
        t = steps - 1 - i if reverse else i
        new, saved = step(t, list(loop[:width]))
        new = [tf.ensure_shape(value, old.shape) for value, old in zip(new, loop[:width], strict=True)]
        return (i + 1, *new, *[array.write(t, value) for array, value in zip(loop[width:], saved, strict=True)])

    _, *loop = tf.while_loop(
        lambda i, *_: i < steps, body, (tf.constant(0), *carry, *buffers), maximum_iterations=steps
    )
    return loop[:width], [_stacked(*array, batch, dtype) for array in zip(loop[width:], rows, strict=True)]


def _stacked(array, height, batch, dtype):
    """(T, height, n), 0 where nothing was saved: `stack` wants to know n for that."""
    if isinstance(batch, int) or tf.executing_eagerly():
        return array.stack()
    shape = tf.stack([height, batch])
    stacked = tf.raw_ops.TensorListStack(input_handle=array.flow, element_shape=shape, element_dtype=dtype)
    return tf.ensure_shape(stacked, (None, height, None))
