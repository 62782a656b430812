"""Layers of Keras and of this package in programs, against Keras."""

import keras
import numpy as np
import pytest
from keras import layers
from program_checks import assert_lowers

import deeprnn_keras
from deeprnn_keras import DeepRNN, LanguageModel, SequenceModel, lower
from deeprnn_keras.cells import MLPGateGRUCell, RHNCell
from deeprnn_keras.equations import primitives
from deeprnn_keras.equations.activations import ACTIVATIONS
from deeprnn_keras.layers import DeepInput, DeepOutput, OneHot


def x(width=3):
    return keras.Input((None, width))


def randomized(model, seed=1):
    """Return the model with random weights, so that biases and moving averages have an effect."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(scale=0.5, size=weight.shape)
        if weight.dtype.startswith("float"):  # not the state of a seed generator
            weight.assign(np.abs(values) if "variance" in weight.path else values)
    return model


def sequential(*stack, width=3):
    return randomized(keras.Sequential([x(width), *stack]))


def functional(function, width=3):
    inputs = x(width)
    return randomized(keras.Model(inputs, function(inputs)))


# === Recurrent layers ===

OPTIONS = [{}, {"use_bias": False}, {"activation": "relu"}, {"activation": "elu"}, {"activation": None}]
GATES = [{"recurrent_activation": "hard_sigmoid"}, {"recurrent_activation": "softsign"}]


@pytest.mark.parametrize(
    "layer, options",
    [(layer, options) for layer in ("SimpleRNN", "GRU", "LSTM") for options in OPTIONS]
    + [(layer, options) for layer in ("GRU", "LSTM") for options in GATES]
    + [("GRU", {"reset_after": False, **options}) for options in [*OPTIONS, *GATES]],
)
def test_standard_cells_with_options(layer, options):
    make = getattr(layers, layer)
    model = sequential(make(4, **options, return_sequences=True), make(3, **options))
    program = assert_lowers(model)
    assert program.num_weights == model.count_params()


@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"unroll": True}], ids=str)
@pytest.mark.parametrize("options_2", [{}, {"return_sequences": True}], ids=["last", "all"])
@pytest.mark.parametrize("package", [layers, deeprnn_keras], ids=["keras", "deeprnn_keras"])
def test_recurrent_layers_of_both_packages(package, options, options_2):
    options = {**options, **options_2}
    stack = [
        package.LSTM(3, return_sequences=True),
        package.RNN([layers.GRUCell(4), layers.LSTMCell(2)], **options, name="rnn"),
    ]
    length = 7 if options.get("unroll") else None
    model = randomized(keras.Sequential([keras.Input((length, 3)), *stack]))
    program = assert_lowers(model, [(3, 7), (1, length or 1)])
    assert "rnn/cell_2" in str(program)


@pytest.mark.parametrize("mode", ["concat", "sum", "ave", None])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_bidirectional(mode, return_sequences):
    layer = layers.Bidirectional(layers.GRU(4, return_sequences=return_sequences), merge_mode=mode)
    program = assert_lowers(functional(layer))
    assert program.looking_ahead.name == f"{layer.name}/{layer.backward_layer.name}"


def test_bidirectional_with_two_layers():
    for backwards in (False, True):
        forward = layers.LSTM(4, return_sequences=True, go_backwards=backwards)
        backward = layers.GRU(2, return_sequences=True, go_backwards=not backwards)
        assert_lowers(functional(layers.Bidirectional(forward, backward_layer=backward)))


CELLS = ["rnn", "gru", "lstm", "mlp_gate_rnn", "mlp_gate_gru", "mlp_gate_lstm", "rhn"]
CELLS += ["deep_transition_rnn", "deep_transition_gru", "deep_transition_lstm", "mgu", "ugrnn", "coupled_lstm"]
CELLS += ["peephole_lstm", "multiplicative_lstm", "indrnn", "fast_grnn", "layer_norm_lstm", "layer_norm_gru"]
CELLS += ["min_gru", "min_lstm", "qrnn", "sru", "lru", "rg_lru", "projected_lstm", {"name": "qrnn", "window": 2}]


@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.parametrize(
    "options",
    [{}, *(pytest.param({"activation": name}, marks=pytest.mark.slow) for name in ("relu", "softsign"))],
    ids=str,
)
def test_cells_of_deep_rnn(cell, options):
    stack = DeepRNN(4, 2, cell, return_sequences=True, implementation="loop", **options)
    program = assert_lowers(sequential(stack, layers.Dense(2)))
    assert {operation.name for operation in program.operations} >= {
        f"{stack.name}/forward_1",
        f"{stack.name}/forward_2",
    }


CONNECTIONS = [
    {"connection": "skip"},
    {"connection": "residual"},
    {"connection": "residual", "block_size": 2, "num_layers": 4, "dilation": [1, 2, 3, 1]},
    {"dilation": 2},
    {"bidirectional": True},
    {"bidirectional": True, "connection": "residual"},
    {"bidirectional": True, "connection": "skip"},
    {"bidirectional": True, "dilation": [1, 3, 2]},
    {"go_backwards": True},
    {"go_backwards": True, "bidirectional": True, "dilation": 2},
    {"return_all_layers": True},
    {"return_all_layers": True, "bidirectional": True, "connection": "residual"},
    {"return_all_layers": True, "connection": "skip"},
    {"cell": ["lstm", "rnn", "gru"], "activation": ["tanh", "relu", None], "reset_after": False},
    {"cell": "projected_lstm", "bidirectional": True, "connection": "skip", "dilation": [2, 1, 1]},
    {"use_bias": False, "dropout": 0.5, "recurrent_dropout": 0.5},
]
CONNECTION_CASES = [  # by default, outputs of all steps and of the last one in turn
    pytest.param(options, sequences, marks=[] if index % 2 == sequences else pytest.mark.slow)
    for index, options in enumerate(CONNECTIONS)
    for sequences in (True, False)
]


@pytest.mark.parametrize(("options", "return_sequences"), CONNECTION_CASES, ids=str)
def test_connections_of_deep_rnn(options, return_sequences):
    options = {"num_layers": 3, "cell": "gru", "implementation": "loop", **options}
    program = assert_lowers(functional(DeepRNN(4, return_sequences=return_sequences, **options)))
    looks_ahead = options.get("bidirectional", False) or options.get("go_backwards", False)
    assert (program.looking_ahead is not None) == looks_ahead
    assert len(program.outputs) == (3 if options.get("return_all_layers") else 1)


@pytest.mark.parametrize("cell", ["gru", "lstm", "mlp_gate_lstm"])
def test_final_states_are_those_of_the_layer(cell, rng):
    from deeprnn_keras.program.interpreter import run

    layer = DeepRNN([4, 3], cell=cell, return_state=True, implementation="loop", name="deep_rnn")
    inputs = keras.Input((None, 3))
    model = randomized(keras.Model(inputs, layer(inputs)[0]))
    values = rng.normal(size=(2, 6, 3)).astype("float32")
    _, *expected = layer(values)
    (output,), states = run(lower(model), [values])
    names = [
        f"deep_rnn/forward_{level}/{state}" for level in (1, 2) for state in ("h", "c")[: 2 if "lstm" in cell else 1]
    ]
    assert list(states) == names
    for state, array in zip(names, keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(states[state], array, atol=1e-5)
    np.testing.assert_allclose(output, model(values), atol=1e-5)


def test_stateful_models_start_from_zeros():
    model = LanguageModel("abcd", 4, 2, embedding=3, stateful=True, implementation="loop", name="m")
    program = lower(model)
    assert program.attributes == {"kind": "language", "vocabulary": "abcd", "dropped_inputs": ["reset_mask"]}
    assert [one.name for one in program.inputs] == ["tokens"]
    layer = layers.LSTM(4, stateful=True)
    assert_lowers(randomized(keras.Sequential([keras.Input(batch_shape=(3, 7, 2)), layer])), [(3, 7)])


# === Models of this package ===


@pytest.mark.parametrize(
    "options",
    [
        {"embedding": 4, "tied": True},
        {"embedding": 3, "projection": 3, "tied": True, "connection": "skip"},
        {"head_units": [5, 4], "head_activation": "relu", "cell": "rhn"},
        {"embedding": 4, "normalization": "rms", "cell": "rg_lru", "activation": "silu"},
        {"input_dropout": 0.5, "output_dropout": 0.5, "dtype": "float32"},
    ],
    ids=str,
)
def test_language_models(options):
    assert_lowers(randomized(LanguageModel(["a", "b", "c"], 4, 2, implementation="loop", **options)))


@pytest.mark.parametrize(
    "options",
    [
        {"masks": True, "bidirectional": True},
        {"offset": [1.0, 2.0, 3.0], "scale": 0.5, "kind": "notes"},
        {"embedding": 4, "kind": "numbers", "per_step": True},
        {"labels": ["a", "b"], "length": 7},
    ],
    ids=str,
)
def test_sequence_models(options):
    model = randomized(SequenceModel(3, 2, 4, 2, implementation="loop", name="m", **options))
    program = assert_lowers(model, [(3, 7)])
    assert program.attributes["kind"] == options.get("kind", "classes")
    assert program.attributes["labels"] == options.get("labels")
    assert program.attributes.get("dropped_inputs") == (["mask"] if "masks" in options else None)


def test_mixed_precision_is_float32():
    model = LanguageModel("abc", 4, 2, embedding=3, implementation="loop", dtype="mixed_float16")
    program = assert_lowers(model, atol=5e-3)
    assert {array.dtype for array in program.weights.values()} == {np.dtype("float32")}
    half = keras.Sequential(
        [x(), layers.LSTM(3, dtype="bfloat16", recurrent_initializer="ones"), layers.Dense(2, dtype="bfloat16")]
    )
    assert_lowers(half, atol=5e-2)


# === Layers that act on each step ===


@pytest.mark.parametrize("name", [*ACTIVATIONS, "softmax", "log_softmax"])
def test_activations_in_dense_layers_and_cells(name):
    twice = [] if name == "exponential" else [layers.Activation(name)]
    assert_lowers(sequential(layers.Dense(4, name), *twice, layers.TimeDistributed(layers.Dense(2, name))))
    if "softmax" not in name:
        bounded = "tanh" if name == "exponential" else name
        assert_lowers(sequential(layers.RNN(MLPGateGRUCell(4, (3,), activation=bounded)), layers.Dense(2)))


@pytest.mark.parametrize(
    "layer",
    [
        layers.Dropout(0.5),
        layers.SpatialDropout1D(0.5),
        layers.GaussianNoise(1.0),
        layers.GaussianDropout(0.5),
        layers.AlphaDropout(0.5),
        layers.ActivityRegularization(0.1),
        layers.Identity(),
        layers.Dense(4, use_bias=False),
        layers.Dense(4, activation=layers.LeakyReLU(negative_slope=0.3)),
        layers.ReLU(),
        layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2),
        layers.LeakyReLU(negative_slope=0.3),
        layers.ELU(alpha=0.5),
        layers.Softmax(),
        layers.Softmax(axis=2),
        layers.Rescaling(2.0, -1.0),
        layers.Rescaling([1.0, 2.0, 3.0], [0.0, 1.0, 2.0]),
        layers.Normalization(mean=[1.0, 2.0, -1.0], variance=[0.5, 2.0, 1.0]),
        layers.Normalization(mean=[1.0, 2.0, -1.0], variance=[0.5, 2.0, 1.0], invert=True),
        layers.Normalization(axis=None, mean=2.0, variance=3.0),
        layers.BatchNormalization(),
        layers.BatchNormalization(center=False, scale=False, epsilon=0.1),
        layers.LayerNormalization(),
        layers.LayerNormalization(axis=2, center=False, epsilon=0.1),
        layers.LayerNormalization(scale=False),
        layers.RMSNormalization(),
        DeepInput([4, 3], "relu"),
        DeepOutput([4, 3], "softsign"),
    ],
    ids=lambda layer: layer.name,
)
def test_layers_that_act_on_each_step(layer):
    assert_lowers(sequential(layer, layers.GRU(2, return_sequences=True), layers.Dense(2)))


@pytest.mark.parametrize("layer", [layers.Dense(4), layers.LayerNormalization(), layers.BatchNormalization()])
def test_layers_after_the_last_step(layer):
    assert_lowers(sequential(layers.LSTM(3), layer))
    assert_lowers(sequential(layers.TimeDistributed(type(layer).from_config(layer.get_config())), layers.LSTM(2)))


def test_ids():
    ids = keras.Input((None,), dtype="int32", name="ids")
    both = layers.Concatenate()([layers.Embedding(5, 3)(ids), OneHot(5)(ids)])
    assert_lowers(randomized(keras.Model(ids, layers.GRU(4, return_sequences=True)(both))))
    assert_lowers(randomized(keras.Sequential([keras.Input((None,)), layers.Embedding(5, 3), layers.LSTM(2)])))


# === Graphs ===


def branches(inputs):
    first, second = layers.GRU(4, return_sequences=True)(inputs), layers.LSTM(4, return_sequences=True)(inputs)
    total = layers.Average()([layers.Subtract()([layers.Add()([first, second]), first]), second])
    joined = layers.Concatenate()([total, first, inputs])
    return [layers.Dense(2)(joined), first, layers.SimpleRNN(2)(joined)]


def operators(inputs):
    ops = keras.ops
    y = layers.LSTM(3, return_sequences=True)(2.0 * inputs + 1.0)
    y = ops.concatenate([y + inputs, y - inputs, -y, 1.0 / (2.0 + ops.square(y)), ops.maximum(y, 0.1)], axis=-1)
    y = ops.concatenate([ops.tanh(y), ops.relu(y), ops.hard_sigmoid(y), ops.softplus(y), ops.exp(y)], axis=-1)
    return [ops.softmax(y), ops.log_softmax(y), y[:, -1], y[:, -1, :] / 2.0]


def nested(inputs):
    inner_input = keras.Input((None, 4))
    inner = keras.Model(inner_input, layers.GRU(4, return_sequences=True, name="gru")(inner_input), name="inner")
    chain = keras.Sequential([keras.Input((None, 4)), layers.Dense(4, "tanh", name="gru")], name="chain")
    shared = layers.Dense(4)
    return inner(chain(shared(layers.Dense(3)(inputs)))) + inner(shared(inputs))


def several_inputs_of_a_nested_model(inputs):
    a, b = keras.Input((None, 3), name="a"), keras.Input((None, 2), name="b")
    inner = keras.Model({"b": b, "a": a}, layers.Concatenate()([layers.SimpleRNN(2, return_sequences=True)(a), b]))
    return inner({"a": inputs, "b": layers.Dense(2)(inputs)})


@pytest.mark.parametrize("graph", [branches, operators, nested, several_inputs_of_a_nested_model])
def test_functional_graphs(graph):
    model = functional(graph)
    program = assert_lowers(model)
    assert len({one.name for one in program.operations}) == len(program.operations)
    if graph is nested:
        names = [one.name for one in program.operations]
        assert {"chain/gru", "chain/gru/tanh", "inner/gru", "inner/gru_2"} <= set(names)


def test_custom_cell_in_keras_rnn_and_deep_rnn():
    assert_lowers(sequential(layers.RNN(RHNCell(4, depth=3), return_sequences=True), DeepRNN(3, cell=RHNCell)))


def test_cells_with_functions_of_primitives():
    cell = MLPGateGRUCell(4, (3,), activation=lambda a: 0.5 * primitives.tanh(a))
    lstm = layers.LSTM(3, activation=lambda a: primitives.maximum(a, 0.1 * a))
    assert_lowers(sequential(layers.RNN(cell, return_sequences=True), lstm))


def test_several_inputs():
    a, b = keras.Input((None, 3)), keras.Input((None, 2))
    model = keras.Model([a, b], layers.LSTM(2, return_sequences=True)(layers.Concatenate()([a, b])))
    assert [one.name for one in assert_lowers(model).inputs] == ["input_1", "input_2"]


def test_names_and_count_of_weights():
    model = LanguageModel("abcd", 4, 2, cell="gru", embedding=3, name="m")
    program = lower(model, batch_size=2)
    assert set(program.weights) == {weight.path for weight in model.weights}
    assert "deep_rnn/forward_1/gru_cell/recurrent_kernel" in program.weights
    assert program.num_weights == model.count_params() and program.batch_size == 2
    before = program.weights["head/bias"].copy()
    model.get_layer("head").bias.assign(before + 1)
    np.testing.assert_array_equal(program.weights["head/bias"], before)


def test_weights_of_equal_paths_get_different_names():
    def same(inputs):
        inner_input = keras.Input((None, 3))
        inner = keras.Model(inner_input, layers.Dense(3, name="same")(inner_input))
        return layers.Dense(2, name="same")(inner(inputs))

    model = functional(same)
    assert sorted(assert_lowers(model).weights) == ["same/bias", "same/bias_2", "same/kernel", "same/kernel_2"]
