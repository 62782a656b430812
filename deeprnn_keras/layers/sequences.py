"""Operations on sequences (n, T, d) and masks (n, T): time reversal, last valid step, dilation."""

from __future__ import annotations

from keras import ops

from deeprnn_keras._types import Tensor


def flip_time(x: Tensor | None) -> Tensor | None:
    """Return x with its time axis reversed, or None for None."""
    return None if x is None else ops.flip(x, axis=1)


def last_valid(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the vector (n, d) at the last unmasked step of each row, or at the last step of a fully masked row."""
    if mask is None:
        return x[:, -1]
    steps = ops.shape(x)[1]
    steps_from_end = ops.argmax(ops.cast(ops.flip(mask, axis=1), "int32"), axis=1)
    index = ops.cast(steps - 1 - ops.cast(steps_from_end, "int32"), "int32")
    return ops.squeeze(ops.take_along_axis(x, index[:, None, None], axis=1), axis=1)


def zero_masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return x with zeros at masked steps."""
    return x if mask is None else x * ops.cast(mask, x.dtype)[:, :, None]


class Dilation:
    """Rearrangement of sequences for a dilated recurrence, in which step t follows step t - r.

    A sequence is split into r interleaved subsequences, which become rows of a larger batch, (n, T, d) ->
    (n r, ceil(T / r), d). Any layer and any implementation can process this batch.

    Args:
        rate: Dilation rate r.
        pad_start: If True, pad the sequence at its start instead of its end to a length that is a multiple of r. Use it
            for layers that read the sequence in reverse, so that they read the padding last.
    """

    def __init__(self, rate: int, pad_start: bool = False) -> None:
        self.rate, self.pad_start = rate, pad_start

    def split(self, x: Tensor | None) -> Tensor | None:
        """Rearrange (n, T, ...) to (n r, ceil(T / r), ...), or return None for None.

        Row i r + j of the result holds steps j, j + r, ... of row i.
        """
        if x is None:
            return None
        rate, features = self.rate, tuple(x.shape[2:])
        missing = (-ops.shape(x)[1]) % rate
        padding = (missing, 0) if self.pad_start else (0, missing)
        dtype, x = x.dtype, ops.cast(x, "int32") if x.dtype == "bool" else x  # padding of bool is not supported
        x = ops.pad(x, [(0, 0), padding, *[(0, 0)] * len(features)])
        steps = ops.shape(x)[1] // rate
        x = ops.reshape(x, (-1, steps, rate, *features))
        x = ops.transpose(x, (0, 2, 1, *range(3, 3 + len(features))))
        return ops.cast(ops.reshape(x, (-1, steps, *features)), dtype)

    def join(self, y: Tensor, like: Tensor) -> Tensor:
        """Rearrange (n r, ceil(T / r), h) back to (n, T, h) and remove the padding.

        Args:
            y: Output of a layer for the result of `split`, in order of time.
            like: The sequence (n, T, ...) that was passed to `split`; only its length T is used.
        """
        steps, width = ops.shape(y)[1], y.shape[2]
        y = ops.transpose(ops.reshape(y, (-1, self.rate, steps, width)), (0, 2, 1, 3))
        y = ops.reshape(y, (-1, steps * self.rate, width))
        length = ops.shape(like)[1]
        return y[:, -length:] if self.pad_start else y[:, :length]
