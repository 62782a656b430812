"""Models with a normalization per layer: equal to stacks built by hand, and refused options."""

import functools
import re

import keras
import numpy as np
import pytest
from keras import layers
from refusals import outcome

from deeprnn_keras import DeepRNN, LanguageModel, SequenceModel, TBPTTDataset
from deeprnn_keras.layers.zoneout import Zoneout

pytestmark = pytest.mark.usefixtures("eager")

# === Batch normalization ===


def model(**options):
    keras.utils.set_random_seed(0)
    defaults = {"units": [4, 5], "cell": ["rnn", "lstm"], "batch_normalization": True, "implementation": "loop"}
    return SequenceModel(2, 3, **{**defaults, **options})


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
    assert ours.get_layer("dropout_1").rate == 0.5


def test_configuration_is_the_same_after_loading(tmp_path):
    ours = model(dropout=0.5, seed=3)
    ours.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").get_config() == ours.get_config()


def test_rates_per_layer_are_those_of_the_layers():
    ours = model(variational_dropout=[0.1, 0.2], weight_dropout=[0.0, 0.3], zoneout=0.4, activation=["relu", "tanh"])
    layers_of = [ours.get_layer(f"deep_rnn_{level}") for level in (1, 2)]
    assert [(one.variational_dropout, one.weight_dropout) for one in layers_of] == [([0.1], [0.0]), ([0.2], [0.3])]
    assert {one.zoneout for one in layers_of} == {layers_of[0].zoneout} and ours.get_config()["zoneout"]


def test_unsupported_options_are_refused():
    message = r"batch_normalization=True supports connection='stack' and stateful=False only, got "
    cases = {
        f"{message}connection='skip'": functools.partial(model, connection="skip"),
        f"{message}connection='stack' and stateful=True": functools.partial(model, stateful=True),
        "batch_normalization must be True or False": functools.partial(model, batch_normalization=1),
    }
    wrong = [found for expected, call in cases.items() if (found := outcome(call, expected))]
    assert not wrong, wrong


class Tenths(keras.initializers.Initializer):
    """An initializer that is not registered with Keras."""

    def __call__(self, shape, dtype=None):
        return keras.ops.full(shape, 0.1, dtype)


def lower(x):
    """Return x - 1: an activation that is not registered with Keras."""
    return x - 1


class Doubled(keras.regularizers.Regularizer):
    """A regularizer that is not registered with Keras."""

    def __call__(self, x):
        return 2 * keras.ops.sum(x)


@pytest.mark.parametrize("normalized", ["batch", "rms"])
def test_objects_need_not_be_registered(normalized):
    make = model if normalized == "batch" else language_model
    per_layer = {"units": 4, "num_layers": 2, "cell": lambda units: keras.layers.SimpleRNNCell(units, activation=lower)}
    ours = make(**per_layer)
    assert {ours.get_layer(f"deep_rnn_{level}").recurrent_layers[0].cell.activation for level in (1, 2)} == {lower}
    objects = {"recurrent_initializer": Tenths(), "kernel_regularizer": Doubled(), "activity_regularizer": Doubled()}
    ours = make(units=4, num_layers=2, cell="rnn", activation=lower, **objects)
    one, two = (ours.get_layer(f"deep_rnn_{level}") for level in (1, 2))
    assert {layer.activations[0] for layer in (one, two)} == {lower}
    assert one.activity_regularizer is None and two.activity_regularizer is objects["activity_regularizer"]
    for layer in (one, two):
        kernel, recurrent, _ = layer.get_weights()
        assert (recurrent == np.float32(0.1)).all()
        assert float(layer.losses[0]) == pytest.approx(2 * kernel.sum(), rel=1e-5)


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_go_backwards_reverses_the_inputs_once(masks, bidirectional, rng):
    options = {"units": 4, "num_layers": 3, "cell": "gru", "masks": masks, "bidirectional": bidirectional}
    backwards, forwards = model(go_backwards=True, **options), model(**options)
    forwards.set_weights(backwards.get_weights())
    x = rng.normal(size=(2, 5, 2)).astype("float32")
    mask = np.array([[True, True, True, False, False], [True, False, True, True, True]])
    inputs = [[x, mask], [x[:, ::-1], mask[:, ::-1]]] if masks else [x, x[:, ::-1]]
    np.testing.assert_allclose(backwards(inputs[0]), forwards(inputs[1]), atol=1e-6)
    if masks:
        other = [np.where(mask[:, :, None], x, 9), mask]
        np.testing.assert_allclose(backwards(other), backwards(inputs[0]), atol=1e-6)


@pytest.mark.parametrize("normalized", ["batch", "rms"])
def test_random_layers_have_seeds_of_their_own(normalized):
    rates = {"dropout": 0.5, "variational_dropout": 0.5, "weight_dropout": 0.5, "zoneout": 0.1, "seed": 3}
    options = {"units": 4, "num_layers": 3, "cell": "lstm", **rates}
    make, more = (model, {"bidirectional": True}) if normalized == "batch" else (language_model, {})

    def seeds():
        every = make(**options, **more)._flatten_layers()
        drawing = [layer for layer in every if isinstance(layer, Zoneout) or getattr(layer, "rate", 0)]
        return [int(np.asarray(layer.seed_generator.state)[0]) for layer in drawing]

    assert len(seeds()) == len(set(seeds())) == (17 if normalized == "batch" else 11)
    assert seeds() == seeds()


@pytest.mark.parametrize("normalized", ["batch", "rms"])
def test_layers_with_a_seeded_initializer_differ(normalized):
    make = model if normalized == "batch" else language_model
    draws = []
    for _ in range(2):
        seeded = keras.initializers.Orthogonal(seed=3)
        ours = make(units=4, num_layers=3, cell="gru", recurrent_initializer=seeded)
        draws.append([ours.get_layer(f"deep_rnn_{level}").get_weights()[1] for level in (1, 2, 3)])
    np.testing.assert_array_equal(*draws)
    assert len(np.unique(np.round(draws[0], 4), axis=0)) == 3


# === Residual layers with RMS normalization ===

SIZES = {"units": 4, "num_layers": 3, "embedding": 4, "normalization": "rms", "implementation": "loop"}


def language_model(**options):
    keras.utils.set_random_seed(0)
    return LanguageModel("abcde", **{**SIZES, **options})


def by_hand(ours, ids):
    """Return the logits from the equations, with the recurrent layers of a model."""

    def normalized(x, name):
        return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + 1e-7) * np.asarray(ours.get_layer(name).scale)

    hidden = np.asarray(ours.get_layer("embedding").embeddings)[ids]
    for level in (1, 2, 3):
        layer = ours.get_layer(f"deep_rnn_{level}")
        inputs = normalized(hidden, f"rms_normalization_{level}").astype("float32")
        hidden = hidden + np.asarray(layer(inputs))
    kernel, bias = ours.get_layer("head").get_weights()
    return normalized(hidden, "output_normalization") @ kernel + bias


def randomize(ours, rng):
    for weight in ours.weights:
        weight.assign(rng.uniform(0.2, 1, size=weight.shape))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "min_gru", "rg_lru", "rhn"])
def test_logits_are_those_of_the_equations(cell, rng):
    ours = language_model(cell=cell)
    randomize(ours, rng)
    ids = rng.integers(5, size=(2, 7))
    np.testing.assert_allclose(ours(ids), by_hand(ours, ids), rtol=1e-4, atol=1e-5)


def test_shortcuts_carry_the_embedding_to_the_head(rng):
    ours = language_model()
    for level in (1, 2, 3):
        layer = ours.get_layer(f"deep_rnn_{level}")
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    x = np.asarray(ours.get_layer("embedding").embeddings)
    kernel, bias = ours.get_layer("head").get_weights()
    expected = x / np.sqrt(np.mean(x * x, -1, keepdims=True)) @ kernel + bias
    np.testing.assert_allclose(ours(np.arange(5)[None])[0], expected, rtol=1e-4, atol=1e-5)


def test_states_are_carried_and_streamed(rng):
    whole, carried = language_model(), language_model(stateful=True)
    carried.set_weights(whole.get_weights())
    ids = rng.integers(5, size=(2, 6))
    expected = np.asarray(whole(ids))
    resets = np.ones(2, bool)
    pieces = [np.asarray(carried([piece, mask])) for piece, mask in ((ids[:, :2], resets), (ids[:, 2:], ~resets))]
    np.testing.assert_allclose(np.concatenate(pieces, 1), expected, atol=1e-5)
    stream = whole.stream(2)
    np.testing.assert_allclose(np.stack([stream(ids[:, t]) for t in range(6)], 1), expected, atol=1e-5)
    data = TBPTTDataset(rng.integers(5, size=100), 2, 5)
    carried.compile("adam", carried.loss_function())
    assert np.isfinite(carried.fit(data, shuffle=False, verbose=0).history["loss"]).all()


def test_half_precision_is_close_to_single(rng):
    single, half = language_model(), language_model(dtype="mixed_float16")
    half.set_weights(single.get_weights())
    ids = rng.integers(5, size=(2, 6))
    outputs = half(ids)
    assert outputs.dtype == "float32" and half.get_layer("residual_1").compute_dtype == "float16"
    np.testing.assert_allclose(outputs, single(ids), atol=2e-2)


def test_dropout_acts_between_the_layers_and_penalties_on_the_output():
    ours = language_model(dropout=0.5, ar=1.0, tar=2.0, seed=3)
    dropouts = [layer for layer in ours.layers if layer.name.startswith("dropout_")]
    assert [one.rate for one in dropouts] == [0.5, 0.5]
    stacks = [layer for layer in ours.layers if isinstance(layer, DeepRNN)]
    assert [(one.ar, one.tar) for one in stacks] == [(0.0, 0.0), (0.0, 0.0), (1.0, 2.0)]


def test_options_that_do_not_fit_are_refused():
    cases = {
        "unknown normalization 'batch'; choose from 'rms'": functools.partial(language_model, normalization="batch"),
        "same width, got embedding=5 and the widths [4, 4, 4]": functools.partial(language_model, embedding=5),
        "same width, got embedding=4 and the widths [4, 3]": functools.partial(
            language_model, units=[4, 3], num_layers=None
        ),
        "the widths [2, 2, 2]": functools.partial(language_model, cell={"name": "projected_lstm", "projection": 2}),
        "supports connection='stack' only, got connection='residual'": functools.partial(
            language_model, connection="residual"
        ),
        "same width, got embedding=None and the widths [4, 4, 4]": functools.partial(language_model, embedding=None),
    }
    wrong = [found for expected, call in cases.items() if (found := outcome(call, re.escape(expected)))]
    assert not wrong, wrong
