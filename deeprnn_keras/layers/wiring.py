"""How the levels of a stack are joined: what a level reads, what leaves it, what leaves the stack."""

from keras import ops


class Wiring:
    """The connections of a `DeepRNN`, for sequences whose features lie on any axis.

    Args:
        connection: "stack", "residual" or "skip".
        dropouts: one `keras.layers.Dropout` for each level but the first.
        axis: of the features.
    """

    def __init__(self, connection, dropouts, axis=-1):
        self.connection, self.dropouts, self.axis = connection, dropouts, axis

    def read(self, index, below, sequences, training):
        """What level `index` reads, given what leaves the levels below."""
        if index == 0:
            return sequences
        dropout = self.dropouts[index - 1]
        read = dropout.call(below[-1], training=training)  # not dropout(...): under a half-precision policy it rounds
        return ops.concatenate([read, sequences], axis=self.axis) if self.connection == "skip" else read

    def with_shortcut(self, output, below):
        """What leaves a level: with residual connections its output and what leaves the level below."""
        if self.connection != "residual" or output is None or not below:
            return output
        return output + below[-1]

    def joined(self, outputs):
        """What leaves the stack, given what leaves its levels."""
        return ops.concatenate(outputs, axis=self.axis) if self.connection == "skip" else outputs[-1]
