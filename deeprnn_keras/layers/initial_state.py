"""Initial states of a recurrent layer that are learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras._types import Shape, Tensor
from deeprnn_keras.cells.keras_cells import cell_recurrence

if TYPE_CHECKING:
    from deeprnn_keras.layers.drop_ins import SelectsImplementation


class InitialState(keras.layers.Layer):
    """Trainable states before the first step, the same for all sequences of a batch; zero before training.

    Args:
        layer: The recurrent layer.
    """

    def __init__(self, layer: SelectsImplementation) -> None:
        super().__init__(name="initial_state", dtype=layer.dtype_policy)
        size = layer.state_size
        self.widths = [size] if isinstance(size, int) else list(size)
        recurrence = cell_recurrence(layer.cell)
        self.states = [f"state_{k + 1}" for k in range(len(self.widths))]
        if recurrence is not None:
            self.states = list(recurrence.equations.state_widths())

    @override
    def build(self, input_shape: Shape | None = None) -> None:
        self.vectors = [
            self.add_weight(shape=(width,), initializer="zeros", name=name)
            for name, width in zip(self.states, self.widths, strict=True)
        ]

    def rows(self, batch_size: int | Tensor) -> list[Tensor]:
        """Return the states of a batch, (n, width) each."""
        return [
            ops.broadcast_to(ops.cast(vector, self.compute_dtype)[None], (batch_size, width))
            for vector, width in zip(self.vectors, self.widths, strict=True)
        ]
