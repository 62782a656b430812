"""Files of Neural Amp Modeler and RTNeural, read by readers that are independent of the exporter."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from deeprnn_keras import GRU, DeepRNN, Stream, export, interop, lower
from deeprnn_keras.interop.nam_source import NAMSource, read_nam


def model(cell="lstm", num_layers=2, inputs=1, units=3, activation=None, **options):
    keras.utils.set_random_seed(3)
    rnn = DeepRNN(units, num_layers, cell, return_sequences=True, **options)
    made = keras.Sequential([keras.Input((None, inputs)), rnn, keras.layers.Dense(1, activation)], name="amp")
    for weight in made.weights:
        if not np.any(weight):
            weight.assign(keras.random.normal(weight.shape, stddev=0.3))
    return made


def with_rate(one, rate=50):
    program = lower(one)
    return dataclasses.replace(program, attributes={**program.attributes, "sample_rate": rate})


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# === Neural Amp Modeler ===


def nam_outputs(file, x):
    """Run a .nam file on (T, d), with the numbers taken from the list one after the other."""
    numbers, config = iter(file["weights"]), file["config"]
    units, width, values = config["hidden_size"], config["input_size"], x.astype("float64")
    for _ in range(config["num_layers"]):
        rows = np.array([[next(numbers) for _ in range(width + units)] for _ in range(4 * units)])
        bias, h, c = (np.array([next(numbers) for _ in range(count)]) for count in (4 * units, units, units))
        outputs = []
        for value in values:
            gates = (rows @ np.concatenate([value, h]) + bias).reshape(4, units)
            c = sigmoid(gates[1]) * c + sigmoid(gates[0]) * np.tanh(gates[2])
            h = sigmoid(gates[3]) * np.tanh(c)
            outputs.append(h)
        values, width = np.array(outputs), units
    head = np.array([next(numbers) for _ in range(units)])
    result = values @ head + next(numbers)
    assert next(numbers, None) is None
    return result


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize(("inputs", "num_layers"), [(1, 1), (1, 2), (3, 2)])
def test_nam_file_starts_after_a_second_of_silence(inputs, num_layers, learned, tmp_path, rng):
    program = with_rate(model(inputs=inputs, num_layers=num_layers, learned_initial_state=learned))
    report = export(program, tmp_path / "amp.nam")
    assert report.target == "nam" and report.max_abs_error < 1e-6
    file = json.loads((tmp_path / "amp.nam").read_text())
    assert file["sample_rate"] == 50 and file["architecture"] == "LSTM" and file["metadata"]["name"] == "amp"
    x = rng.normal(size=(20, inputs)).astype("float32")
    stream = Stream(program)
    stream.push(np.zeros((1, 50, inputs), "float32"))
    np.testing.assert_allclose(nam_outputs(file, x), stream.push(x[None])[0, :, 0], atol=1e-6)


def test_nam_file_is_loaded_with_its_states(tmp_path, rng):
    program = with_rate(model(inputs=2))
    export(program, tmp_path / "amp.nam", verify=False)
    loaded = interop.load(tmp_path / "amp.nam")
    x = rng.normal(size=(2, 9, 2)).astype("float32")
    file = json.loads((tmp_path / "amp.nam").read_text())
    np.testing.assert_allclose(loaded(x)[1, :, 0], nam_outputs(file, x[1]), atol=1e-6)
    assert interop.verify(loaded, tmp_path / "amp.nam").passed
    report = str(interop.inspect(tmp_path / "amp.nam"))
    assert "num_layers=2" in report and "50 Hz" in report and "lstm_2/c_0" in report
    into = model(inputs=2, learned_initial_state=True)
    assert interop.load(tmp_path / "amp.nam", into=into) is into
    np.testing.assert_allclose(into(x), loaded(x), atol=1e-6)
    again = export(loaded, tmp_path / "again.nam", verify=False)
    assert json.loads(again.path.read_text())["config"] == file["config"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "WaveNet"}, "architecture must be 'LSTM', got 'WaveNet'"),
        ({"config": {"hidden_size": 0}}, "config\\['hidden_size'\\] must be an integer from 1 to 4096, got 0"),
        ({"config": {"hidden_size": 3, "num_layers": 10**9}}, "'num_layers'.*got 1000000000"),
        ({"config": None}, "config\\['hidden_size'\\].*got None|config\\['input_size'\\].*got None"),
        ({"weights": [1.0]}, "weights must have 160 numbers for 2 layers of 3 units and 1 inputs, got 1"),
        ({"weights": ["a"]}, "weights must be a list of numbers"),
        ({"sample_rate": 44_100.5}, "sample_rate must be a positive integer, got 44100.5"),
        ({"weights": [1e300] * 160}, "weights must be finite in float32; number 0 is not"),
    ],
)
def test_damaged_nam_files(change, message, tmp_path):
    path = tmp_path / "amp.nam"
    export(with_rate(model()), path, verify=False)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=rf"amp\.nam.*{message}"):
        interop.load(path)


@pytest.mark.parametrize(("rate", "expected"), [(44_100.0, 44_100), (None, 48_000)])
def test_sample_rate_of_a_nam_file(rate, expected, tmp_path):
    path = tmp_path / "amp.nam"
    export(with_rate(model()), path, verify=False)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sample_rate": rate}))
    assert interop.load(path).sample_rate == read_nam(path).attributes["sample_rate"] == expected


def test_arguments_without_effect_are_refused(tmp_path):
    export(with_rate(model()), tmp_path / "amp.nam", verify=False)
    for option in ({"activation": "relu"}, {"return_sequences": False}):
        with pytest.raises(ValueError, match="has no effect"):
            interop.load(tmp_path / "amp.nam", **option)
    assert NAMSource(tmp_path / "amp.nam").kind == "Neural Amp Modeler file"


# === RTNeural ===


def rtneural_outputs(file, x):
    """Run an RTNeural file on (T, d): kernels are indexed by input and column, gates as in Keras."""
    values = x.astype("float64")
    assert file["in_shape"][-1] == x.shape[1]
    for layer in file["layers"]:
        size, (kernel, *recurrent, bias) = layer["shape"][-1], map(np.array, layer["weights"])
        state, cell, outputs = np.zeros(size), np.zeros(size), []
        for value in values:
            product = value @ kernel
            if layer["type"] == "lstm":
                i, f, g, o = (product + state @ recurrent[0] + bias).reshape(4, size)
                cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
                state = sigmoid(o) * np.tanh(cell)
            elif layer["type"] == "gru":
                x_z, x_r, x_n = (product + bias[0]).reshape(3, size)
                h_z, h_r, h_n = (state @ recurrent[0] + bias[1]).reshape(3, size)
                z = sigmoid(x_z + h_z)
                state = z * state + (1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n)
            else:
                function = {"": lambda a: a, "tanh": np.tanh, "relu": lambda a: np.maximum(a, 0), "sigmoid": sigmoid}
                assert layer["type"] == "dense"
                state = function[layer["activation"]](product + bias)
            outputs.append(state)
        values = np.array(outputs)
    return values


@pytest.mark.parametrize("activation", [None, "tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_rtneural_file(cell, activation, tmp_path, rng):
    one = model(cell, inputs=2, activation=activation)
    report = export(one, tmp_path / "amp.json")
    assert report.target == "rtneural" and report.max_abs_error < 1e-6
    x = rng.normal(size=(1, 12, 2)).astype("float32")
    file = json.loads((tmp_path / "amp.json").read_text())
    np.testing.assert_allclose(rtneural_outputs(file, x[0]), one(x)[0], atol=1e-6)


def test_rtneural_file_without_biases(tmp_path, rng):
    keras.utils.set_random_seed(3)
    layers = [GRU(3, use_bias=False, return_sequences=True), keras.layers.Dense(2, use_bias=False)]
    one = keras.Sequential([keras.Input((None, 1)), *layers])
    export(one, tmp_path / "amp.json")
    x = rng.normal(size=(1, 5, 1)).astype("float32")
    file = json.loads((tmp_path / "amp.json").read_text())
    np.testing.assert_allclose(rtneural_outputs(file, x[0]), one(x)[0], atol=1e-6)


# === Refusals ===


@pytest.mark.parametrize(
    ("suffix", "options", "message"),
    [
        (".nam", {"cell": "gru"}, "must have LSTM layers below the output layer; use cell='lstm'"),
        (".nam", {"units": [3, 4]}, "must have equal numbers of units, got \\[3, 4\\]"),
        (".nam", {"activation": "tanh"}, "has another activation, .*; use activation='linear'"),
        (".json", {"cell": "rnn"}, "is a simple RNN; use cell='lstm' or 'gru'"),
        (".json", {"activation": "elu"}, "tanh, relu, sigmoid, and linear are supported"),
        (".json", {"recurrent_activation": "hard_sigmoid"}, "must have tanh and sigmoid, got tanh and hard_sigmoid"),
        (".json", {"dilation": [1, 2]}, "has dilation 2; use forward layers without dilation"),
        (".json", {"bidirectional": True}, "reads the sequence from its end|does not read the layer before it"),
        (".json", {"connection": "skip"}, "does not read the layer before it|has no layer for"),
        (".json", {"cell": "peephole_lstm"}, "has no layer for .* \\(Cell\\); use LSTM, GRU, and Dense"),
        (".json", {"learned_initial_state": True}, "starts from zero states; train it without learned_initial_state"),
    ],
)
def test_refusals(suffix, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export(model(**options), tmp_path / f"amp{suffix}")
    assert not list(tmp_path.iterdir())


def test_head_of_a_nam_file(tmp_path):
    layers = [keras.layers.LSTM(3, return_sequences=True), keras.layers.Dense(2)]
    with pytest.raises(ValueError, match=r"its last layer must be Dense\(1\), got 'dense.*' of width 2"):
        export(keras.Sequential([keras.Input((None, 1)), *layers]), tmp_path / "amp.nam")
