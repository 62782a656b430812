"""Small operations on sequences (n, T, d) and their masks (n, T)."""

from keras import ops


def flip_time(x):
    """x with its time axis reversed; None stays None."""
    return None if x is None else ops.flip(x, axis=1)


def last_valid(x, mask):
    """The vectors (n, d) at each row's last unmasked step; at the last step of all where a row has none."""
    if mask is None:
        return x[:, -1]
    steps = ops.shape(x)[1]
    from_the_end = ops.argmax(ops.cast(ops.flip(mask, axis=1), "int32"), axis=1)
    index = ops.cast(steps - 1 - ops.cast(from_the_end, "int32"), "int32")
    return ops.squeeze(ops.take_along_axis(x, index[:, None, None], axis=1), axis=1)


def zero_masked(x, mask):
    """x with zeros at masked steps."""
    return x if mask is None else x * ops.cast(mask, x.dtype)[:, :, None]
