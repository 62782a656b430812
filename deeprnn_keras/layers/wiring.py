"""How the levels of a stack are joined: what a level reads, what leaves it, what leaves the stack."""

from keras import ops


class Wiring:
    """The connections of a `DeepRNN`, for sequences whose features lie on any axis.

    Args:
        connection: "stack", "residual" or "skip".
        dropouts: one `keras.layers.Dropout` for each level but the first.
        axis: of the features.
        block_size: layers that a residual shortcut passes over.
        all_layers: everything leaves the stack, not the top alone.
    """

    def __init__(self, connection, dropouts, axis=-1, block_size=1, all_layers=False):
        self.connection, self.dropouts, self.axis = connection, dropouts, axis
        self.block_size, self.all_layers = block_size, all_layers

    @classmethod
    def of(cls, stack, axis=-1):
        """The wiring of a `DeepRNN`."""
        return cls(stack.connection, stack.dropouts, axis, stack.block_size, stack.return_all_layers)

    def read(self, index, below, sequences, training):
        """What level `index` reads, given what leaves the levels below."""
        if index == 0:
            return sequences
        dropout = self.dropouts[index - 1]
        read = dropout.call(below[-1], training=training)  # not dropout(...): under a half-precision policy it rounds
        return ops.concatenate([read, sequences], axis=self.axis) if self.connection == "skip" else read

    def with_shortcut(self, output, below):
        """What leaves a level: at the end of a residual block its output and what leaves the block below."""
        shortcut = len(below) - self.block_size
        if self.connection != "residual" or output is None or shortcut < 0 or (len(below) + 1) % self.block_size:
            return output
        return output + below[shortcut]

    def joined(self, outputs):
        """What leaves the stack, given what leaves its levels: a list, of one or with `all_layers` of L."""
        if self.all_layers:
            return list(outputs)
        return [ops.concatenate(outputs, axis=self.axis) if self.connection == "skip" else outputs[-1]]
