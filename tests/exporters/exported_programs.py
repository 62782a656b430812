"""Programs for the tests of exporters: hand-made models, entries of the zoo, and comparison of their files."""

from functools import cache, partial
from pathlib import Path

import keras
import numpy as np

from deeprnn_keras import DeepRNN, LanguageModel, SequenceModel, lower, zoo
from deeprnn_keras.exporters.target import Options
from deeprnn_keras.program.interpreter import Interpreter
from deeprnn_keras.program.program import Program

D, H, V = 3, 6, 9


def deep(*args, **options):
    """Return a model with one `DeepRNN` and a head."""
    layer = DeepRNN(H, *args, implementation="loop", return_sequences=True, **options)
    return keras.Sequential([keras.Input((None, D)), layer, keras.layers.Dense(2)], name="deep")


def keras_layers():
    layers = [keras.layers.LSTM(H, return_sequences=True), keras.layers.LayerNormalization()]
    return keras.Sequential([keras.Input((None, D)), *layers, keras.layers.GRU(H), keras.layers.Dense(2, "softmax")])


def amplifier():
    """Return a model that all formats support."""
    layers = [keras.Input((None, 1)), DeepRNN(H, 2, return_sequences=True), keras.layers.Dense(1)]
    return keras.Sequential(layers, name="amplifier")


def embedded():
    layers = [keras.layers.Embedding(V, 4), keras.layers.SimpleRNN(H, "relu", return_sequences=True)]
    return keras.Sequential([keras.Input((None,), dtype="int32"), *layers, keras.layers.Dense(V, "log_softmax")])


WIDTHS = [{"name": "projected_lstm", "projection": 4}, {"name": "qrnn", "window": 2}, "projected_lstm"]
"""Cells with states of other widths than their units."""

MODELS = {
    "lstm": lambda: deep(3),
    "lstm_hard_sigmoid": lambda: deep(1, recurrent_activation="hard_sigmoid", activation="relu", use_bias=False),
    "gru": lambda: deep(2, "gru"),
    "gru_reset_before": lambda: deep(2, "gru", reset_after=False),
    "rnn": lambda: deep(4, "rnn"),
    "rnn_gelu_like": lambda: deep(1, "rnn", activation="silu"),
    "mlp_gate_lstm": lambda: deep(2, "mlp_gate_lstm"),
    "rhn": lambda: deep(1, {"name": "rhn", "depth": 2}),
    "state_widths": lambda: deep(3, WIDTHS, dilation=[2, 1, 1]),
    "residual": lambda: deep(3, connection="residual"),
    "skip": lambda: deep(3, "gru", connection="skip"),
    "bidirectional": lambda: deep(2, bidirectional=True),
    "dilation": lambda: deep(3, dilation=[1, 2, 3]),
    "initial_states": lambda: deep(3, ["lstm", WIDTHS[0], "gru"], learned_initial_state=True, dilation=[1, 1, 2]),
    "initial_bidirectional": lambda: deep(2, ["lstm", "mgu"], learned_initial_state=True, bidirectional=True),
    "zoneout": lambda: deep(1, zoneout=(0.3, 0.1)),
    "dilated_bidirectional": lambda: deep(2, "gru", dilation=2, bidirectional=True),
    "keras_layers": keras_layers,
    "amplifier": amplifier,
    "embedding": embedded,
    "tied_head": lambda: LanguageModel("abcdefghi", units=H, num_layers=3, embedding=H, tied=True),
    "one_hot": lambda: LanguageModel("äöüßабвг✓", units=H, num_layers=3),
}


def masked_model(cell, bidirectional, per_step, **options):
    options |= {"masks": True, "per_step": per_step, "bidirectional": bidirectional, "implementation": "loop"}
    return SequenceModel(D, 2, units=5, num_layers=2, cell=cell, **options)


def masked_initial_states(cell, bidirectional):
    model = masked_model(cell, bidirectional, True, learned_initial_state=True)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "initial_state" in weight.path:
            weight.assign(rng.normal(size=weight.shape))
    return model


def masked_keras_layers():
    x, mask = keras.Input((None, D)), keras.Input((None,), dtype="bool")
    hidden = keras.layers.LSTM(4, return_sequences=True)(x, mask=mask)
    hidden = keras.layers.Bidirectional(keras.layers.GRU(4, return_sequences=True))(hidden, mask=mask)
    return keras.Model([x, mask], [hidden, keras.layers.SimpleRNN(4)(hidden, mask=mask)])


MASKED = {
    f"{cell}, bidirectional={both}, per_step={per_step}": partial(masked_model, cell, both, per_step)
    for cell in ("lstm", "gru", "mlp_gate_lstm")
    for both in (False, True)
    for per_step in (False, True)
} | {
    "state_widths": lambda: masked_model(WIDTHS[:2], True, True),
    "initial_states": lambda: masked_initial_states(["lstm", "mgu"], False),
    "initial_bidirectional": lambda: masked_initial_states(["lstm", "gru"], True),
    "keras_layers": masked_keras_layers,
}
LENGTHS = np.array([7, 1, 4, 0])


def randomized(program, seed=0):
    """Return a program with random biases, which models have as zeros before they are trained."""
    rng = np.random.default_rng(seed)
    weights = {
        name: array if array.any() and array.ndim > 1 else rng.normal(size=array.shape, scale=0.3).astype("float32")
        for name, array in program.weights.items()
    }
    return Program(program.name, program.inputs, program.operations, program.outputs, weights, program.attributes)


@cache
def hand_made(name):
    keras.utils.set_random_seed(1)
    return randomized(lower(MODELS[name]()))


@cache
def zoo_program(name):
    """Return an entry of the zoo with 6 units and a small vocabulary as a program."""
    keras.utils.set_random_seed(2)
    config = zoo.info(name)
    changes = {"units": 6, **({"length": 5} if config.length else {})}
    changes |= {"vocabulary": 50, "bptt": 4} if config.task == "language" else {}
    return lower(zoo.info(name, **changes).build())


def random_inputs(program, batch_size, steps):
    rng = np.random.default_rng(steps)
    return [
        rng.integers(one.width, size=(batch_size, steps))
        if one.ids
        else rng.normal(size=(batch_size, steps, one.width)).astype("float32")
        for one in program.inputs
    ]


def written(target, program, directory, **options):
    """Write a program and return (path, runner)."""
    options = Options(**options)
    assert target.refusal(program, options) is None
    path = directory / f"p{target.suffix}"
    assert target.write(program, path, options) == [path, *target.companions(path)]
    return path, target.runner(path, program, options)


def assert_close(actual, expected, atol=1e-5):
    for one, other in zip(actual, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=atol * max(1.0, np.abs(other).max()))


def check_sequences(runner, program, batch_size, lengths=(1, 7, 100)):
    """Compare a loaded file with the reference for whole sequences."""
    for steps in lengths:
        inputs = random_inputs(program, batch_size, steps)
        assert_close(runner.run(inputs), Interpreter(program, np.float64).run(inputs)[0])


def check_steps(runner, program, batch_size, steps=1000):
    """Compare a loaded file with the reference over streamed steps, outputs and returned states."""
    inputs = random_inputs(program, batch_size, steps)
    outputs, states = [], None
    for t in range(steps):
        output, states = runner.step([x[:, t] for x in inputs], states)
        outputs.append(output)
    expected, after = Interpreter(program, np.float64, streaming=True).run(inputs)
    assert_close([np.stack(one, axis=1) for one in zip(*outputs, strict=True)], expected)
    assert_close(list(states.values()), [after[name] for name in states])


def assert_whole(target, program, directory, lengths=(1, 7, 100), batch_size=None, **options):
    """Compare a file with the reference for whole sequences and return its path."""
    path, runner = written(target, program, directory, batch_size=batch_size, **options)
    check_sequences(runner, program, batch_size or target.default_batch_size or 2, lengths)
    return path


def assert_streamed(target, program, directory, steps=1000, batch_size=None, **options):
    """Compare a file with the reference over streamed steps and return its path."""
    path, runner = written(target, program, directory, streaming=True, batch_size=batch_size, **options)
    check_steps(runner, program, batch_size or target.default_batch_size or 2, steps)
    return path


@cache
def padded_case(name):
    """Return the program of a model that reads a mask, an input, and its outputs in Keras."""
    model = MASKED[name]()
    program = lower(model)
    x = random_inputs(program, len(LENGTHS), 7)[0]
    outputs = model([x, np.arange(7) < LENGTHS[:, None]])
    return program, x, [np.asarray(one) for one in (outputs if isinstance(outputs, list) else [outputs])]


def assert_padded(target, name, directory):
    """Compare a file with Keras on padded sequences, one of them without steps, and return its path."""
    program, x, expected = padded_case(name)
    path, runner = written(target, program, directory, batch_size=len(LENGTHS))
    assert_close(runner.run([x], LENGTHS), expected)
    return path


def content(directory):
    """Return {relative path: bytes of a file, or False for a directory}."""
    return {str(one.relative_to(directory)): one.is_file() and one.read_bytes() for one in directory.rglob("*")}


def fail_rename(monkeypatch, number, error):
    """Make one of the following calls of `Path.rename` raise an error, the first if `number` is 0."""
    rename, calls = Path.rename, []

    def failing_rename(path, other):
        calls.append(other)
        if len(calls) == number + 1:
            raise error
        return rename(path, other)

    monkeypatch.setattr(Path, "rename", failing_rename)
