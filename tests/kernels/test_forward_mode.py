"""Forward-mode derivatives, against stock Keras layers and Keras' loop."""

import keras
import pytest
import tensorflow as tf
from oracles import assert_close
from without_xla import plain_graphs  # noqa: F401 - an autouse fixture

from deeprnn_keras import GRU, LSTM, DeepRNN, SimpleRNN

D, H, N, T = 3, 4, 2, 5
PAIRS = {
    "lstm": (lambda: LSTM(H), lambda: keras.layers.LSTM(H)),
    "gru": (lambda: GRU(H), lambda: keras.layers.GRU(H)),
    "rnn": (lambda: SimpleRNN(H), lambda: keras.layers.SimpleRNN(H)),
    "deep": (lambda: DeepRNN(H, 2), lambda: DeepRNN(H, 2, implementation="loop")),
    "remat": (lambda: DeepRNN(H, 2, remat=True), lambda: DeepRNN(H, 2, implementation="loop")),
    "rhn": (lambda: DeepRNN(H, cell="rhn"), lambda: DeepRNN(H, cell="rhn", implementation="loop")),
}


@pytest.mark.parametrize("training", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("pair", [pytest.param(p, marks=() if p == "lstm" else pytest.mark.slow) for p in PAIRS])
def test_eager_forward_mode_derivative_equals_loop(rng, pair, training):
    """Jacobian-vector products along a direction of x, of all weights, and of both."""
    x, direction = (tf.constant(rng.normal(size=(N, T, D)), "float32") for _ in range(2))
    layer, reference = (make() for make in PAIRS[pair])
    layer(x), reference(x)
    reference.set_weights(layer.get_weights())
    derivatives = []
    for each_layer in (layer, reference):
        weights = [weight.value for weight in each_layer.trainable_weights]
        for primals in ([x], weights, [x, *weights]):
            tangents = [direction if primal is x else 0.1 * tf.ones_like(primal) for primal in primals]
            with tf.autodiff.ForwardAccumulator(primals, tangents) as accumulator:
                y = each_layer(x, training=training)
            derivatives.append(accumulator.jvp(y))
    for actual, expected in zip(derivatives[:3], derivatives[3:], strict=True):
        assert abs(expected.numpy()).max() > 1e-3
        assert_close(actual, expected.numpy())
