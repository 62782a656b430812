"""`LSTM`, `GRU`, `SimpleRNN`: those of Keras, on the fastest kernel there is."""

import keras

from deeprnn_keras.kernels import dispatch
from deeprnn_keras.kernels.rules import traits


class ChoosesKernel:
    """Mixin for a Keras recurrent layer: argument `implementation`, and an inner loop that follows it."""

    def __init__(self, *args, implementation="auto", **kwargs):
        super().__init__(*args, **kwargs)
        implementation = "auto" if implementation in (0, 1, 2) else implementation  # Keras' own, of no effect here
        self.implementation = dispatch.check(implementation, traits(self))

    def chosen_kernel(self):
        """The kernel that runs this layer on this machine."""
        return dispatch.choose(traits(self), self.implementation, getattr(self, "use_cudnn", "auto")).kernel

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if keras.backend.backend() != "tensorflow":
            return self.elsewhere(sequences, initial_state, mask, training)
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        if mask is not None and len(mask.shape) == 3:  # Keras' loop takes (n, T, 1) too
            mask = keras.ops.squeeze(mask, -1)
        initial_state = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
        chosen = self.chosen_kernel()
        if chosen == "xla":
            from deeprnn_keras.kernels.tensorflow.inner_loop import inner_loop

            return inner_loop(self, sequences, initial_state, mask, training)
        if chosen == "cudnn":
            return self._on_cudnn(sequences, initial_state, mask, training)
        return self.in_loop(sequences, initial_state, mask, training)

    def in_loop(self, sequences, initial_state, mask, training):
        """Keras' loop."""
        return keras.layers.RNN.inner_loop(self, sequences, initial_state, mask=mask, training=training)

    def elsewhere(self, sequences, initial_state, mask, training):
        """On a backend other than TensorFlow: what Keras does there."""
        return super().inner_loop(sequences, initial_state, mask, training=training)

    def _on_cudnn(self, sequences, initial_state, mask, training):
        run = super().inner_loop
        if mask is None:
            return run(sequences, initial_state, None, training=training)
        from deeprnn_keras.kernels.tensorflow.right_padded import right_padded

        return right_padded(
            lambda sequences, mask: run(sequences, initial_state, mask, training=training),
            sequences,
            mask,
            initial_state,
            return_sequences=self.return_sequences,
            go_backwards=self.go_backwards,
            zero_output_for_mask=self.zero_output_for_mask,
        )

    def get_config(self):
        config = {**super().get_config(), "implementation": self.implementation}
        if getattr(self, "use_cudnn", "auto") != "auto":
            config["use_cudnn"] = self.use_cudnn  # Keras leaves it out and forgets it
        return config


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class LSTM(ChoosesKernel, keras.layers.LSTM):
    """`keras.layers.LSTM` with the fused kernel on a CPU: same arguments, weights, numbers and weight files.

        i, f, o = s(x_t W + h_{t-1} U + b),  g = a(x_t W_g + h_{t-1} U_g + b_g)
        c_t = f c_{t-1} + i g,  h_t = o a(c_t)

    Args:
        implementation: "auto": cuDNN on a GPU where the layer is eligible, XLA on a CPU, else Keras' loop; or "cudnn",
            "xla", "loop". Keras' own 0, 1, and 2 are accepted as "auto".
        Everything else: as in `keras.layers.LSTM`.

    Call:
        layer(x, initial_state=None, mask=None, training=False), x (n, T, d) -> (n, h), or (n, T, h) with
        `return_sequences`. A mask of any form gives the numbers of Keras' loop on every kernel.

    Raises:
        ValueError: if the kernel asked for cannot run the layer; the message says why. For cuDNN on a machine without
            a GPU when the layer is called, so that models can be loaded anywhere.

    Sources: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000.

    >>> import keras
    >>> from deeprnn_keras import LSTM
    >>> model = keras.Sequential([keras.Input((None, 3)), LSTM(8, return_sequences=True), LSTM(8)])
    >>> model.output_shape
    (None, 8)
    """


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class GRU(ChoosesKernel, keras.layers.GRU):
    """`keras.layers.GRU` with the fused kernel on a CPU: same arguments, weights, numbers and weight files.

        z, r = s(x_t W + h_{t-1} U + b),  g = a(x_t W_g + b_g + r (h_{t-1} U_g + b'_g))
        h_t = z h_{t-1} + (1 - z) g

    and with `reset_after=False` g = a(x_t W_g + (r h_{t-1}) U_g + b_g).

    Args:
        implementation: "auto", "cudnn", "xla" or "loop", as in `LSTM`.
        Everything else: as in `keras.layers.GRU`.

    Raises:
        ValueError: if the kernel asked for cannot run the layer; the message says why.

    Source: Cho et al. 2014 (arXiv:1406.1078).

    >>> import keras
    >>> from deeprnn_keras import GRU
    >>> GRU(8, implementation="xla").get_config()["implementation"]
    'xla'
    """


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class SimpleRNN(ChoosesKernel, keras.layers.SimpleRNN):
    """`keras.layers.SimpleRNN` with the fused kernel on a CPU: same arguments, weights, numbers and weight files.

        h_t = a(x_t W + h_{t-1} U + b)

    Args:
        implementation: "auto", "xla" or "loop", as in `LSTM`; Keras has no cuDNN path for it.
        Everything else: as in `keras.layers.SimpleRNN`.

    Raises:
        ValueError: if the kernel asked for cannot run the layer; the message says why.

    Source: Elman 1990.

    >>> import keras
    >>> from deeprnn_keras import SimpleRNN
    >>> SimpleRNN(8, activation="relu", implementation="cudnn")     # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: implementation='cudnn' cannot be: Keras has no cuDNN path for a plain RNN. ...
    """
