"""Activations whose slope follows from their value: only the value is stored for the backward pass."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

LEAK = float(np.float32(0.2))  # Keras' slope; the operation holds it in float32, whatever x is


class Activation(NamedTuple):
    """Activation y = function(x) with dy/dx = slope(y)."""

    function: object
    slope: object


def _where(condition, y, low):
    return tf.where(condition, tf.ones_like(y), low)


ACTIVATIONS = {
    "tanh": Activation(tf.tanh, lambda y: 1 - y * y),
    "sigmoid": Activation(tf.sigmoid, lambda y: y * (1 - y)),
    "relu": Activation(tf.nn.relu, lambda y: tf.cast(y > 0, y.dtype)),
    "linear": Activation(tf.identity, tf.ones_like),
    "hard_sigmoid": Activation(
        lambda x: tf.clip_by_value(x / 6 + 0.5, 0, 1), lambda y: tf.cast((y > 0) & (y < 1), y.dtype) / 6
    ),
    "softsign": Activation(tf.nn.softsign, lambda y: tf.square(1 - tf.abs(y))),
    "elu": Activation(tf.nn.elu, lambda y: _where(y > 0, y, y + 1)),
    "leaky_relu": Activation(lambda x: tf.nn.leaky_relu(x, LEAK), lambda y: _where(y > 0, y, LEAK * tf.ones_like(y))),
    "exponential": Activation(tf.exp, tf.identity),
    "softplus": Activation(tf.nn.softplus, lambda y: -tf.math.expm1(-y)),
}
