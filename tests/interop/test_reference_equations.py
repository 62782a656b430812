"""NumPy interpreters of the sources' equations: those of PyTorch against PyTorch, those of Keras 2 against Keras.

Keras 3 computes the layers that both versions have by the same equations; what differs (hard sigmoid, CuDNN layers,
time major) is compared with its definition.
"""

import keras
import numpy as np
import pytest

from deeprnn_keras.interop.references.keras2 import Keras2Reference, Masked, run_layer
from deeprnn_keras.interop.references.pytorch import (
    Embedding,
    Linear,
    NumpyReference,
    Recurrent,
    TorchReference,
    pytorch_reference,
)

D, H, V = 3, 5, 7
X = np.random.default_rng(0).normal(size=(4, 6, D)).astype("float32")
IDS = np.arange(24).reshape(4, 6) % V


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape, scale=0.5).astype("float32")


def assert_close(actual, expected, atol=2e-6):
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


# === PyTorch ===


def stage(mode, directions, bias, **options):
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[mode]

    def weights(inputs):
        arrays = {"weight_ih": random(gates * H, inputs), "weight_hh": random(gates * H, H)}
        return arrays | ({"bias_ih": random(gates * H), "bias_hh": random(gates * H)[::-1]} if bias else {})

    layers = [[weights(inputs) for _ in range(directions)] for inputs in (4, directions * H)]
    return Recurrent("rnn", mode, layers, **options)


@pytest.mark.parametrize("return_sequences", [True, False])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize(("mode", "options"), [("lstm", {}), ("gru", {}), ("rnn", {}), ("rnn", {"activation": "relu"})])
def test_equations_of_pytorch(mode, options, directions, return_sequences):
    pytest.importorskip("torch")
    recurrence = stage(mode, directions, bool(options) or mode != "rnn", return_sequences=return_sequences, **options)
    stages = [Embedding("embedding", random(V, 4)), recurrence, Linear("head", random(2, directions * H), random(2))]
    expected, actual = TorchReference(stages).run(IDS), NumpyReference(stages).run(IDS)
    assert list(expected) == list(actual) == ["embedding", "rnn", "head", "output"]
    for name, array in expected.items():
        assert_close(actual[name], array)
    assert type(pytorch_reference(stages)) is TorchReference


def test_pytorch_is_replaced_by_numpy_if_it_is_missing(monkeypatch):
    from deeprnn_keras.interop.references import pytorch

    monkeypatch.setattr(pytorch, "find_spec", lambda name: None)
    reference = pytorch_reference([Linear("head", random(2, D))])
    assert reference.title == "NumPy" and reference.run(X)["output"].shape == (4, 6, 2)


# === Keras 2 ===

RECURRENT = {
    "lstm": lambda **options: keras.layers.LSTM(H, **options),
    "gru": lambda **options: keras.layers.GRU(H, **options),
    "gru_reset_before": lambda **options: keras.layers.GRU(H, reset_after=False, **options),
    "rnn": lambda **options: keras.layers.SimpleRNN(H, activation="relu", **options),
    "lstm_without_bias": lambda **options: keras.layers.LSTM(H, use_bias=False, **options),
    "cells": lambda **options: keras.layers.RNN([keras.layers.LSTMCell(4), keras.layers.GRUCell(H)], **options),
}


def randomized(model):
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(np.abs(random(*weight.shape)) if "variance" in weight.path else random(*weight.shape))
    return model


def reference(model):
    return Keras2Reference(
        {"class_name": type(model).__name__, "config": model.get_config()},
        {layer.name: layer.get_weights() for layer in model.layers},
    )


def sequential(*layers, ids=False):
    x = keras.Input((None,), dtype="int32") if ids else keras.Input((None, D))
    return randomized(keras.Sequential([x, *layers]))


MERGE_MODES = [None, "concat", "sum", "mul", "ave"]
# the default tests contain all pairs of two of the arguments
CASES = [
    pytest.param(name, sequences, mode, marks=[] if (row + column) % 2 == sequences else pytest.mark.long)
    for row, name in enumerate(RECURRENT)
    for column, mode in enumerate(MERGE_MODES)
    for sequences in (True, False)
]


@pytest.mark.parametrize(("name", "return_sequences", "merge_mode"), CASES)
def test_recurrent_layers_of_keras_with_masks(name, return_sequences, merge_mode):
    layer = RECURRENT[name](return_sequences=return_sequences)
    if merge_mode is not None:
        layer = keras.layers.Bidirectional(layer, merge_mode=merge_mode)
    model = sequential(keras.layers.Embedding(V, D, mask_zero=True), layer, ids=True)
    assert_close(reference(model).run(IDS)[model.layers[-1].name], model(IDS))


def test_go_backwards():
    model = sequential(keras.layers.GRU(H, go_backwards=True, return_sequences=True), keras.layers.LSTM(H))
    result = reference(model).run(X)
    assert_close(result[model.layers[-1].name], model(X))
    assert_close(result[model.layers[0].name], model.layers[0](X))


def test_other_layers():
    layers = keras.layers
    dense = layers.Dense(4, "relu")
    model = sequential(
        layers.Masking(0.5), layers.TimeDistributed(dense), layers.BatchNormalization(), layers.LayerNormalization(),
        layers.Dropout(0.5), layers.Activation("softplus"), layers.LSTM(H), layers.RepeatVector(3),
        layers.ReLU(max_value=0.5, negative_slope=0.1, threshold=0.05), layers.LeakyReLU(0.2),
        layers.GlobalAveragePooling1D(), layers.Dense(3, "softmax"),
    )  # fmt: skip
    x = X.copy()
    x[0, 4:] = 0.5
    assert_close(reference(model).run(x)[model.layers[-1].name], model(x))


def test_functional_model_in_the_format_of_keras_2():
    """Inbound nodes are lists [layer, node, tensor, arguments]."""
    embedding, first, second = random(V, 4), [random(4, H), random(H, H), random(H)], [random(4, 2), random(2)]
    config = {
        "input_layers": [["ids", 0, 0]],
        "output_layers": [["both", 0, 0]],
        "layers": [
            {"class_name": "InputLayer", "config": {"name": "ids"}, "inbound_nodes": []},
            {"class_name": "Embedding", "config": {"name": "e"}, "inbound_nodes": [[["ids", 0, 0, {}]]]},
            {"class_name": "SimpleRNN", "config": {"name": "r", "return_sequences": True, "activation": "tanh"},
             "inbound_nodes": [[["e", 0, 0, {}]]]},
            {"class_name": "Dense", "config": {"name": "d"}, "inbound_nodes": [[["e", 0, 0, {}]]]},
            {"class_name": "Concatenate", "config": {"name": "both"},
             "inbound_nodes": [[["r", 0, 0, {}], ["d", 0, 0, {}]]]},
        ],
    }  # fmt: skip
    result = Keras2Reference(
        {"class_name": "Model", "config": config}, {"e": [embedding], "r": first, "d": second}
    ).run(IDS)
    x = keras.Input((None,), dtype="int32")
    e = keras.layers.Embedding(V, 4)(x)
    both = [keras.layers.SimpleRNN(H, return_sequences=True)(e), keras.layers.Dense(2)(e)]
    model = keras.Model(x, keras.layers.Concatenate()(both))
    model.set_weights([embedding, *first, *second])
    assert list(result) == ["ids", "e", "r", "d", "both"]
    assert_close(result["both"], model(IDS))


def test_hard_sigmoid_of_keras_2_has_slope_one_fifth():
    config = {"name": "a", "activation": "hard_sigmoid"}
    assert_close(run_layer("Activation", config, [], Masked(np.array([-9, 1.0, 9]))).x, [0, 0.7, 1])


def test_time_major():
    config = {"name": "l", "activation": "tanh", "return_sequences": True}
    weights = [random(D, H), random(H, H), random(H)]
    expected = run_layer("SimpleRNN", config, weights, Masked(X)).x
    actual = run_layer("SimpleRNN", config | {"time_major": True}, weights, Masked(X.swapaxes(0, 1))).x
    assert_close(actual, expected.swapaxes(0, 1), 0)


@pytest.mark.parametrize("kind", ["CuDNNLSTM", "CuDNNGRU"])
def test_cudnn_layers(kind):
    """The conversion that Keras 2 documents: transposed blocks in column-major order, sums of both biases."""
    gates = 4 if kind == "CuDNNLSTM" else 3
    kernel, recurrent, bias = random(D, gates * H), random(H, gates * H), random(2 * gates * H)
    kernels = [a.T.reshape(a.shape, order="F") for a in np.split(kernel, gates, axis=1)]
    blocks = [a.T for a in np.split(recurrent, gates, axis=1)]
    biases = bias.reshape(2, -1)
    layer = keras.layers.LSTM(H) if gates == 4 else keras.layers.GRU(H)
    layer.build((None, None, D))
    layer.set_weights([np.hstack(kernels), np.hstack(blocks), biases.sum(0) if gates == 4 else biases])
    assert_close(run_layer(kind, {"name": "l"}, [kernel, recurrent, bias], Masked(X)).x, layer(X))


@pytest.mark.parametrize(
    ("kind", "config", "error"),
    [
        ("Lambda", {"name": "l"}, "layer 'l' of class 'Lambda' is not supported by the NumPy interpreter"),
        ("Activation", {"name": "l", "activation": "swish"}, "layer 'l': activation 'swish' is not supported"),
        ("RNN", {"name": "l", "cell": {"class_name": "Mine", "config": {}}}, "cell 'Mine' is not supported"),
    ],
)
def test_layers_without_equations(kind, config, error):
    with pytest.raises(ValueError, match=error):
        run_layer(kind, config, [], Masked(X))
