"""Deep input and deep output: a perceptron on each step, before and after the recurrent layers."""

import keras

from deeprnn_keras import checks
from deeprnn_keras.initializers.seeding import reseeded
from deeprnn_keras.layers import arguments


class PerStep(keras.layers.Layer):
    """The base: dense layers on the last axis, one after the other.

    Args:
        units: [k_1, ..., k_m], widths of the layers.
        activation: of all layers, or of all but the last.
        dropout: rate in [0, 1) on what layers 2, ..., m read.
        kernel_initializer, bias_initializer: Keras initializers.
        seed: for dropout.
    """

    last_is_affine = False

    def __init__(
        self,
        units,
        activation="tanh",
        dropout=0.0,
        *,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        given = list(units) if isinstance(units, (list, tuple)) else [units]
        if not given:
            raise ValueError("units must be a list with the width of each layer, got an empty list")
        self.units = [checks.positive_int("units", width) for width in given]
        self.activation = arguments.activation(activation)
        self.kernel_initializer = arguments.initializer("kernel_initializer", kernel_initializer)
        self.bias_initializer = arguments.initializer("bias_initializer", bias_initializer)
        self.dropout = checks.rate("dropout", dropout)
        self.seed = checks.seed("seed", seed)
        self.supports_masking = True
        self.steps = [self._dense(number) for number in range(len(self.units))]
        self.drop = keras.layers.Dropout(self.dropout, seed=self.seed, dtype=self.dtype_policy)

    def _dense(self, number):
        affine = self.last_is_affine and number == len(self.units) - 1
        return keras.layers.Dense(
            self.units[number],
            None if affine else self.activation,
            kernel_initializer=reseeded(self.kernel_initializer, number),
            bias_initializer=self.bias_initializer,
            dtype=self.dtype_policy,
            name=f"layer_{number + 1}",
        )

    def build(self, shape):
        for dense in self.steps:
            dense.build(shape)
            shape = (*shape[:-1], dense.units)

    def call(self, x, training=False):
        for number, dense in enumerate(self.steps):
            x = dense(self.drop(x, training=training) if number else x)
        return x

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.units[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "activation": None if self.activation is None else keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class DeepOutput(PerStep):
    """The head g of a deep output RNN: O_t = g(H_t^(L)), a perceptron in place of an affine map.

        a_1 = f(H_t W_1 + b_1),  a_j = f(a_{j-1} W_j + b_j),  O_t = a_{m-1} W_m + b_m

    Between the state and the output there may be any function; with hidden layers it can undo what the state had to
    summarize (DOT-RNN, Pascanu et al. 2013, arXiv:1312.6026).

    Args:
        units: [k_1, ..., k_{m-1}, q]: the hidden layers and the output; a number is q alone, an affine map.
        activation: f; the output is affine.
        dropout: rate in [0, 1) on what layers 2, ..., m read.
        kernel_initializer, bias_initializer, seed: as in Keras.

    Call:
        (n, h) -> (n, q), (n, T, h) -> (n, T, q).

    Raises:
        ValueError: for sizes and rates out of range, and unknown names.

    >>> import keras
    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras.layers import DeepOutput
    >>> model = keras.Sequential([keras.Input((None, 3)), DeepRNN(8), DeepOutput([16, 2], dropout=0.1)])
    >>> model.output_shape
    (None, 2)
    """

    last_is_affine = True


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class DeepInput(PerStep):
    """The input side of a deep input RNN: what the first recurrent layer reads is a perceptron of X_t.

        a_1 = f(X_t W_1 + b_1), ..., a_m = f(a_{m-1} W_m + b_m)

    Args:
        units: [k_1, ..., k_m].
        activation: f, of all layers.
        dropout, kernel_initializer, bias_initializer, seed: as in `DeepOutput`.

    Call:
        (n, T, d) -> (n, T, k_m).

    Raises:
        ValueError: for sizes and rates out of range, and unknown names.

    Source: Pascanu et al. 2013 (arXiv:1312.6026).

    >>> import keras
    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras.layers import DeepInput
    >>> model = keras.Sequential([keras.Input((None, 3)), DeepInput([8, 8], "relu"), DeepRNN(8)])
    >>> model.output_shape
    (None, 8)
    """
