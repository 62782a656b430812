"""AR and TAR: what large and what restless activations cost."""

from keras import ops

from deeprnn_keras import checks


def check_penalties(ar, tar, return_sequences):
    """Both as floats, if a stack can have them."""
    ar, tar = (
        checks.number(name, value, -1e-300, right="a number of at least 0")
        for name, value in (("ar", ar), ("tar", tar))
    )
    if (ar or tar) and not return_sequences:
        raise ValueError(f"ar={ar:g} and tar={tar:g} look at every step of the output; they need return_sequences=True")
    return ar, tar


def penalty(outputs, mask, ar, tar):
    """ar mean(H_t^2) + tar mean((H_t - H_{t-1})^2), a scalar, over the units and valid steps of outputs (n, T, q)."""
    outputs = ops.cast(outputs, "float32")
    valid = ops.ones(ops.shape(outputs)[:2]) if mask is None else ops.cast(mask, "float32")
    total = ar * _mean(ops.mean(ops.square(outputs), -1), valid)
    if tar:
        steps = ops.square(outputs[:, 1:] - outputs[:, :-1])
        total = total + tar * _mean(ops.mean(steps, -1), valid[:, 1:] * valid[:, :-1])
    return total


def _mean(values, valid):
    return ops.sum(values * valid) / ops.maximum(ops.sum(valid), 1.0)
