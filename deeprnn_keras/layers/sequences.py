"""Operations on sequences (n, T, d) and their masks (n, T): reversal, last valid step, dilation."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def flip_time(x: Tensor | None) -> Tensor | None:
    """Return x with its time axis reversed; None stays None."""
    return None if x is None else ops.flip(x, axis=1)


def last_valid(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the vectors (n, d) at each row's last unmasked step; at the last step of all where a row has none."""
    if mask is None:
        return x[:, -1]
    steps = ops.shape(x)[1]
    from_the_end = ops.argmax(ops.cast(ops.flip(mask, axis=1), "int32"), axis=1)
    index = ops.cast(steps - 1 - ops.cast(from_the_end, "int32"), "int32")
    return ops.squeeze(ops.take_along_axis(x, index[:, None, None], axis=1), axis=1)


def zero_masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return x with zeros at masked steps."""
    return x if mask is None else x * ops.cast(mask, x.dtype)[:, :, None]


class Dilation:
    """The chains of a dilated recurrence, in which step t follows step t - r.

    The r chains are rows of a larger batch, (n, T, d) -> (n r, ceil(T / r), d), so that any layer and any
    implementation runs them.

    Args:
        rate: r.
        from_the_end: Pad at the start instead of the end, for a layer that reads from the end.
    """

    def __init__(self, rate: int, from_the_end: bool = False) -> None:
        self.rate, self.from_the_end = rate, from_the_end

    def split(self, x: Tensor | None) -> Tensor | None:
        """Return (n r, ceil(T / r), ...) of (n, T, ...); None stays None.

        Row i r + j has the steps j, j + r, ... of row i.
        """
        if x is None:
            return None
        rate, tail = self.rate, tuple(x.shape[2:])
        missing = (-ops.shape(x)[1]) % rate
        padding = (missing, 0) if self.from_the_end else (0, missing)
        dtype, x = x.dtype, ops.cast(x, "int32") if x.dtype == "bool" else x  # bool cannot be padded
        x = ops.pad(x, [(0, 0), padding, *[(0, 0)] * len(tail)])
        steps = ops.shape(x)[1] // rate
        x = ops.reshape(x, (-1, steps, rate, *tail))
        x = ops.transpose(x, (0, 2, 1, *range(3, 3 + len(tail))))
        return ops.cast(ops.reshape(x, (-1, steps, *tail)), dtype)

    def join(self, y: Tensor, like: Tensor) -> Tensor:
        """Return (n, T, h) of (n r, ceil(T / r), h), with T of `like` (n, T, ...)."""
        steps, width = ops.shape(y)[1], y.shape[2]
        y = ops.transpose(ops.reshape(y, (-1, self.rate, steps, width)), (0, 2, 1, 3))
        y = ops.reshape(y, (-1, steps * self.rate, width))
        length = ops.shape(like)[1]
        return y[:, -length:] if self.from_the_end else y[:, :length]
