"""`PerGate`: one draw per gate."""

import keras
from keras import ops

from deeprnn_keras.initializers.seeding import check_same_cell, draw, reseeded
from deeprnn_keras.specs import CELLS, registered_cell


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class PerGate(keras.initializers.Initializer):
    """Calls `initializer` once for each gate and concatenates the blocks.

    Keras keeps the gates of a layer side by side, W = [W_1 | ... | W_G] with W_k of shape (d, h). An initializer
    that looks at the shape sees one (d, G h) matrix: `orthogonal` then makes W as a whole orthogonal and no single
    gate, `glorot_uniform` counts G h outputs where each gate has h. Saxe et al. 2013 (arXiv:1312.6120) and Glorot &
    Bengio 2010 argue about the map of one gate; this initializer applies them there.

    Args:
        initializer: any Keras initializer (object, name or function); each gate gets draws of its own.
        cell: "rnn", "gru" or "lstm": how many gates there are. `DeepRNN` fills it in. With None it is read off a
            recurrent kernel's shape (h, G h); as `kernel_initializer` of a stock Keras layer it must be given.

    Raises:
        ValueError: if the shape has no such blocks.

    >>> import keras
    >>> from deeprnn_keras.initializers import PerGate
    >>> layer = keras.layers.LSTM(64, recurrent_initializer=PerGate("orthogonal"))
    """

    def __init__(self, initializer, cell=None):
        self.initializer = keras.initializers.get(initializer)
        self.cell = None if cell is None else registered_cell(cell).name

    def __call__(self, shape, dtype=None):
        gates = self._num_gates(tuple(shape))
        block = (*shape[:-1], shape[-1] // gates)
        blocks = [draw(reseeded(self.initializer, gate), block, dtype) for gate in range(gates)]
        return ops.concatenate(blocks, axis=-1)

    def _num_gates(self, shape):
        if len(shape) != 2:
            raise ValueError(f"PerGate initializes kernels of rank 2, got shape {shape}")
        rows, columns = shape
        if self.cell is not None:
            gates = len(CELLS[self.cell].gates)
            if columns % gates:
                raise ValueError(f"PerGate(cell={self.cell!r}) expects shape (d, {gates} h), got {shape}")
            return gates
        gates, rest = divmod(columns, rows)
        if rest or gates not in {len(spec.gates) for spec in CELLS}:
            raise ValueError(
                f"PerGate cannot tell the number of gates from shape {shape}, which is not that of a recurrent "
                "kernel (h, G h); give cell='rnn', 'gru' or 'lstm'"
            )
        return gates

    def for_cell(self, cell):
        """This initializer, told the cell; an error if it knows another."""
        check_same_cell(self, cell)
        return self if self.cell else PerGate(self.initializer, cell)

    def reseeded(self, key):
        """A copy that draws other numbers."""
        return PerGate(reseeded(self.initializer, key), self.cell)

    def get_config(self):
        return {"initializer": keras.initializers.serialize(self.initializer), "cell": self.cell}
