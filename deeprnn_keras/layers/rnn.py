"""`RNN`: a layer around any cell, on the fused kernel where the cell is written as equations."""

import keras

from deeprnn_keras import _compat
from deeprnn_keras.equations import Blocks
from deeprnn_keras.layers.drop_ins import ChoosesKernel


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class RNN(ChoosesKernel, keras.layers.RNN):
    """`keras.layers.RNN`, faster for cells that are written as equations.

    Such a cell, a `RecurrentCell`, runs on the fused kernel on a CPU; in the loop, on a GPU or another backend, what
    does not depend on the state is still computed for all steps at once. Keras' own
    cells have the fused kernel, too; any other cell runs as in Keras.

    Args:
        cell: a Keras cell, or a list of cells, as in `keras.layers.RNN`.
        implementation: "auto", "xla" or "loop".
        Everything else: as in `keras.layers.RNN`.

    Raises:
        ValueError: if the kernel asked for cannot run the layer; the message says why.

    >>> import keras
    >>> from deeprnn_keras import MLPGateLSTMCell, RNN
    >>> model = keras.Sequential([keras.Input((None, 3)), RNN(MLPGateLSTMCell(8, gate_units=(16,)))])
    >>> model.output_shape
    (None, 8)
    """

    general = True

    def elsewhere(self, sequences, initial_state, mask, training):
        return self.in_loop(sequences, initial_state, mask, training)

    def in_loop(self, sequences, initial_state, mask, training):
        cell = self.cell
        if not hasattr(cell, "equations"):
            return super().in_loop(sequences, initial_state, mask, training)
        read = cell.read(sequences, training)

        def step(x, states):
            new = cell.step(Blocks(x, read.names), states, training)
            return new[0], new

        return _compat.backend_rnn(
            step,
            read.tensor,
            initial_state if isinstance(initial_state, (list, tuple)) else [initial_state],
            go_backwards=self.go_backwards,
            mask=mask,
            unroll=self.unroll,
            input_length=sequences.shape[1],
            zero_output_for_mask=self.zero_output_for_mask,
            return_all_outputs=self.return_sequences,
        )
