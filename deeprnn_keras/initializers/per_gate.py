"""`PerGate`: separate initialization of each gate."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras._types import Config, Initializer, Tensor
from deeprnn_keras.initializers.seeding import InitializerObject, check_same_cell, draw, reseeded
from deeprnn_keras.keras_objects import ChecksConfig
from deeprnn_keras.specs import CELLS, registered_cell


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class PerGate(ChecksConfig, keras.initializers.Initializer):
    """Apply `initializer` to each gate separately and concatenate the results.

    Keras stores the gates of a layer in one matrix, W = [W_1 | ... | W_G] with W_k of shape (d, h). An initializer that
    depends on the shape is applied to the whole (d, G h) matrix: `orthogonal` makes W orthogonal but not its blocks,
    and `glorot_uniform` counts G h outputs where each gate has h. The derivations of Saxe et al. 2013
    (arXiv:1312.6120) and Glorot & Bengio 2010 apply to the map of one gate, which is what this initializer uses.

    Args:
        initializer: A Keras initializer (object, name, or function); each gate uses a different seed.
        cell: "rnn", "gru", or "lstm", which determines the number of gates. `DeepRNN` sets it. With None,
            the number is inferred from the shape (h, G h) of a recurrent kernel. As the `kernel_initializer` of a Keras
            layer, `PerGate` requires `cell`.

    Raises:
        ValueError: If the shape does not consist of such blocks.

    >>> import keras
    >>> from deeprnn_keras.initializers import PerGate
    >>> layer = keras.layers.LSTM(64, recurrent_initializer=PerGate("orthogonal"))
    """

    def __init__(self, initializer: Initializer, cell: str | None = None) -> None:
        self.initializer: InitializerObject = keras.initializers.get(initializer)
        self.cell: str | None = None if cell is None else registered_cell(cell).name

    @override
    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        gates = self._num_gates(tuple(shape))
        block = (*shape[:-1], shape[-1] // gates)
        blocks = [draw(reseeded(self.initializer, "gate", gate), block, dtype) for gate in range(gates)]
        return ops.concatenate(blocks, axis=-1)

    def _num_gates(self, shape: tuple[int, ...]) -> int:
        if len(shape) != 2:
            raise ValueError(f"PerGate supports kernels of rank 2, got shape {shape}")
        rows, columns = shape
        if self.cell is not None:
            gates = len(CELLS[self.cell].gates)
            if columns % gates:
                raise ValueError(f"PerGate(cell={self.cell!r}) expects shape (d, {gates} h), got {shape}")
            return gates
        gates, remainder = divmod(columns, rows)
        if remainder or gates not in {len(spec.gates) for spec in CELLS}:
            raise ValueError(
                f"PerGate cannot infer the number of gates from shape {shape}, which is not that of a recurrent "
                "kernel (h, G h); pass cell='rnn', cell='gru', or cell='lstm'"
            )
        return gates

    def for_cell(self, cell: str) -> PerGate:
        """Return this initializer with its argument `cell` set.

        Raises:
            ValueError: If the argument has another value already.
        """
        check_same_cell(self, cell)
        return self if self.cell else PerGate(self.initializer, cell)

    def reseeded(self, use: str, number: int) -> PerGate:
        """Return a copy with a seed derived from its seed, `use`, and `number`.

        Args:
            use: Name of what the weights belong to, for example "layer".
            number: Number of the weight among those of this use.
        """
        return PerGate(reseeded(self.initializer, use, number), self.cell)

    @override
    def get_config(self) -> Config:
        return {"initializer": keras.initializers.serialize(self.initializer), "cell": self.cell}
