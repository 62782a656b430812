"""User-defined cells with diagonal recurrent maps, one of them IndRNN (Li et al. 2018)."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import assert_close

from deeprnn_keras import DeepRNN, Equations, RecurrentCell, count_params, explain_kernels, register_cell
from deeprnn_keras.equations import AffineMap, DiagonalMap


@dataclass(frozen=True)
class IndRNN(Equations):
    """IndRNN, h_t = f(x_t W + u * h_{t-1} + b)."""

    activations = {"activation": "relu"}  # noqa: RUF012

    def maps(self, input_dim):
        return [
            AffineMap("kernel", input_dim, self.units, ("candidate",), bias="bias"),
            DiagonalMap("recurrent_kernel", self.units, ("candidate",)),
        ]

    def step(self, x, states, linear, f):
        return [f.activation(x["candidate"] + linear("recurrent_kernel", states[0])["candidate"])]


@register_cell("indrnn_for_tests")
@keras.saving.register_keras_serializable(package="indrnn_tests")
class IndRNNCell(RecurrentCell):
    equations_class = IndRNN


@dataclass(frozen=True)
class GatedDiagonal(Equations):
    """Gated cell with a diagonal map of three blocks, one of which reads the gated state.

    g = s(x W_g + u_g * h + b_g),  h' = g h + (1 - g) tanh(x W + u * (g h) + b) + 0.1 (u_o * h + b_o)
    """

    activations = {"activation": "tanh", "recurrent_activation": "sigmoid"}  # noqa: RUF012

    def maps(self, input_dim):
        blocks = ("gate", "candidate", "other")
        return [
            AffineMap("kernel", input_dim, self.units, blocks[:2]),
            DiagonalMap("recurrent_kernel", self.units, blocks, bias="bias"),
        ]

    def step(self, x, states, linear, f):
        (h,) = states
        product = linear("recurrent_kernel", h, "gate", "other")
        gate = f.recurrent_activation(x["gate"] + product["gate"])
        candidate = f.activation(x["candidate"] + linear("recurrent_kernel", gate * h, "candidate")["candidate"])
        return [gate * h + (1 - gate) * candidate + 0.1 * product["other"]]


@register_cell("gated_diagonal_for_tests")
class GatedDiagonalCell(RecurrentCell):
    equations_class = GatedDiagonal


def indrnn(x, weights, units):
    """Return the outputs of IndRNN, computed with NumPy."""
    h, outputs = np.zeros((len(x), units)), []
    kernel, recurrent, bias = weights
    for t in range(x.shape[1]):
        h = np.maximum(x[:, t] @ kernel + recurrent * h + bias, 0)
        outputs.append(h)
    return np.stack(outputs, 1)


def test_count_params_implementation_and_values(rng):
    d, h = 3, 5
    layer = DeepRNN(h, 1, "indrnn_for_tests", return_sequences=True, dtype="float64")
    layer.build((None, None, d))
    assert layer.count_params() == count_params(d, h, cell="indrnn_for_tests") == d * h + 2 * h
    assert [row.kernel for row in explain_kernels(layer)] == ["xla"]
    layer.set_weights([rng.normal(scale=0.6, size=w.shape) for w in layer.get_weights()])
    x = rng.normal(size=(4, 6, d))
    assert_close(layer(x), indrnn(x, layer.get_weights(), h), 1e-12)


@pytest.mark.parametrize("cell", ["indrnn_for_tests", "gated_diagonal_for_tests"])
def test_xla_equals_loop_with_gradients(rng, cell):
    x, results = tf.constant(rng.normal(size=(4, 6, 3))), []
    mask = tf.constant(rng.random((4, 6)) < 0.7)
    for implementation in ("xla", "loop"):
        layer = DeepRNN(5, 2, cell, return_sequences=True, implementation=implementation, dtype="float64")
        layer.build((None, None, 3))
        draw = np.random.default_rng(2)
        layer.set_weights([draw.normal(scale=0.6, size=w.shape) for w in layer.get_weights()])
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = layer(x, mask=mask, training=True)
            loss = tf.reduce_sum(tf.sin(output))
        results.append([output, *tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)])])
    assert all(np.any(part) for part in results[0])
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected.numpy(), 1e-11)


def test_fit_save_and_load(rng, tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), DeepRNN(5, 2, "indrnn_for_tests"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    x = rng.normal(size=(16, 6, 3)).astype("float32")
    losses = model.fit(x, x[:, -1, :1], batch_size=8, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    model.save(tmp_path / "model.keras")
    assert_close(keras.models.load_model(tmp_path / "model.keras")(x), model(x).numpy(), 0)


def test_diagonal_recurrent_weights_are_initialized_to_1():
    layer = DeepRNN(5, 1, "indrnn_for_tests")
    layer.build((None, None, 3))
    assert_close(layer.get_weights()[1], np.ones(5), 0)
