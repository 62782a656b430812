"""The shapes of what leaves a `DeepRNN`."""

from deeprnn_keras.layers import state
from deeprnn_keras.stack import output_width


def output_shape(layer, n, steps):
    """Of the output for x (n, T, d), with the states behind it if the layer returns them."""

    def of(width):
        return (n, steps, width) if layer.return_sequences else (n, width)

    if layer.return_all_layers:
        shape = [of(output_width([h], "stack", layer.bidirectional)) for h in layer.units]
    else:
        shape = of(output_width(layer.units, layer.connection, layer.bidirectional))
    if not layer.return_state:
        return shape
    return (shape, *state.join([[(n, size) for size in sizes] for sizes in layer.state_size]))
