"""A dilated recurrence: step t follows step t - r, so that r chains run side by side, each as a sequence of its own.

The chains are rows of a larger batch: (n, T, d) -> (n r, ceil(T / r), d), so that any layer and any kernel runs them.
"""

from keras import ops


class Dilated:
    """Takes sequences apart into chains and puts them together again.

    Args:
        rate: r.
        from_the_end: filled up at the start instead of the end, for a layer that reads from the end.
    """

    def __init__(self, rate, from_the_end=False):
        self.rate, self.from_the_end = rate, from_the_end

    def apart(self, x):
        """(n, T, ...) -> (n r, ceil(T / r), ...); None stays None. Row i r + j has the steps j, j + r, ... of row i."""
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

    def together(self, y, like):
        """(n r, ceil(T / r), h) -> (n, T, h), with T of `like` (n, T, ...)."""
        steps, width = ops.shape(y)[1], y.shape[2]
        y = ops.transpose(ops.reshape(y, (-1, self.rate, steps, width)), (0, 2, 1, 3))
        y = ops.reshape(y, (-1, steps * self.rate, width))
        length = ops.shape(like)[1]
        return y[:, -length:] if self.from_the_end else y[:, :length]
