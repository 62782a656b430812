"""A stack run layer by layer, each by Keras: on cuDNN, in Keras' loop, or with cells of one's own."""

from deeprnn_keras.layers.sequences import zero_masked
from deeprnn_keras.layers.wiring import Wiring


def by_layers(stack, sequences, states, mask, training):
    """-> what leaves the stack, a list, and final states as one flat list per layer.

    Args:
        stack: a `DeepRNN`.
        sequences: (n, T, d).
        states: one flat list per layer, empty for those of the layer itself.
        mask: (n, T) or None.
    """
    wiring = Wiring.of(stack)
    simple = stack.connection == "stack" and not stack.return_all_layers and max(stack.dilation) == 1
    want_last = not stack.return_sequences and not simple  # else the top layer gives it by itself
    outputs, lasts, finals = [], [], []  # of all steps, of the last step, at the end; per layer
    for index, level in enumerate(stack.levels):
        read = wiring.read(index, outputs, sequences, training)
        output, last, final = level.run(read, states[index], mask, training, want_last)
        outputs.append(wiring.with_shortcut(output, outputs))
        lasts.append(wiring.with_shortcut(last, lasts))
        finals.append(final)
    results = wiring.joined(outputs if stack.return_sequences else lasts)
    if stack.return_sequences and stack.bidirectional:
        results = [zero_masked(result, mask) for result in results]
    return results, finals
