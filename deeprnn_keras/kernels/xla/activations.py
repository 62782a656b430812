"""Activations whose derivative is a function of their value: the backward pass needs the value only."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeprnn_keras._types import Tensor

# Keras' slope of leaky_relu for negative x. The TensorFlow operation holds it in float32 for every dtype of x.
NEGATIVE_SLOPE = float(np.float32(0.2))


class Activation(NamedTuple):
    """Activation and its derivative.

    Attributes:
        function: y = function(x).
        derivative: dy/dx = derivative(y), as a function of the value y.
    """

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]


def _one_where(condition: Tensor, y: Tensor, otherwise: Tensor) -> Tensor:
    return tf.where(condition, tf.ones_like(y), otherwise)


ACTIVATIONS = {
    "tanh": Activation(tf.tanh, lambda y: 1 - y * y),
    "sigmoid": Activation(tf.sigmoid, lambda y: y * (1 - y)),
    "relu": Activation(tf.nn.relu, lambda y: tf.cast(y > 0, y.dtype)),
    "linear": Activation(tf.identity, tf.ones_like),
    "hard_sigmoid": Activation(
        lambda x: tf.clip_by_value(x / 6 + 0.5, 0, 1), lambda y: tf.cast((y > 0) & (y < 1), y.dtype) / 6
    ),
    "softsign": Activation(tf.nn.softsign, lambda y: tf.square(1 - tf.abs(y))),
    "elu": Activation(tf.nn.elu, lambda y: _one_where(y > 0, y, y + 1)),
    "leaky_relu": Activation(
        lambda x: tf.nn.leaky_relu(x, NEGATIVE_SLOPE), lambda y: _one_where(y > 0, y, NEGATIVE_SLOPE * tf.ones_like(y))
    ),
    "exponential": Activation(tf.exp, tf.identity),
    "softplus": Activation(tf.nn.softplus, lambda y: -tf.math.expm1(-y)),
}
