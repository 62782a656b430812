"""`DeepRNN` in models: saving, configuration, weights, precision, dropout, and shapes."""

import inspect

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from oracles import assert_close, random_weights

from deeprnn_keras import DeepRNN
from deeprnn_keras.initializers import ChronoBias, PerGate

CONFIGURATIONS = {
    "rnn": {"units": 2, "num_layers": 2, "cell": "rnn"},
    "gru_residual": {"units": 2, "num_layers": 2, "cell": "gru", "connection": "residual"},
    "lstm_one_layer": {"units": 3},
    "mixed_skip_bidirectional": {
        "units": [2, 3],
        "cell": ["gru", "lstm"],
        "connection": "skip",
        "bidirectional": True,
        "activation": [None, "sigmoid"],
    },
}
ALL_ARGUMENTS = {  # values other than the defaults, except dilation and block_size; remat is not supported with them
    "units": [2, 3],
    "num_layers": 2,
    "cell": ["lstm", "gru"],
    "activation": ["relu", None],
    "connection": "skip",
    "bidirectional": True,
    "dropout": 0.25,
    "dilation": [1, 1],
    "block_size": 1,
    "kernel_initializer": PerGate("he_normal"),
    "recurrent_initializer": "zeros",
    "bias_initializer": ChronoBias(5.0, seed=3),
    "return_sequences": True,
    "return_state": True,
    "return_all_layers": True,
    "stateful": True,
    "go_backwards": True,
    "implementation": "loop",
    "recurrent_activation": ["hard_sigmoid", None],
    "use_bias": False,
    "reset_after": False,
    "recurrent_dropout": 0.125,
    "kernel_regularizer": "l2",
    "recurrent_regularizer": keras.regularizers.L1(0.5),
    "bias_regularizer": "l1",
    "activity_regularizer": keras.regularizers.L2(0.25),
    "kernel_constraint": "non_neg",
    "recurrent_constraint": keras.constraints.MaxNorm(3.0),
    "bias_constraint": "unit_norm",
    "ar": 0.5,
    "tar": 0.25,
    "variational_dropout": [0.25, 0.5],
    "weight_dropout": [0.5, 0.25],
    "zoneout": 0.125,
    "learned_initial_state": True,
    "seed": 11,
}
configurations = pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)


@keras.saving.register_keras_serializable(package="deeprnn_tests")
def gru_with_reset_before(units):
    return keras.layers.GRUCell(units, reset_after=False)


@keras.saving.register_keras_serializable(package="deeprnn_tests")
class Tagger(keras.Model):
    """A subclassed model whose output depends on the final state."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.rnn = DeepRNN(units, 2, cell="gru", return_state=True)
        self.head = keras.layers.Dense(1)

    def call(self, x, training=False):
        output, *state = self.rnn(x, training=training)
        return self.head(output + state[-1])

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def random_inputs(rng, n=2, steps=3, d=3):
    return rng.normal(size=(n, steps, d)).astype("float32")


def saved_and_loaded(model, directory):
    model.save(directory / "model.keras")
    return keras.models.load_model(directory / "model.keras")


def fit_once(model, x):
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(x, np.ones((len(x), 1), "float32"), verbose=0)
    return model


# === Models and saving ===


@configurations
def test_fit_save_load(rng, tmp_path, configuration):
    x, layer = random_inputs(rng), DeepRNN(**configuration)
    model = keras.Sequential([keras.Input((None, 3)), layer, keras.layers.Dense(1)])
    before = layer.get_weights()
    fit_once(model, x)
    for old, new in zip(before, layer.get_weights(), strict=True):
        assert not np.array_equal(old, new)
    np.testing.assert_array_equal(saved_and_loaded(model, tmp_path)(x), model(x))


@pytest.mark.slow
@pytest.mark.compiled
def test_functional_model_with_unknown_sizes_in_graph_mode(rng, tmp_path):
    inputs = keras.Input((None, 3))
    hidden = DeepRNN(2, 2, return_sequences=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    assert model.output_shape == (None, None, 1)
    model.compile("adam", "mse")
    model.fit(random_inputs(rng), np.ones((2, 3, 1), "float32"), verbose=0)
    loaded = saved_and_loaded(model, tmp_path)
    for n, steps in ((1, 1), (3, 5)):
        x = random_inputs(rng, n, steps)
        np.testing.assert_array_equal(loaded(x), model(x))


def test_functional_model_with_states(rng, tmp_path):
    """A model with states as inputs and outputs, as used to continue a sequence."""
    inputs = keras.Input((None, 3))
    initial_state = [[keras.Input((h,)), keras.Input((h,))] for h in (2, 4)]
    output, *state = DeepRNN([2, 4], return_state=True, name="deep")(inputs, initial_state=initial_state)
    model = keras.Model([inputs, initial_state], [output, state])
    x, values = random_inputs(rng), [[random_inputs(rng)[:, 0, :1].repeat(h, 1)] * 2 for h in (2, 4)]
    weights = random_weights(model.get_layer("deep"), rng)
    expected = oracles.deep_rnn(x, weights, ["lstm"] * 2, [2, 4], initial_state=values)
    for one in (model, saved_and_loaded(model, tmp_path)):
        last, states = one([x, values])
        assert_close(last, expected.last)
        assert_close(states, expected.states)


def test_subclassed_model(rng, tmp_path):
    x, model = random_inputs(rng), Tagger(2)
    fit_once(model, x)
    np.testing.assert_array_equal(saved_and_loaded(model, tmp_path)(x), model(x))


@pytest.mark.parametrize("cell", [keras.layers.LSTMCell, gru_with_reset_before, ["gru", gru_with_reset_before]])
def test_callable_cell_saved_and_loaded(rng, tmp_path, cell):
    x = random_inputs(rng)
    model = keras.Sequential([keras.Input((None, 3)), DeepRNN([2, 3], cell=cell, bidirectional=True)])
    random_weights(model, rng)
    loaded = saved_and_loaded(model, tmp_path)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.layers[0].cells == model.layers[0].cells


def test_two_deep_rnns_in_one_model(rng, tmp_path):
    x = random_inputs(rng)
    model = keras.Sequential([keras.Input((None, 3)), DeepRNN(2, 2, return_sequences=True), DeepRNN(2, 2, cell="gru")])
    lower, upper = model.layers
    random_weights(model, rng)
    hidden = oracles.deep_rnn(x, lower.get_weights(), ["lstm"] * 2, [2, 2]).outputs
    expected = oracles.deep_rnn(hidden, upper.get_weights(), ["gru"] * 2, [2, 2]).last
    assert_close(model(x), expected)
    np.testing.assert_array_equal(saved_and_loaded(model, tmp_path)(x), model(x))


# === Configuration ===


def test_config_contains_every_argument():
    layer = DeepRNN(**ALL_ARGUMENTS)
    names = set(inspect.signature(DeepRNN.__init__).parameters) - {"self", "kwargs"}
    assert names == {*ALL_ARGUMENTS, "remat"}
    assert names <= set(layer.get_config())


@pytest.mark.parametrize(
    "arguments",
    [ALL_ARGUMENTS, {"units": 3}, {"units": 3, "remat": True}, {"units": 2, "cell": keras.layers.GRUCell}],
)
def test_config_round_trip(arguments):
    config = DeepRNN(**arguments, name="deep", dtype="mixed_bfloat16").get_config()
    assert DeepRNN.from_config(config).get_config() == config


def test_config_contains_the_values_passed():
    config = DeepRNN(**ALL_ARGUMENTS).get_config()
    objects = {name for name in ALL_ARGUMENTS if name.endswith(("initializer", "regularizer", "constraint"))}
    for name in set(ALL_ARGUMENTS) - objects:
        assert config[name] == ALL_ARGUMENTS[name], name
    bias = keras.initializers.deserialize(config["bias_initializer"])
    assert (bias.t_max, bias.seed) == (5.0, 3)
    assert keras.regularizers.deserialize(config["recurrent_regularizer"]).l1 == 0.5
    assert keras.regularizers.deserialize(config["activity_regularizer"]).l2 == 0.25
    assert keras.constraints.deserialize(config["recurrent_constraint"]).max_value == 3.0


# === Weights ===


@configurations
def test_every_weight_gets_a_gradient(rng, configuration):
    layer, x = DeepRNN(**configuration), tf.constant(np.abs(random_inputs(rng)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    gradients = tape.gradient(loss, [w.value for w in layer.trainable_weights])
    by_name = dict(zip([w.path for w in layer.trainable_weights], gradients, strict=True))
    assert len(by_name) == len(layer.weights)
    assert [name for name, gradient in by_name.items() if gradient is None or not np.any(gradient)] == []


def test_weight_order_is_lowest_layer_first_forward_before_backward(rng):
    layer = DeepRNN([2, 4], cell=["gru", "lstm"], bidirectional=True)
    layer.build((None, None, 3))
    shapes = [w.shape for w in layer.get_weights()]
    lower, upper = [(3, 6), (2, 6), (2, 6)], [(4, 16), (4, 16), (16,)]
    assert shapes == [*lower, *lower, *upper, *upper]
    paths = [w.path.split("/")[-3] for w in layer.weights]
    assert paths == [name for name in ("forward_1", "backward_1", "forward_2", "backward_2") for _ in range(3)]


# === Precision ===


@pytest.mark.parametrize(
    ("policy", "variables", "outputs", "tolerance"),
    [
        ("mixed_float16", "float32", "float16", 5e-3),
        ("float16", "float16", "float16", 5e-3),
        ("mixed_bfloat16", "float32", "bfloat16", 4e-2),
        ("bfloat16", "bfloat16", "bfloat16", 4e-2),
        ("float64", "float64", "float64", 1e-12),
    ],
)
def test_precision(rng, policy, variables, outputs, tolerance):
    layer = DeepRNN(2, 2, cell=["gru", "lstm"], connection="skip", bidirectional=True, return_state=True, dtype=policy)
    x, mask = random_inputs(rng), np.array([[1, 0, 1], [0, 0, 0]], bool)
    result, *states = layer(x, mask=mask)
    assert {w.dtype for w in layer.weights} == {variables}
    assert {keras.backend.standardize_dtype(s.dtype) for s in [result, *keras.tree.flatten(states)]} == {outputs}
    weights = [keras.ops.convert_to_numpy(keras.ops.cast(w.value, "float64")) for w in layer.weights]
    expected = oracles.deep_rnn(x, weights, ["gru", "lstm"], [2, 2], "skip", True, mask=mask)
    assert_close(keras.ops.cast(result, "float64"), expected.last, tolerance)


# === Dropout ===

WITH_DROPOUT = {"units": 3, "num_layers": 2, "cell": "gru", "dropout": 0.5}


def test_dropout_applies_in_training_only(rng):
    layer, x = DeepRNN(**WITH_DROPOUT), random_inputs(rng)
    without_dropout = DeepRNN(**{**WITH_DROPOUT, "dropout": 0.0})
    without_dropout.build(x.shape)
    layer.build(x.shape)
    without_dropout.set_weights(random_weights(layer, rng))
    np.testing.assert_array_equal(layer(x), without_dropout(x))
    np.testing.assert_array_equal(without_dropout(x, training=True), without_dropout(x))
    assert np.max(np.abs(layer(x, training=True) - layer(x))) > 1e-3


@pytest.mark.parametrize("connection", ["stack", "residual", "skip"])
def test_dropout_applies_to_neither_input_output_nor_shortcut(rng, connection):
    """Dropout changes the state of layer 2 but not of layer 1, and the output combines both states without dropout."""
    layer, x = DeepRNN(**WITH_DROPOUT, connection=connection, return_state=True), random_inputs(rng)
    _, first, second = layer(x)
    output, first_training, second_training = layer(x, training=True)
    np.testing.assert_array_equal(first_training, first)
    assert np.max(np.abs(second_training - second)) > 1e-4
    combined = {
        "stack": second_training,
        "residual": first + second_training,
        "skip": np.concatenate([first, second_training], axis=-1),
    }
    np.testing.assert_array_equal(output, combined[connection])


def test_dropout_does_not_apply_to_inputs_of_skip_connections(rng):
    layer, x = DeepRNN(**WITH_DROPOUT, connection="skip"), random_inputs(rng)
    layer.build(x.shape)
    weights = random_weights(layer, rng)
    weights[3][:3] = 0  # layer 2 now reads nothing from layer 1
    layer.set_weights(weights)
    np.testing.assert_array_equal(layer(x, training=True), layer(x))


@pytest.mark.parametrize("seed", [5, None])
def test_dropout_is_reproducible(rng, seed):
    x = random_inputs(rng)

    def draws(layer_seed, global_seed):
        keras.utils.set_random_seed(global_seed)
        layer = DeepRNN(**WITH_DROPOUT, seed=layer_seed, kernel_initializer="ones", recurrent_initializer="zeros")
        return np.array([layer(x, training=True) for _ in range(3)])

    first = draws(seed, 1)
    np.testing.assert_array_equal(draws(seed, 2 if seed else 1), first)
    assert not np.array_equal(draws(seed and seed + 1, 2), first)
    assert not np.array_equal(first[0], first[1])


# === Shapes ===


@pytest.mark.parametrize(("return_sequences", "return_state"), [(False, False), (False, True), (True, True)])
@configurations
def test_output_shapes(rng, configuration, return_sequences, return_state):
    layer = DeepRNN(**configuration, return_sequences=return_sequences, return_state=return_state)
    symbolic = layer(keras.Input((None, 3)))
    x = random_inputs(rng)
    result = layer(x)
    assert layer.compute_output_shape(x.shape) == keras.tree.map_structure(lambda tensor: tuple(tensor.shape), result)
    unknown = [(*[None] * (len(t.shape) - 1), t.shape[-1]) for t in keras.tree.flatten(result)]
    assert [tuple(t.shape) for t in keras.tree.flatten(symbolic)] == unknown
