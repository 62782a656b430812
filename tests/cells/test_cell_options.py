"""Cells with equations: arguments, initial values, dropout, options of `DeepRNN`, and `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cell_oracles import sequence
from oracles import assert_close

from deeprnn_keras import RNN, DeepRNN
from deeprnn_keras.cells import DeepTransitionCell, MLPGateGRUCell, MLPGateLSTMCell, MLPGateRNNCell, RHNCell

D, H, N, T = 3, 4, 2, 5
MASK = np.array([[True, True, False, True, True], [False, True, True, False, False]])
implementations = pytest.mark.parametrize("implementation", ["xla", "loop"])


# === Activations, initial values, dropout ===


@implementations
def test_other_activations(rng, implementation):
    layer = RNN(
        MLPGateLSTMCell(H, (3,), activation="softsign", recurrent_activation="hard_sigmoid", gate_activation="gelu"),
        implementation=implementation,
    )
    other = RNN(MLPGateRNNCell(H, (3,), gate_activation="relu"), implementation=implementation, return_sequences=True)
    x = rng.normal(size=(N, T, D)).astype("float32")
    assert np.isfinite(layer(x)).all()
    other(x)
    weights = {w.name: w.numpy().astype("float64") for w in other.cell.weights}
    assert_close(other(x), sequence("mlp_gate_rnn", x, weights, H, g=lambda z: np.maximum(z, 0))[0], 1e-6)


def test_blocks_are_initialized_separately_and_keep_gates_have_a_bias(rng):
    cell = MLPGateLSTMCell(16, gate_units=(16,))
    cell.build((None, 8))
    blocks = np.split(cell.recurrent_kernel.numpy(), 4, axis=1)
    for number, block in enumerate(blocks):
        assert_close(block @ block.T, np.eye(16), 1e-5)
        assert number == 0 or abs(block - blocks[0]).max() > 0.1
    assert abs(cell.kernel.numpy()).max() <= np.sqrt(6 / (8 + 16)) + 1e-6
    assert_close(cell.gate_bias_1, np.repeat([0, 1, 0, 0], 16), 0)
    assert_close(cell.bias, np.zeros(64), 0)
    highway = RHNCell(4, depth=2)
    highway.build((None, 3))
    assert_close(highway.bias, np.repeat([0, -2], 4), 0)
    assert_close(highway.transition_bias_2, np.repeat([0, -2], 4), 0)
    stages = DeepTransitionCell(4, depth=2, cell="lstm")
    stages.build((None, 3))
    assert_close(stages.bias, np.repeat([0, 1, 0, 0] * 2, 4), 0)


def test_gate_bias_initializers(rng):
    from deeprnn_keras.initializers import ChronoBias, ForgetBias

    layer = DeepRNN(H, 2, ["mlp_gate_lstm", "rhn"], bias_initializer=ForgetBias(5.0))
    layer.build((None, None, D))
    first, second = (one.cell for one in layer.recurrent_layers)
    assert_close(first.gate_bias_1, np.repeat([0, 5, 0, 0], H), 0)
    assert_close(second.bias, np.repeat([0, -5], H), 0)
    cell = MLPGateLSTMCell(H, (), bias_initializer=ChronoBias(20, seed=1))
    cell.build((None, D))
    write, keep, *_ = np.split(cell.bias.numpy(), 4)
    assert_close(write, -keep, 1e-6)
    assert keep.min() > 0


def test_dropout_mask_is_the_same_in_all_steps(rng):
    x = np.ones((1, T, 50), "float32")
    layer = RNN(MLPGateRNNCell(H, (), activation="linear", dropout=0.5, recurrent_initializer="zeros", seed=3))
    outputs = RNN(layer.cell, return_sequences=True)
    layer(x)
    values = outputs(x, training=True).numpy()[0]
    assert_close(values, np.repeat(values[:1], T, axis=0), 1e-6)
    assert abs(values[0] - outputs(x).numpy()[0, 0]).max() > 0.01


@pytest.mark.parametrize("name", ["mlp_gate_rnn", "rhn"])
def test_input_dropout_of_a_cell_applies_in_a_stack(rng, name):
    """One mask for all steps, drawn in each layer."""
    x = tf.constant(rng.normal(size=(N, T, D)), "float32")
    layers = [
        DeepRNN(
            H, 2, [{"name": name, "dropout": 0.5, "seed": 3}] * 2, implementation=implementation, return_sequences=True
        )
        for implementation in ("auto", "loop")
    ]
    for layer in layers:
        layer.build(x.shape)
        layer.set_weights(layers[0].get_weights())
    actual, expected = (layer(x, training=True).numpy() for layer in layers)
    assert_close(actual, expected, 1e-5)
    assert abs(actual - layers[0](x).numpy()).max() > 0.01


def test_recurrent_dropout_requires_the_loop(rng):
    layer = RNN(RHNCell(H, depth=3, recurrent_dropout=0.5, seed=1), return_sequences=True)
    assert layer.selected_implementation() == "loop"
    x = rng.normal(size=(N, T, D)).astype("float32")
    layer(x)
    weights = {w.name: w.numpy().astype("float64") for w in layer.cell.weights}
    assert_close(layer(x), sequence("rhn", x, weights, H)[0], 1e-6)
    assert abs(layer(x, training=True) - layer(x)).numpy().max() > 0.01
    with pytest.raises(ValueError, match=r"recurrent_dropout=0\.5 rules out XLA"):
        RNN(RHNCell(H, recurrent_dropout=0.5), implementation="xla")


# === Unsupported arguments ===


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLPGateLSTMCell(0), "units must be a positive integer, got 0"),
        (lambda: MLPGateLSTMCell(4, gate_units=(3, 0)), "gate_units must be a positive integer, got 0"),
        (lambda: MLPGateLSTMCell(4, gate_activation="tahn"), "unknown gate_activation 'tahn'; did you mean 'tanh'"),
        (lambda: MLPGateLSTMCell(4, activation=7), "unknown activation 7"),
        (
            lambda: DeepRNN(4, cell="rhn", implementation="cudnn"),
            "implementation='cudnn' is not supported for this layer: cuDNN supports LSTM and GRU, not Recur",
        ),
        (lambda: RHNCell(4, depth=0), "depth must be a positive integer, got 0"),
        (lambda: RHNCell(4, 2, True, -2.0, 5), "accepts units and .* as positional arguments"),
        (lambda: DeepTransitionCell(4, cell="lsmt"), "unknown cell 'lsmt'; did you mean 'lstm'"),
        (lambda: DeepRNN(4, cell="mlp_gates_lstm"), "unknown cell 'mlp_gates_lstm'; did you mean 'mlp_gate_lstm'"),
        (
            lambda: DeepRNN(4, cell={"name": "rhn", "dept": 3}),
            "unknown option of cell 'rhn' 'dept'; did you mean 'depth'",
        ),
        (lambda: DeepRNN(4, cell={"name": "lstm", "depth": 3}), "unknown option of cell 'lstm' 'depth'"),
    ],
)
def test_unsupported_arguments_are_rejected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# === Options of DeepRNN, fit, second derivatives ===

NAMES = ["mlp_gate_rnn", "mlp_gate_gru", "mlp_gate_lstm", "deep_transition_rnn", "deep_transition_gru"]
NAMES += ["deep_transition_lstm", "rhn"]
COMPILED_MARKS = [pytest.mark.compiled, pytest.mark.slow]
DEFAULT_NAMES = {"deep_transition_lstm"}  # two states, several maps; the others are marked slow
PLAIN = [pytest.param(name, marks=[] if name in DEFAULT_NAMES else pytest.mark.slow) for name in NAMES]
OPTIONS = [
    {"connection": "residual", "return_sequences": True},
    {"connection": "skip", "bidirectional": True, "return_state": True},
    {"go_backwards": True, "remat": True},
]
PLAIN_AND_COMPILED = [
    *(pytest.param(name, OPTIONS, id=name, marks=param.marks) for name, param in zip(NAMES, PLAIN, strict=True)),
    *(  # all options as plain graphs; compiled, every option with two or three cells
        pytest.param(name, [OPTIONS[number % len(OPTIONS)]], id=f"{name}-compiled", marks=COMPILED_MARKS)
        for number, name in enumerate(NAMES)
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "all_options"), PLAIN_AND_COMPILED)
def test_deep_rnn_options_equal_the_loop(rng, name, all_options):
    x, mask = rng.normal(size=(N, T, D)).astype("float32"), tf.constant(MASK)
    for options in all_options:
        results = []
        for implementation in ("xla", "loop"):
            if implementation == "loop":
                options = {key: value for key, value in options.items() if key != "remat"}
            layer = DeepRNN(H, 2, name, implementation=implementation, **options)
            layer.build((None, None, D))
            keras.utils.set_random_seed(0)
            draw = np.random.default_rng(0)
            layer.set_weights([draw.normal(scale=0.5, size=w.shape) for w in layer.get_weights()])
            with tf.GradientTape() as tape:
                result = tf.nest.flatten(layer(x, mask=mask, training=True))
                loss = sum(tf.reduce_sum(part**2) for part in result)
            results.append([*result, *tape.gradient(loss, [w.value for w in layer.trainable_weights])])
        for actual, expected in zip(*results, strict=True):
            assert_close(actual, expected.numpy(), 2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*PLAIN, pytest.param("deep_transition_lstm", id="deep_transition_lstm-compiled", marks=COMPILED_MARKS)]
)
def test_fit_updates_every_weight(rng, name):
    model = keras.Sequential(
        [keras.Input((None, D)), DeepRNN(H, 2, name, activation=["softsign", None]), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse", run_eagerly=True)
    before = [w.numpy() for w in model.trainable_weights]
    model.fit(rng.normal(size=(5, T, D)), rng.normal(size=(5, 1)), batch_size=2, epochs=1, verbose=0)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert abs(weight.numpy() - old).max() > 0, weight.path


def test_second_derivatives(rng):
    x = tf.constant(rng.normal(size=(N, 3, D)))
    results = []
    for implementation in ("xla", "loop"):
        layer = RNN(
            MLPGateGRUCell(H, (3,), dtype="float64"),
            implementation=implementation,
            return_sequences=True,
            dtype="float64",
        )
        layer.build((None, None, D))
        draw = np.random.default_rng(2)
        layer.set_weights([draw.normal(scale=0.6, size=w.shape) for w in layer.get_weights()])
        sources = [x, *(w.value for w in layer.cell.weights)]
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(tf.sin(layer(x, training=True)))
            value = sum(tf.reduce_sum(part**2) for part in inner.gradient(loss, sources))
        results.append([value, *outer.gradient(value, sources)])
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected.numpy(), 1e-10)
