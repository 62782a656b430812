"""Batch normalization between the layers of a `SequenceModel`: equal to a stack built by hand, and refused options."""

import functools

import keras
import numpy as np
import pytest
from keras import layers
from refusals import outcome

from deeprnn_keras import SequenceModel

pytestmark = pytest.mark.usefixtures("eager")


def model(**options):
    keras.utils.set_random_seed(0)
    return SequenceModel(
        2, 3, [4, 5], 2, **{"cell": ["rnn", "lstm"], "batch_normalization": True, "implementation": "loop", **options}
    )


@pytest.mark.parametrize("training", [False, True])
def test_outputs_and_moments_equal_those_of_keras_layers(training, rng):
    ours = model()
    stack = [layers.SimpleRNN(4, return_sequences=True), layers.BatchNormalization()]
    stack += [layers.LSTM(5), layers.BatchNormalization(), layers.Dense(3)]
    by_hand = keras.Sequential([keras.Input((None, 2)), *stack])
    for weight, other in zip(ours.weights, by_hand.weights, strict=True):
        value = rng.uniform(0.1, 1, size=weight.shape)
        weight.assign(value)
        other.assign(value)
    x = rng.normal(size=(3, 6, 2)).astype("float32")
    np.testing.assert_allclose(ours(x, training=training), by_hand(x, training=training), atol=1e-5)
    for weight, other in zip(ours.non_trainable_weights, by_hand.non_trainable_weights, strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-6)


def test_padded_steps_do_not_count(rng):
    ours = model(masks=True, per_step=True)
    x, mask = rng.normal(size=(2, 4, 2)).astype("float32"), np.array([[True] * 4, [True, True, False, False]])
    other = np.where(mask[:, :, None], x, 9)
    values = [np.asarray(ours([one, mask], training=True))[mask] for one in (x, other)]
    np.testing.assert_allclose(*values, atol=1e-5)


def test_configuration_is_that_of_the_whole_stack():
    ours = model(dropout=0.5, seed=3, activation=["relu", None])
    config = ours.get_config()
    assert config["units"] == [4, 5] and config["cell"] == ["rnn", "lstm"] and config["dropout"] == 0.5
    copy = SequenceModel.from_config(config)
    assert copy.get_config() == config and [layer.name for layer in copy.layers] == [one.name for one in ours.layers]
    assert {"deep_rnn_1", "batch_normalization_1", "dropout_1", "deep_rnn_2"} <= {one.name for one in ours.layers}
    assert ours.get_layer("dropout_1").rate == 0.5 and ours.get_layer("deep_rnn_2").seed == 4


def test_unsupported_options_are_refused():
    message = r"batch_normalization=True supports connection='stack' and stateful=False only, got "
    cases = {
        f"{message}connection='skip'": functools.partial(model, connection="skip"),
        f"{message}connection='stack' and stateful=True": functools.partial(model, stateful=True),
        "batch_normalization must be True or False": functools.partial(model, batch_normalization=1),
    }
    wrong = [found for expected, call in cases.items() if (found := outcome(call, expected))]
    assert not wrong, wrong
