"""`explain_kernels` against the code that runs, recorded in Keras and XLA, and against Keras' rule for cuDNN."""

import importlib
import itertools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from fast_implementations import FASTEST
from keras import layers

import deeprnn_keras
from deeprnn_keras import _compat, explain_kernels
from deeprnn_keras.kernels import machine
from deeprnn_keras.kernels.native import stack as native_stack
from deeprnn_keras.kernels.xla import stack as xla_stack

keras_rnn = importlib.import_module("keras.src.backend.tensorflow.rnn")  # the package has a function of the same name
X = np.random.default_rng(3).normal(size=(2, 5, 3)).astype("float32")
CLASSES = ("LSTM", "GRU", "SimpleRNN")


class CustomCell(layers.Layer):
    """Cell around another, whose attributes have the names of arguments of Keras layers."""

    def __init__(self, units):
        super().__init__()
        self.cell, self.state_size, self.dropout, self.unroll = layers.LSTMCell(units), units, 0.5, True

    def call(self, x, states):
        return states[0], states


class LSTMWithInnerLoop(layers.LSTM):
    def inner_loop(self, *args, **kwargs):
        return super().inner_loop(*args, **kwargs)


class LSTMSubclass(deeprnn_keras.LSTM):
    pass


def explain(layer):
    (only_row,) = explain_kernels(layer)
    return only_row


def doubled(x):
    return 2 * x


# === The implementation that runs ===


@pytest.fixture
def gpu(monkeypatch):
    """Let Keras and this package find a GPU."""
    monkeypatch.setattr(keras_rnn, "_is_gpu_available", lambda: True)
    monkeypatch.setattr(machine, "has_gpu", lambda: True)


@pytest.fixture
def run_and_record(monkeypatch):
    """Function that returns the implementation that a call of a layer reaches first, or "error"."""
    reached = []

    def stop_at(target, name, implementation):
        def stop(*args, **kwargs):
            reached.append(implementation)
            raise InterruptedError

        monkeypatch.setattr(target, name, stop)

    stop_at(native_stack, "run_layer", "native")
    stop_at(xla_stack, "run_layer", "xla")
    stop_at(keras_rnn, "_cudnn_lstm", "cudnn")
    stop_at(keras_rnn, "_cudnn_gru", "cudnn")
    stop_at(keras.src.backend, "rnn", "loop")

    def call(layer):
        reached.clear()
        with pytest.raises((InterruptedError, ValueError)):
            layer(X)
        return reached[0] if reached else "error"

    return call


def argument_names(arguments):
    origins = {keras.ops.tanh: "keras.ops", keras.ops.sigmoid: "keras.ops", tf.tanh: "tf", doubled: "custom"}
    return ",".join(f"{name}={origins[value] if callable(value) else value}" for name, value in arguments.items())


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
    {"implementation": "native"},
    {"implementation": "xla"},
    {"implementation": "cudnn"},
    {"implementation": "xla", "use_cudnn": True},
    {"go_backwards": True, "return_sequences": True, "return_state": True},
]


EACH_ARGUMENT = pytest.mark.parametrize("arguments", ARGUMENTS, ids=argument_names)


def make_layer(home, name, arguments):
    """Return the layer, or None if its class does not have or does not accept the arguments."""
    absent = {
        "LSTM": {"reset_after"},
        "GRU": set(),
        "SimpleRNN": {"reset_after", "use_cudnn", "recurrent_activation", "implementation"},
    }
    if absent[name] & set(arguments) or (home is layers and isinstance(arguments.get("implementation"), str)):
        return None
    return getattr(home, name)(2, **arguments)


@EACH_ARGUMENT
@pytest.mark.parametrize("home", [deeprnn_keras, layers], ids=["deeprnn_keras", "keras"])
def test_kernel_is_the_implementation_that_runs_on_cpu(home, arguments, run_and_record):
    for layer in filter(None, (make_layer(home, name, arguments) for name in CLASSES)):
        assert explain(layer).kernel == run_and_record(layer), type(layer).__name__


@EACH_ARGUMENT
@pytest.mark.parametrize("home", [deeprnn_keras, layers], ids=["deeprnn_keras", "keras"])
def test_gpu_kernel_is_the_implementation_that_runs_on_gpu(home, arguments, run_and_record, gpu):
    for layer in filter(None, (make_layer(home, name, arguments) for name in CLASSES)):
        row = explain(layer)
        assert row.kernel == row.gpu_kernel == run_and_record(layer), type(layer).__name__
        assert row.reasons == row.gpu_reasons


GRID = {
    "activation": ["tanh", tf.tanh, doubled],
    "recurrent_activation": ["sigmoid", "hard_sigmoid"],
    "use_bias": [True, False],
    "unroll": [False, True],
    "recurrent_dropout": [0.0, 0.1],
    "use_cudnn": ["auto", True, False],
}


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_stock_layers_follow_the_rule_of_keras(name, gpu):
    counts = {"cudnn": 0, "loop": 0, "error": 0}
    for values in itertools.product(*GRID.values(), [True, False] if name == "GRU" else [None]):
        *arguments, reset_after = values
        options = dict(zip(GRID, arguments, strict=True))
        extra = {} if reset_after is None else {"reset_after": reset_after}
        layer = getattr(layers, name)(1, **options, **extra)
        eligible = keras_rnn.cudnn_ok(
            layer.activation, layer.recurrent_activation, layer.unroll, layer.use_bias, **extra
        )
        eligible = eligible and not options["recurrent_dropout"] and options["use_cudnn"] in ("auto", True)
        expected = "cudnn" if eligible else "error" if options["use_cudnn"] is True else "loop"
        assert explain(layer).gpu_kernel == expected, {**options, **extra}
        counts[expected] += 1
    assert min(counts.values()) > 1


@pytest.mark.parametrize("name", CLASSES)
@EACH_ARGUMENT
def test_advice_to_use_the_drop_in_is_correct(name, arguments):
    stock, drop_in = make_layer(layers, name, arguments), make_layer(deeprnn_keras, name, arguments)
    if stock and drop_in and explain(stock).kernel == "loop":
        advice = f"deeprnn_keras.{name} with the same arguments would run "
        words = {"native": "in native code", "xla": "on XLA"}.get(explain(drop_in).kernel)
        assert explain(stock).reasons[0].endswith(f"{advice}{words}") == (words is not None)


@pytest.mark.parametrize("arguments", [{}, {"use_cudnn": False}, {"recurrent_dropout": 0.2}, {"implementation": 2}])
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_per_gate_dropout_fails_in_training_if_reported(name, arguments):
    layer = getattr(layers, name)(2, **{"dropout": 0.5, "implementation": 1, **arguments})
    reported = any("fails in training" in reason for reason in explain(layer).reasons)
    assert reported == any("fails in training" in reason for reason in explain(layer).gpu_reasons)
    if reported:
        with pytest.raises(tf.errors.InvalidArgumentError):
            layer(X, training=True)
    else:
        assert layer(X, training=True).shape == (2, 2)
    assert reported == (not arguments)


# === Reasons ===


def test_every_reason_is_listed(monkeypatch):
    monkeypatch.setattr(machine.library, "unavailable_reason", lambda: None)
    layer = deeprnn_keras.GRU(
        2, "relu", "silu", use_bias=False, reset_after=False, unroll=True, recurrent_dropout=0.2, use_cudnn=False,
    )  # fmt: skip
    for_both = ("activation='silu'", "unroll=True", "recurrent_dropout=0.2", "several times slower in training")
    for_gpu = ("activation='relu'", "use_bias=False", "reset_after=False", "use_cudnn=False", "for CPUs")
    row = explain(layer)
    assert all(part in "; ".join(row.reasons) for part in for_both)
    assert all(part in "; ".join(row.gpu_reasons) for part in for_both + for_gpu)
    assert not any(part in "; ".join(row.reasons) for part in for_gpu)
    assert len(set(row.gpu_reasons)) == len(row.gpu_reasons) == 8 and len(row.reasons) == 5
    assert not any("XLA supports activations" in reason for reason in row.gpu_reasons)


def test_requested_loop_lists_further_reasons():
    row = explain(deeprnn_keras.LSTM(2, implementation="loop", recurrent_dropout=0.2))
    assert row.reasons[0] == "requested by implementation='loop'"
    assert [reason.split(":")[0] for reason in row.reasons[1:]] == [
        f"recurrent_dropout=0.2 rules out {name}" for name in ("the native code", "XLA")
    ]
    assert "cuDNN" in row.gpu_reasons[1] and len(row.gpu_reasons) == 2
    assert explain(deeprnn_keras.LSTM(2, implementation="loop")).reasons == ("requested by implementation='loop'",)


MISSING = "the native library was not built: no C compiler was found"


@pytest.mark.parametrize(
    ("reason", "arguments", "kernel", "explanation"),
    [
        (None, {}, "native", "no GPU is visible to TensorFlow"),
        (None, {"activation": "elu"}, "xla", "activation='elu': the native code supports hard_sigmoid, linear, relu"),
        (None, {"dtype": "float64"}, "xla", "dtype float64: the native code computes in float32"),
        (MISSING, {}, "xla", MISSING),
        (MISSING, {"implementation": "native"}, "error", MISSING),
        (MISSING, {"unroll": True}, "loop", MISSING),
    ],
)
def test_reason_why_native_code_does_not_run(monkeypatch, reason, arguments, kernel, explanation):
    monkeypatch.setattr(machine.library, "unavailable_reason", lambda: reason)
    row = explain(deeprnn_keras.LSTM(2, **arguments))
    assert row.kernel == kernel and explanation in row.reasons[0]
    stock = explain(layers.LSTM(2)).reasons[0]
    assert stock.endswith("would run on XLA" if reason else "would run in native code")


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("options", [{}, {"remat": True}], ids=str)
def test_stack_with_a_layer_without_native_code_runs_on_xla(monkeypatch, number, options):
    """One call runs the whole stack; the report lists why its other layers do not run in native code."""
    monkeypatch.setattr(machine.library, "unavailable_reason", lambda: None)
    activations = [None, None, None]
    activations[number] = "elu"
    stack = deeprnn_keras.DeepRNN(2, 3, activation=activations, **options)
    assert [row.kernel for row in explain_kernels(stack)] == ["xla"] * 3
    prefixes = ["" if level == number else "another layer of the stack: " for level in range(3)]
    for row, prefix in zip(explain_kernels(stack), prefixes, strict=True):
        assert row.reasons[0].startswith(f"{prefix}activation='elu': the native code supports")
    calls, run_stack = [], xla_stack.run_stack
    monkeypatch.setattr(xla_stack, "run_stack", lambda *arguments: calls.append(1) or run_stack(*arguments))
    assert stack(X).shape == (2, 2) and calls == [1]


def test_unsupported_implementation_is_reported_as_error():
    with pytest.raises(ValueError) as error:
        deeprnn_keras.LSTM(2, implementation="cudnn")(X)
    row = explain(deeprnn_keras.LSTM(2, implementation="cudnn"))
    assert row.kernel == "error" and row.reasons[0] in str(error.value)
    assert row.gpu_kernel == "cudnn"
    row = explain(layers.GRU(2, use_cudnn=True, use_bias=False))
    assert row.kernel == row.gpu_kernel == "error"
    assert "no GPU" in row.reasons[0] and "use_bias=False" in row.reasons[0] and "no GPU" not in row.gpu_reasons[0]


@pytest.mark.parametrize(
    ("layer", "type_name", "cpu_reason", "gpu_reason"),
    [
        (lambda: layers.SimpleRNN(2), "keras.layers.SimpleRNN", "deeprnn_keras.SimpleRNN with", "no cuDNN path"),
        (lambda: layers.RNN(layers.LSTMCell(2)), "keras.layers.RNN(LSTMCell)", "deeprnn_keras.LSTM with", "its cell"),
        (
            lambda: layers.RNN(layers.GRUCell(2, reset_after=False)),
            "keras.layers.RNN(GRUCell)",
            "deeprnn_keras.GRU with",
            "but not with these arguments; reset_after=False",
        ),
        (
            lambda: layers.RNN(CustomCell(2)),
            "keras.layers.RNN(CustomCell)",
            "LSTM, not CustomCell",
            "GRU, not CustomCell",
        ),
        (
            lambda: layers.RNN([layers.LSTMCell(2), layers.LSTMCell(2)]),
            "keras.layers.RNN(StackedRNNCells)",
            "DeepRNN stacks",
            "not StackedRNNCells",
        ),
        (lambda: layers.ConvLSTM2D(2, 3), "keras.layers.ConvLSTM2D", "not ConvLSTMCell", "not ConvLSTMCell"),
    ],
    ids=["SimpleRNN", "LSTMCell", "GRUCell", "CustomCell", "StackedRNNCells", "ConvLSTM2D"],
)
def test_layers_that_only_the_loop_supports(layer, type_name, cpu_reason, gpu_reason):
    row = explain(layer())
    assert (row.type, row.kernel, row.gpu_kernel) == (type_name, "loop", "loop")
    assert cpu_reason in "; ".join(row.reasons) and gpu_reason in "; ".join(row.gpu_reasons)


def test_subclass_is_classified_by_its_inner_loop():
    assert (explain(LSTMWithInnerLoop(2)).kernel, explain(LSTMWithInnerLoop(2)).gpu_kernel) == ("custom", "custom")
    assert "LSTMWithInnerLoop defines its own inner_loop" in explain(LSTMWithInnerLoop(2)).reasons[0]
    assert (explain(LSTMSubclass(2)).kernel, explain(LSTMSubclass(2)).gpu_kernel) == (FASTEST, "cudnn")
    assert explain(LSTMSubclass(2)).type == f"{__name__}.LSTMSubclass"


def test_other_backends_use_the_loop(monkeypatch):
    model = keras.Sequential(
        [
            deeprnn_keras.LSTM(2, implementation="cudnn"),
            layers.GRU(2, use_cudnn=True),
            deeprnn_keras.DeepRNN(2, cell="rnn", activation="selu"),
        ]
    )
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(_compat, "jax_platform", lambda: "cpu")
    for row in explain_kernels(model):
        assert (row.kernel, row.gpu_kernel) == ("loop", "loop")
        assert "jax" in row.reasons[0] and "jax" in row.gpu_reasons[0]


@pytest.mark.slow
def test_torch_backend_uses_the_loop():
    pytest.importorskip("torch")
    code = (
        "import keras, deeprnn_keras as d\n"
        "looping = d.DeepRNN(2, cell='rnn', activation='selu')\n"
        "m = keras.Sequential([d.LSTM(2, implementation='cudnn'), keras.layers.GRU(2), looping])\n"
        "print({(r.kernel, r.gpu_kernel, 'torch' in r.reasons[0]) for r in d.explain_kernels(m)})"
    )
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert process.stdout.strip() == "{('loop', 'loop', True)}", process.stderr
