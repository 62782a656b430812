"""Derivatives in forward mode, against Keras' own layers and loop."""

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
    "lean": (lambda: DeepRNN(H, 2, remat=True), lambda: DeepRNN(H, 2, implementation="loop")),
    "rhn": (lambda: DeepRNN(H, cell="rhn"), lambda: DeepRNN(H, cell="rhn", implementation="loop")),
}


@pytest.mark.parametrize("training", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "pair", [pytest.param(p, marks=() if p in ("lstm", "deep") else pytest.mark.slow) for p in PAIRS]
)
def test_forward_mode_in_eager_calls(rng, pair, training):
    """Along a direction of x and of every weight."""
    x, along = (tf.constant(rng.normal(size=(N, T, D)), "float32") for _ in range(2))
    ours, other = (make() for make in PAIRS[pair])
    ours(x), other(x)
    other.set_weights(ours.get_weights())
    found = []
    for layer in (ours, other):
        weights = [weight.value for weight in layer.trainable_weights]
        primals = [[x], weights, [x, *weights]]
        for each in primals:
            tangents = [along if primal is x else 0.1 * tf.ones_like(primal) for primal in each]
            with tf.autodiff.ForwardAccumulator(each, tangents) as accumulator:
                y = layer(x, training=training)
            found.append(accumulator.jvp(y))
    for one, wanted in zip(found[:3], found[3:], strict=True):
        assert abs(wanted.numpy()).max() > 1e-3
        assert_close(one, wanted.numpy())
