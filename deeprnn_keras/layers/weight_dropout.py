"""Dropout of the recurrent matrices of a cell (DropConnect): one mask per batch, applied before the loop over time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import keras

from deeprnn_keras._types import Cell, Tensor
from deeprnn_keras.cells.keras_cells import recurrent_matrices, stored_weights


def dropped_matrices(cell: Cell, dropout: Callable[..., Tensor]) -> dict[str, Tensor]:
    """Return {name: U m / (1 - p)} of the recurrent matrices U of a cell, with a mask m of zeros and ones.

    The expectation is U, and the gradient of U is that of the result times m / (1 - p).

    Args:
        cell: The cell, built.
        dropout: Function that applies dropout to a tensor, `call` of a `keras.layers.Dropout`.
    """
    weights = stored_weights(cell)
    return {
        name: dropout(keras.ops.convert_to_tensor(weights[name]), training=True) for name in recurrent_matrices(cell)
    }


@contextmanager
def replaced_weights(cell: Cell, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Let a cell read tensors instead of some of its weights inside the block.

    The code of Keras reads weights from the attributes of a cell and is never passed others.

    Args:
        cell: The cell, built.
        tensors: {name of the attribute: tensor}.
    """
    attributes = vars(cell)  # not `setattr`, with which Keras would track the tensors
    weights = {name: attributes[name] for name in tensors}
    attributes.update({name: keras.ops.cast(tensor, cell.compute_dtype) for name, tensor in tensors.items()})
    try:
        yield
    finally:
        attributes.update(weights)
