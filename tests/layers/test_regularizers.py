"""Variational dropout, weight dropout, and zoneout against Keras' layers and NumPy with the same random numbers."""

import importlib
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from fast_implementations import FASTEST, NATIVE, NATIVE_MISSING

from deeprnn_keras import DeepRNN, explain_kernels
from deeprnn_keras.cells import MGUCell
from deeprnn_keras.kernels import machine

N, T, D, SEED = 4, 5, 3, 7
UNITS = [4, 3]
RATES = [0.4, 0.3]
X = np.random.default_rng(0).normal(size=(N, T, D)).astype("float32")
MASK = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


def stack(cell="lstm", **options):
    layer = DeepRNN(UNITS, cell=cell, return_sequences=True, seed=SEED, **options)
    layer.build(X.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape, scale=0.5) for weight in layer.get_weights()])
    return layer


def drawn(shape, rate, seed):
    """Return the factors that Keras' dropout draws with this seed."""
    return keras.layers.Dropout(rate, seed=seed)(np.ones(shape, "float32"), training=True).numpy()


def gradients(run, x, weights, result_of):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = run(x)
        loss = tf.reduce_sum(
            y * tf.cos(tf.range(tf.size(y), dtype="float32") / 3)[: tf.size(y)].numpy().reshape(y.shape)
        )
    return y.numpy(), [result_of(one) for one in tape.gradient(loss, [x, *weights], unconnected_gradients="zero")]


def keras_stack(cell, layer, bidirectional, mask):
    """Return y, dx, and the gradients of all weights by Keras' layers, whose weights are those after dropout."""
    directions = 2 if bidirectional else 1
    levels, factors = [], []
    weights = iter(layer.get_weights())
    for units in UNITS:
        parts = []
        for direction in range(directions):
            options = {} if cell == "rnn" else {"use_cudnn": False}
            one = LAYERS[cell](units, return_sequences=True, go_backwards=direction == 1, **options)
            one.build((None, None, D if not levels else UNITS[0] * directions))
            kernel, recurrent, bias = (next(weights) for _ in range(3))
            index = len(factors)
            factor = drawn(recurrent.shape, RATES[len(levels)], SEED + 2 * len(UNITS) + index + 1)
            factors.append(factor)
            one.set_weights([kernel, recurrent * factor, bias])
            parts.append(one)
        levels.append(parts)
    inputs = [drawn((N, D), 0.2, SEED + len(UNITS) + 1), drawn((N, UNITS[0] * directions), 0.5, SEED + len(UNITS) + 2)]

    def run(x):
        for parts, factor in zip(levels, inputs, strict=True):
            x = x * factor[:, None]
            outputs = [one(x, mask=mask) for one in parts]
            x = tf.concat([outputs[0], *(tf.reverse(y, [1]) for y in outputs[1:])], -1)
        return x if not bidirectional or mask is None else x * tf.cast(mask, x.dtype)[:, :, None]

    variables = [variable for parts in levels for one in parts for variable in one.trainable_variables]
    y, results = gradients(run, tf.constant(X), variables, lambda one: one.numpy())
    for number, factor in enumerate(factors):  # dU = d(U m) m
        results[2 + 3 * number] = results[2 + 3 * number] * factor
    return y, results


@pytest.mark.parametrize("implementation", [NATIVE, "xla", "loop"])
@pytest.mark.parametrize(
    ("cell", "options", "mask"),
    [
        ("lstm", {}, None),
        ("lstm", {"remat": True}, MASK),
        ("gru", {"bidirectional": True}, MASK),
        ("rnn", {}, MASK),
    ],
    ids=["lstm", "lstm, recomputed", "bidirectional gru", "rnn"],
)
def test_dropout_of_weights_and_inputs_is_that_of_keras_layers(cell, options, mask, implementation):
    if implementation == "loop":
        options = {key: value for key, value in options.items() if key != "remat"}
    rates = {"variational_dropout": [0.2, 0.5], "weight_dropout": RATES}
    layer = stack(cell, implementation=implementation, **rates, **options)
    expected = keras_stack(cell, layer, options.get("bidirectional", False), mask)
    y, results = gradients(
        lambda x: layer(x, mask=mask, training=True), tf.constant(X), layer.trainable_weights, lambda one: one.numpy()
    )
    np.testing.assert_allclose(y, expected[0], atol=2e-6)
    for result, other in zip(results, expected[1], strict=True):
        np.testing.assert_allclose(result, other, atol=2e-5)


def test_dropout_is_drawn_once_per_batch_and_off_in_inference():
    """In a graph, with carried states and half precision."""
    layer = stack(weight_dropout=0.5, variational_dropout=0.3, stateful=True, dtype="mixed_float16")
    plain = stack(dtype="mixed_float16")
    np.testing.assert_array_equal(layer(X), plain(X))
    call = tf.function(lambda: layer(X, training=True))
    layer.reset_state()
    first = call().numpy()
    layer.reset_state()
    assert np.abs(call() - first).max() > 1e-3
    again = stack(weight_dropout=0.5, variational_dropout=0.3, stateful=True, dtype="mixed_float16")
    np.testing.assert_allclose(again(X, training=True), first, atol=1e-3)


def test_weight_dropout_has_the_weights_as_expectation():
    layer = stack(weight_dropout=0.3).recurrent_layers[0]
    drawn_weights = [layer.layer_call(True).weights()["recurrent_kernel"].numpy() for _ in range(150)]
    weight = layer.cell.recurrent_kernel.numpy()
    assert 0 < np.count_nonzero(drawn_weights[0]) < weight.size
    np.testing.assert_allclose(np.mean(drawn_weights, 0), weight, atol=0.25 * np.abs(weight).max())


def test_cudnn_reads_the_dropped_weights(monkeypatch):
    keras_rnn = importlib.import_module("keras.src.backend.tensorflow.rnn")
    monkeypatch.setattr(keras_rnn, "_is_gpu_available", lambda: True)
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    read = []

    def stop(*args, **kwargs):
        read.append([one for one in args if getattr(one, "shape", None) == (4, 16)] + [kwargs.get("recurrent_kernel")])
        raise InterruptedError

    monkeypatch.setattr(keras_rnn, "_cudnn_lstm", stop)
    layer = stack(weight_dropout=0.5, variational_dropout=0.3)
    weight = layer.recurrent_layers[0].cell.recurrent_kernel
    with pytest.raises(InterruptedError):
        layer(X, training=True)
    (found,) = [one for one in read[0] if one is not None]
    expected = weight.numpy() * drawn(weight.shape, 0.5, SEED + 2 * len(UNITS) + 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert layer.recurrent_layers[0].cell.recurrent_kernel is weight


# === Zoneout ===


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_with_zoneout(x, weights, rates, masks):
    """Run an LSTM with NumPy; `masks` are those of h and c (n, T, h), or None in inference."""
    kernel, recurrent_kernel, bias = weights
    h = c = np.zeros((len(x), len(recurrent_kernel)))
    outputs = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
        new_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        new_h = sigmoid(o) * np.tanh(new_c)
        keep_h, keep_c = rates if masks is None else (mask[:, t] for mask in masks)
        h, c = keep_h * h + (1 - keep_h) * new_h, keep_c * c + (1 - keep_c) * new_c
        outputs.append(h)
    return np.stack(outputs, 1)


@pytest.mark.parametrize("training", [True, False])
def test_zoneout_of_an_lstm_is_that_of_numpy(training):
    layer = DeepRNN(4, zoneout=(0.5, 0.2), return_sequences=True, seed=SEED)
    layer.build(X.shape)
    generator = keras.random.SeedGenerator(SEED + 5)  # after those of the other regularizers
    uniform = [keras.random.uniform((N, T, 4), seed=generator).numpy() for _ in range(2)]
    masks = [one < rate for one, rate in zip(uniform, (0.2, 0.5), strict=True)] if training else None
    expected = lstm_with_zoneout(X, layer.get_weights(), (0.2, 0.5), masks)
    np.testing.assert_allclose(layer(X, training=training), expected, atol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "mgu"])
def test_zoneout_learns_and_keeps_the_states_at_masked_steps(cell):
    """In a graph of unknown T, in half precision."""
    layer = stack(cell, zoneout=0.3, return_state=True, dtype="mixed_float16")

    @tf.function(input_signature=[tf.TensorSpec((None, None, D)), tf.TensorSpec((None, None), "bool")], autograph=False)
    def call(x, mask):
        with tf.GradientTape() as tape:
            y, *states = layer(x, mask=mask, training=True)
            loss = tf.reduce_sum(tf.cast(y, "float32") ** 2)
        return y, tf.nest.flatten(states), tape.gradient(loss, layer.trainable_weights)

    y, states, gradients = call(X, MASK)
    assert all(np.any(gradient) for gradient in gradients)
    np.testing.assert_array_equal(y[:, -1], states[-1])
    for t in range(1, T):
        np.testing.assert_array_equal(y[:, t][~MASK[:, t]], y[:, t - 1][~MASK[:, t]])


# === Bad input ===

REFUSED = {
    "rate": ({"weight_dropout": 1.0}, r"weight_dropout must be a number in \[0, 1\), got 1.0"),
    "rates": ({"variational_dropout": [0.1, -0.1]}, r"variational_dropout must be a number in \[0, 1\), got -0.1"),
    "count": ({"variational_dropout": [0.1] * 3}, "variational_dropout must be one value or a list with one entry"),
    "zoneout": ({"zoneout": (0.1, 2)}, r"zoneout must be a number in \[0, 1\), got 2"),
    "triple": ({"zoneout": (0.1, 0.1, 0.1)}, r"zoneout must be a rate or a pair \(rate of c, rate of h\)"),
    "diagonal": (
        {"cell": ["lstm", "indrnn"], "weight_dropout": 0.5},
        "weight_dropout=0.5 is not supported for layer 2: its cell IndependentRNN has .* or a list",
    ),
    "parallel": (
        {"cell": "min_gru", "zoneout": 0.1},
        "zoneout=0.1 is not supported for layer 1: its cell MinimalGRU is computed in parallel over time",
    ),
    "pair": ({"cell": "gru", "zoneout": (0.1, 0.1)}, r"its cell GRUCell has the states h, not h and c; pass one rate"),
    "no equations": (
        {"cell": lambda units: keras.layers.StackedRNNCells([keras.layers.GRUCell(units)]), "weight_dropout": 0.1},
        "its cell StackedRNNCells has no equations with a recurrent matrix",
    ),
    "kernel": ({"zoneout": 0.1, "implementation": "xla"}, "implementation='xla' is not supported .*zoneout=0.1 rules"),
    "remat": ({"zoneout": 0.1, "remat": True}, "remat=True has no effect, because the layers run one by one: zoneout"),
    "flag": ({"learned_initial_state": 1}, "learned_initial_state must be True or False, got 1"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_unsupported_regularizers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DeepRNN(4, 2, **options)


def test_keras_cell_of_a_callable_has_a_recurrent_matrix():
    layer = DeepRNN(3, cell=lambda units: MGUCell(units), weight_dropout=0.5, seed=1)
    assert np.abs(layer(X, training=True) - layer(X)).max() > 1e-4


# === The table of the documentation ===

ROWS = {
    "`dropout`": {"dropout": 0.1},
    "`variational_dropout`": {"variational_dropout": 0.1},
    "`weight_dropout`": {"weight_dropout": 0.1},
    "`ar`, `tar`": {"ar": 1.0, "tar": 1.0},
    "`learned_initial_state`": {"learned_initial_state": True},
    "`recurrent_dropout`": {"recurrent_dropout": 0.1},
    "`zoneout`": {"zoneout": 0.1},
    "normalization inside gates": {"cell": "layer_norm_lstm"},
}
IMPLEMENTATIONS = ("cudnn", "native", "scan", "linear_scan", "xla", "loop")


def selected(implementation, options):
    """Return the implementation of a stack for which one is requested, on a GPU for cuDNN; "error" if it cannot run."""
    options = {"cell": "min_gru", **options} if implementation in ("scan", "linear_scan") else options
    try:
        layer = DeepRNN(4, 2, implementation=implementation, return_sequences=True, **options)
    except ValueError:
        return "error"
    (kernel,) = {row.gpu_kernel if implementation == "cudnn" else row.kernel for row in explain_kernels(layer)}
    return kernel


@pytest.mark.skipif(NATIVE_MISSING is not None, reason=str(NATIVE_MISSING))
def test_table_of_the_documentation_is_true():
    page = (Path(__file__).resolve().parents[2] / "docs" / "kernels.md").read_text(encoding="utf-8")
    for name, options in ROWS.items():
        (line,) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", page, re.MULTILINE)
        cells = [cell.strip() for cell in line.split("|")]
        assert ["yes" if selected(one, options) == one else "no" for one in IMPLEMENTATIONS] == cells, name
    assert explain_kernels(DeepRNN(4, 2, weight_dropout=0.5, variational_dropout=0.3))[0].gpu_kernel == "cudnn"
    assert explain_kernels(DeepRNN(4, 2, weight_dropout=0.5, variational_dropout=0.3))[0].kernel == FASTEST
