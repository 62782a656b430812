"""`Level`: the recurrent layers on one level of a stack, one from the left, or one from each side."""

from keras import ops

from deeprnn_keras.layers.dilated import Dilated
from deeprnn_keras.layers.sequences import flip_time, last_valid


class Level:
    """Runs the layers of a level side by side and joins what they give.

    Args:
        layers: [forward] or [forward, backward], Keras recurrent layers with `return_state=True`; the backward one
            has `go_backwards=True`.
        dilation: r: step t follows step t - r. Above 1 the layers must return sequences, and there are no states to
            begin with or to hand on.
    """

    def __init__(self, layers, dilation=1):
        self.layers, self.dilation = layers, dilation

    def build(self, shape):
        """Creates the weights of all layers for inputs of this shape."""
        for layer in self.layers:
            layer.build(shape)

    @property
    def state_sizes(self):
        """Widths of the states, forward then backward."""
        sizes = [layer.state_size for layer in self.layers]
        return [width for size in sizes for width in (size if isinstance(size, (list, tuple)) else [size])]

    def initial_state(self, batch):
        """The states that a call begins with where none are given, zeros, as a flat list."""
        return [state for layer in self.layers for state in layer.get_initial_state(batch)]

    def run(self, read, states, mask, training, want_last):
        """-> (H^(l) of all steps or None, H^(l) at the last step read or None, final states as a flat list).

        The first is there if the layers return sequences, the second if they do not, or if `want_last`.
        """
        if self.dilation > 1 and states:
            raise ValueError(f"initial_state cannot be with dilation={self.dilation}, whose states take turns")
        if self.dilation > 1:
            return self._run_dilated(read, mask, training, want_last)
        outputs, lasts, final = [], [], []
        count = len(states) // len(self.layers)
        for number, layer in enumerate(self.layers):
            initial = states[number * count : (number + 1) * count] or None
            output, *new = layer(read, initial_state=initial, mask=mask, training=training)
            final += new
            if not layer.return_sequences:
                lasts.append(output)
                continue
            if want_last:
                lasts.append(last_valid(output, flip_time(mask) if layer.go_backwards else mask))
            outputs.append(flip_time(output) if layer.go_backwards else output)
        return _joined(outputs), _joined(lasts), final

    def _run_dilated(self, read, mask, training, want_last):
        outputs, lasts = [], []
        for layer in self.layers:
            chains = Dilated(self.dilation, layer.go_backwards)
            output, *_ = layer(chains.apart(read), mask=chains.apart(mask), training=training)
            output = chains.together(flip_time(output) if layer.go_backwards else output, read)
            outputs.append(output)
            if want_last:
                ends = (flip_time(output), flip_time(mask)) if layer.go_backwards else (output, mask)
                lasts.append(last_valid(*ends))
        return _joined(outputs), _joined(lasts), []


def _joined(parts):
    if len(parts) < 2:
        return parts[0] if parts else None
    return ops.concatenate(parts, axis=-1)
