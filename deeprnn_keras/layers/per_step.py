"""`DeepInput` and `DeepOutput`: dense layers that act on each step, below and above the recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import keras
from typing_extensions import override

from deeprnn_keras import checks, freezing
from deeprnn_keras._types import Activation, Config, Initializer, Shape, Tensor
from deeprnn_keras.initializers.seeding import reseeded
from deeprnn_keras.keras_objects import ChecksConfig, plain_config
from deeprnn_keras.layers import arguments


class PerStep(ChecksConfig, keras.layers.Layer):
    """Base class: a multilayer perceptron on the last axis.

    Args:
        units: Widths of the dense layers [k_1, ..., k_m], or one width.
        activation: Activation of all dense layers, or of all but the last if `last_is_affine`.
        dropout: Dropout rate, in [0, 1), on the inputs of dense layers 2, ..., m.
        kernel_initializer: Keras initializer of the kernels. Each kernel draws different numbers.
        bias_initializer: Keras initializer of the biases, which also draw different numbers.
        seed: Random seed for dropout.
        kwargs: Arguments of `keras.layers.Layer`.

    Attributes:
        last_is_affine: Set by subclasses. If True, the last dense layer has no activation.
        dense_layers: The `keras.layers.Dense` layers, in order.
    """

    last_is_affine = False

    def __init__(
        self,
        units: int | Sequence[int],
        activation: Activation = "tanh",
        dropout: float = 0.0,
        *,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        widths = list(units) if isinstance(units, (list, tuple)) else [units]
        if not widths:
            raise ValueError(
                "units must be a positive integer or a list of them, one per dense layer, got an empty list"
            )
        self.units = [checks.positive_int("units", width) for width in widths]
        self.activation = arguments.activation("activation", activation)
        self.kernel_initializer = arguments.initializer("kernel_initializer", kernel_initializer)
        self.bias_initializer = arguments.initializer("bias_initializer", bias_initializer)
        self.dropout = checks.rate("dropout", dropout)
        self.seed = checks.seed("seed", seed)
        self.supports_masking = True
        self.dense_layers = [self._dense_layer(index) for index in range(len(self.units))]
        self.dropout_layer = keras.layers.Dropout(self.dropout, seed=self.seed, dtype=self.dtype_policy, name="dropout")
        freezing.propagate_trainable(self)

    def _dense_layer(self, index: int) -> keras.layers.Dense:
        is_affine = self.last_is_affine and index == len(self.units) - 1
        return keras.layers.Dense(
            self.units[index],
            None if is_affine else self.activation,
            kernel_initializer=reseeded(self.kernel_initializer, "layer", index),
            bias_initializer=reseeded(self.bias_initializer, "layer", index),
            dtype=self.dtype_policy,
            name=f"layer_{index + 1}",
        )

    @override
    def build(self, input_shape: Shape) -> None:
        for dense in self.dense_layers:
            dense.build(input_shape)
            input_shape = (*input_shape[:-1], dense.units)

    @override
    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        for index, dense in enumerate(self.dense_layers):
            inputs = dense(self.dropout_layer(inputs, training=training) if index else inputs)
        return inputs

    @override
    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units[-1])

    @override
    def get_config(self) -> Config:
        config = {
            **super().get_config(),
            **freezing.trainable_config(self),
            "units": self.units,
            "activation": None if self.activation is None else keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "seed": self.seed,
        }
        return plain_config(config)

    @classmethod
    @override
    def from_config(cls, config: Config) -> Self:
        return freezing.create_from_config(super().from_config, config)


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class DeepOutput(PerStep):
    """Output head of a deep output RNN: O_t = g(H_t^(L)), where g is a multilayer perceptron.

        a_1 = f(H_t W_1 + b_1),  a_j = f(a_{j-1} W_j + b_j),  O_t = a_{m-1} W_m + b_m

    With hidden layers, the output need not be an affine function of the state, so the state can summarize the past
    more compactly (DOT-RNN, Pascanu et al. 2013, arXiv:1312.6026).

    Args:
        units: Widths of the hidden layers and of the output [k_1, ..., k_{m-1}, q]. An integer q makes the head affine.
        activation: Activation f of the hidden layers. The output layer is affine.
        dropout: Dropout rate, in [0, 1), on the inputs of dense layers 2, ..., m.
        kernel_initializer: Keras initializer of the kernels. Each kernel draws different numbers.
        bias_initializer: Keras initializer of the biases, which also draw different numbers.
        seed: Random seed for dropout.
        kwargs: Arguments of `keras.layers.Layer`.

    Output shape:
        (n, q) for inputs (n, h), (n, T, q) for inputs (n, T, h).

    Raises:
        ValueError: If a width or rate is out of range, or a name is unknown.

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
    """Input network of a deep input RNN: a multilayer perceptron of X_t. The first recurrent layer reads its output.

        a_1 = f(X_t W_1 + b_1), ..., a_m = f(a_{m-1} W_m + b_m)

    Args:
        units: Widths of the dense layers [k_1, ..., k_m], or one width.
        activation: Activation f of all dense layers.
        dropout: Dropout rate, in [0, 1), on the inputs of dense layers 2, ..., m.
        kernel_initializer: Keras initializer of the kernels. Each kernel draws different numbers.
        bias_initializer: Keras initializer of the biases, which also draw different numbers.
        seed: Random seed for dropout.
        kwargs: Arguments of `keras.layers.Layer`.

    Output shape:
        (n, T, k_m) for inputs (n, T, d).

    Raises:
        ValueError: If a width or rate is out of range, or a name is unknown.

    Source: Pascanu et al. 2013 (arXiv:1312.6026).

    >>> import keras
    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras.layers import DeepInput
    >>> model = keras.Sequential([keras.Input((None, 3)), DeepInput([8, 8], "relu"), DeepRNN(8)])
    >>> model.output_shape
    (None, 8)
    """
