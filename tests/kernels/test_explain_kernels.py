"""`explain_kernels` against what runs: spies in Keras and in the XLA implementation, and Keras' own rule of cuDNN."""

import importlib
import itertools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import deeprnn_keras as ours
from deeprnn_keras import explain_kernels
from deeprnn_keras.kernels import machine

keras_rnn = importlib.import_module("keras.src.backend.tensorflow.rnn")  # its package hides it behind a function
X = np.random.default_rng(3).normal(size=(2, 5, 3)).astype("float32")
CLASSES = ("LSTM", "GRU", "SimpleRNN")


class Cell(layers.Layer):
    """A cell of one's own, around another: its attributes have the names of arguments of Keras' layers."""

    def __init__(self, units):
        super().__init__()
        self.cell, self.state_size, self.dropout, self.unroll = layers.LSTMCell(units), units, 0.5, True

    def call(self, x, states):
        return states[0], states


class OwnLoop(layers.LSTM):
    def inner_loop(self, *args, **kwargs):
        return super().inner_loop(*args, **kwargs)


class OwnName(ours.LSTM):
    pass


def row(layer):
    (found,) = explain_kernels(layer)
    return found


def doubled(x):
    return 2 * x


# === Against what runs ===


@pytest.fixture
def gpu(monkeypatch):
    """As if there were a GPU: for Keras, and for the package."""
    monkeypatch.setattr(keras_rnn, "_is_gpu_available", lambda: True)
    monkeypatch.setattr(machine, "has_gpu", lambda: True)


@pytest.fixture
def ran(monkeypatch):
    """A function: the kernel that a call of a layer reaches first, or "error"."""
    from deeprnn_keras.kernels.xla import stack

    reached = []

    def stop_at(target, name, kernel):
        def stop(*args, **kwargs):
            reached.append(kernel)
            raise InterruptedError

        monkeypatch.setattr(target, name, stop)

    stop_at(stack, "run_layer", "xla")
    stop_at(keras_rnn, "_cudnn_lstm", "cudnn")
    stop_at(keras_rnn, "_cudnn_gru", "cudnn")
    stop_at(keras.src.backend, "rnn", "loop")

    def call(layer):
        reached.clear()
        with pytest.raises((InterruptedError, ValueError)):
            layer(X)
        return reached[0] if reached else "error"

    return call


def named(arguments):
    home = {keras.ops.tanh: "keras.ops", keras.ops.sigmoid: "keras.ops", tf.tanh: "tf", doubled: "own"}
    return ",".join(f"{name}={home[value] if callable(value) else value}" for name, value in arguments.items())


ARGUMENTS = [
    {},
    {"activation": "relu"},
    {"activation": doubled},
    {"activation": "silu"},
    {"activation": keras.ops.tanh},
    {"activation": tf.tanh},
    {"recurrent_activation": "hard_sigmoid"},
    {"recurrent_activation": keras.ops.sigmoid},
    {"use_bias": False},
    {"unroll": True},
    {"dropout": 0.5},
    {"dropout": 0.5, "implementation": 1},
    {"recurrent_dropout": 0.5},
    {"reset_after": False},
    {"use_cudnn": True},
    {"use_cudnn": True, "use_bias": False},
    {"use_cudnn": False},
    {"implementation": "loop"},
    {"implementation": "xla"},
    {"implementation": "cudnn"},
    {"implementation": "xla", "use_cudnn": True},
    {"go_backwards": True, "return_sequences": True, "return_state": True},
]


EACH = pytest.mark.parametrize("arguments", ARGUMENTS, ids=named)


def made(home, name, arguments):
    """The layer, or None where its class has no such argument or refuses it."""
    absent = {
        "LSTM": {"reset_after"},
        "GRU": set(),
        "SimpleRNN": {"reset_after", "use_cudnn", "recurrent_activation", "implementation"},
    }
    if absent[name] & set(arguments) or (home is layers and isinstance(arguments.get("implementation"), str)):
        return None
    return getattr(home, name)(2, **arguments)


@EACH
@pytest.mark.parametrize("home", [ours, layers], ids=["ours", "keras"])
def test_the_kernel_named_is_the_kernel_that_runs_here(home, arguments, ran):
    for layer in filter(None, (made(home, name, arguments) for name in CLASSES)):
        assert row(layer).kernel == ran(layer), type(layer).__name__


@EACH
@pytest.mark.parametrize("home", [ours, layers], ids=["ours", "keras"])
def test_the_kernel_named_is_the_kernel_that_runs_on_a_gpu(home, arguments, ran, gpu):
    for layer in filter(None, (made(home, name, arguments) for name in CLASSES)):
        found = row(layer)
        assert found.kernel == found.gpu_kernel == ran(layer), type(layer).__name__
        assert found.reasons == found.gpu_reasons


GRID = {
    "activation": ["tanh", tf.tanh, doubled],
    "recurrent_activation": ["sigmoid", "hard_sigmoid"],
    "use_bias": [True, False],
    "unroll": [False, True],
    "recurrent_dropout": [0.0, 0.1],
    "use_cudnn": ["auto", True, False],
}


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_the_rule_for_keras_layers_is_that_of_keras(name, gpu):
    counts = {"cudnn": 0, "loop": 0, "error": 0}
    for values in itertools.product(*GRID.values(), [True, False] if name == "GRU" else [None]):
        *arguments, reset_after = values
        given = dict(zip(GRID, arguments, strict=True))
        extra = {} if reset_after is None else {"reset_after": reset_after}
        layer = getattr(layers, name)(1, **given, **extra)
        fine = keras_rnn.cudnn_ok(layer.activation, layer.recurrent_activation, layer.unroll, layer.use_bias, **extra)
        fine = fine and not given["recurrent_dropout"] and given["use_cudnn"] in ("auto", True)
        expected = "cudnn" if fine else "error" if given["use_cudnn"] is True else "loop"
        assert row(layer).gpu_kernel == expected, {**given, **extra}
        counts[expected] += 1
    assert min(counts.values()) > 1


@pytest.mark.parametrize("name", CLASSES)
@EACH
def test_what_is_said_of_the_drop_in_is_true(name, arguments):
    stock, drop_in = made(layers, name, arguments), made(ours, name, arguments)
    if stock and drop_in and row(stock).kernel == "loop":
        assert (f"deeprnn_keras.{name} with the same arguments would run on XLA" in row(stock).reasons[0]) == (
            row(drop_in).kernel == "xla"
        )


@pytest.mark.parametrize("arguments", [{}, {"use_cudnn": False}, {"recurrent_dropout": 0.2}, {"implementation": 2}])
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_dropout_of_each_gate_fails_in_training_where_it_is_said(name, arguments):
    layer = getattr(layers, name)(2, **{"dropout": 0.5, "implementation": 1, **arguments})
    said = any("fails in training" in reason for reason in row(layer).reasons)
    assert said == any("fails in training" in reason for reason in row(layer).gpu_reasons)
    if said:
        with pytest.raises(tf.errors.InvalidArgumentError):
            layer(X, training=True)
    else:
        assert layer(X, training=True).shape == (2, 2)
    assert said == (not arguments)


# === Reasons ===


def test_every_obstacle_is_named():
    layer = ours.GRU(
        2, "relu", "silu", use_bias=False, reset_after=False, unroll=True, recurrent_dropout=0.2, use_cudnn=False,
    )  # fmt: skip
    named = ("activation='silu'", "unroll=True", "recurrent_dropout=0.2", "several times slower in training")
    for_gpu = ("activation='relu'", "use_bias=False", "reset_after=False", "use_cudnn=False", "for CPUs")
    found = row(layer)
    assert all(part in "; ".join(found.reasons) for part in named)
    assert all(part in "; ".join(found.gpu_reasons) for part in named + for_gpu)
    assert not any(part in "; ".join(found.reasons) for part in for_gpu)
    assert len(set(found.gpu_reasons)) == len(found.gpu_reasons) == 8 and len(found.reasons) == 3
    assert not any("XLA supports activations" in reason for reason in found.gpu_reasons)


def test_who_asks_for_the_loop_learns_what_else_would_stand_in_the_way():
    found = row(ours.LSTM(2, implementation="loop", recurrent_dropout=0.2))
    assert [reason.split(" ")[0] for reason in found.reasons] == ["implementation='loop'", "recurrent_dropout=0.2"]
    assert "cuDNN" in found.gpu_reasons[1] and len(found.gpu_reasons) == 2
    assert row(ours.LSTM(2, implementation="loop")).reasons == ("implementation='loop' requests it",)


def test_what_cannot_be_is_an_error_with_its_message():
    with pytest.raises(ValueError) as error:
        ours.LSTM(2, implementation="cudnn")(X)
    found = row(ours.LSTM(2, implementation="cudnn"))
    assert found.kernel == "error" and found.reasons[0] in str(error.value)
    assert found.gpu_kernel == "cudnn"
    found = row(layers.GRU(2, use_cudnn=True, use_bias=False))
    assert found.kernel == found.gpu_kernel == "error"
    assert (
        "no GPU" in found.reasons[0] and "use_bias=False" in found.reasons[0] and "no GPU" not in found.gpu_reasons[0]
    )


@pytest.mark.parametrize(
    ("layer", "kind", "here", "on_gpu"),
    [
        (lambda: layers.SimpleRNN(2), "keras.layers.SimpleRNN", "deeprnn_keras.SimpleRNN with", "no cuDNN path"),
        (lambda: layers.RNN(layers.LSTMCell(2)), "keras.layers.RNN(LSTMCell)", "deeprnn_keras.LSTM with", "its cell"),
        (
            lambda: layers.RNN(layers.GRUCell(2, reset_after=False)),
            "keras.layers.RNN(GRUCell)",
            "deeprnn_keras.GRU with",
            "but not with these arguments; reset_after=False",
        ),
        (lambda: layers.RNN(Cell(2)), "keras.layers.RNN(Cell)", "LSTM, not Cell", "GRU, not Cell"),
        (
            lambda: layers.RNN([layers.LSTMCell(2), layers.LSTMCell(2)]),
            "keras.layers.RNN(StackedRNNCells)",
            "DeepRNN stacks",
            "not StackedRNNCells",
        ),
        (lambda: layers.ConvLSTM2D(2, 3), "keras.layers.ConvLSTM2D", "not ConvLSTMCell", "not ConvLSTMCell"),
    ],
    ids=["SimpleRNN", "LSTMCell", "GRUCell", "Cell", "StackedRNNCells", "ConvLSTM2D"],
)
def test_what_only_loops(layer, kind, here, on_gpu):
    found = row(layer())
    assert (found.type, found.kernel, found.gpu_kernel) == (kind, "loop", "loop")
    assert here in "; ".join(found.reasons) and on_gpu in "; ".join(found.gpu_reasons)


def test_subclasses_run_as_their_inner_loop_says():
    assert (row(OwnLoop(2)).kernel, row(OwnLoop(2)).gpu_kernel) == ("own", "own")
    assert "OwnLoop has an inner_loop" in row(OwnLoop(2)).reasons[0]
    assert (row(OwnName(2)).kernel, row(OwnName(2)).gpu_kernel) == ("xla", "cudnn")
    assert row(OwnName(2)).type == f"{__name__}.OwnName"


def test_other_backends_have_no_kernels(monkeypatch):
    model = keras.Sequential(
        [ours.LSTM(2, implementation="cudnn"), layers.GRU(2, use_cudnn=True), ours.DeepRNN(2, cell="rnn")]
    )
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for found in explain_kernels(model):
        assert (found.kernel, found.gpu_kernel) == ("loop", "loop")
        assert found.reasons == found.gpu_reasons and "jax" in found.reasons[0]


@pytest.mark.slow
def test_another_backend():
    pytest.importorskip("torch")
    code = (
        "import keras, deeprnn_keras as d\n"
        "m = keras.Sequential([d.LSTM(2, implementation='cudnn'), keras.layers.GRU(2), d.DeepRNN(2, cell='rnn')])\n"
        "print({(r.kernel, r.gpu_kernel, 'torch' in r.reasons[0]) for r in d.explain_kernels(m)})"
    )
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "{('loop', 'loop', True)}", done.stderr
