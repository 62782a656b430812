"""Checks of the arguments with which layers are called: inputs, masks, and ids."""

from __future__ import annotations

import keras
from keras import ops

from deeprnn_keras import _compat
from deeprnn_keras._types import Tensor


def check_real(owner: str, inputs: Tensor) -> None:
    """Raise a ValueError if inputs are complex: a cast to the dtype of the layer would drop the imaginary part."""
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    if dtype.startswith("complex"):
        raise ValueError(
            f"{owner}: x must hold real numbers, got {dtype}; pass the real and the imaginary part as features"
        )


def check_mask(owner: str, name: str, mask: Tensor, sequences: Tensor, axes: int = 2) -> None:
    """Check that a mask has the sizes of the first axes of the sequences (n, T, d).

    Axes that are not known while a graph is traced are checked when it runs.

    Args:
        owner: Name of the layer.
        name: Name of the argument.
        mask: The mask.
        sequences: The sequences.
        axes: Number of axes of the mask: 1 for (n,), 2 for (n, T).

    Raises:
        ValueError: If the mask has another number of axes, or an axis has another size.
        tf.errors.InvalidArgumentError: For the same reasons, if the sizes are known only when a graph runs.
    """
    received, expected = tuple(mask.shape), tuple(sequences.shape)[:axes]
    message = f"{owner}: {name} must have shape {'(n, T)' if axes == 2 else '(n,)'}, the first axes of x, {expected}"
    pairs = list(zip(received, expected, strict=False))
    if len(received) != axes or any(None not in pair and pair[0] != pair[1] for pair in pairs):
        raise ValueError(f"{message}, got shape {received}")
    if any(None in pair for pair in pairs) and not isinstance(mask, keras.KerasTensor):
        _compat.require(ops.all(ops.equal(_sizes(mask, axes), _sizes(sequences, axes))), message)


def _sizes(tensor: Tensor, axes: int) -> Tensor:
    return ops.stack([ops.cast(size, "int32") for size in ops.shape(tensor)[:axes]])


def check_ids(owner: str, inputs: Tensor, size: int) -> Tensor:
    """Return ids as int32.

    Args:
        owner: Name of the layer.
        inputs: Ids, of any dtype.
        size: Number of symbols.

    Raises:
        ValueError: If an id is not an integer in [0, size).
        tf.errors.InvalidArgumentError: For the same reason, if the ids are known only when a graph runs.
            Graphs that are compiled by XLA or exported are not checked.
    """
    check_real(owner, inputs)
    ids = ops.cast(inputs, "int32")
    if isinstance(inputs, keras.KerasTensor):
        return ids
    valid = ops.logical_and(ids >= 0, ids < size)
    if not keras.backend.is_int_dtype(inputs.dtype):
        valid = ops.logical_and(valid, ops.equal(ops.cast(ids, inputs.dtype), inputs))
    _compat.require(ops.all(valid), f"{owner}: ids must be integers in [0, {size}), the size of the vocabulary")
    return ids
