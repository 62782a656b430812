"""Loading of Keras 2 files: values, reports, and what is refused."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras2_files import (
    dense_shapes,
    functional,
    input_layer,
    layer,
    recurrent,
    recurrent_shapes,
    save,
    sequential,
)

from deeprnn_keras import interop, limits
from deeprnn_keras.interop.references import tf_keras_models
from deeprnn_keras.interop.references.keras2 import Keras2Reference
from deeprnn_keras.reading import DamagedFileError

D, H, T = 3, 4, 5
LSTM = recurrent_shapes(4, D, H)
SHAPE = {"batch_input_shape": [None, T, D]}
DENSE = layer("Dense", "dense_1", units=2, activation="softmax", use_bias=True)
RNN_STATE = {"return_state": True, "return_sequences": True}


def bidirectional(inner, name="bidirectional_1", merge_mode="concat", **config):
    return layer("Bidirectional", name, layer=inner, merge_mode=merge_mode, **config)


def both(gates, inputs, bias=None):
    return {
        **recurrent_shapes(gates, inputs, H, bias, "forward_1/"),
        **recurrent_shapes(gates, inputs, H, bias, "backward_1/"),
    }


CELLS = layer(
    "StackedRNNCells", "cells", cells=[recurrent("LSTMCell", "a", H), recurrent("GRUCell", "b", 2, reset_after=True)]
)
# name: (configuration, shapes of the weights)
FILES = {
    "lstm": (
        {"class_name": "Sequential", "config": [recurrent("LSTM", "lstm_1", H, **SHAPE), DENSE]},
        {"lstm_1": LSTM, "dense_1": dense_shapes(H, 2)},
    ),
    "gru without reset_after": (
        sequential(recurrent("GRU", "gru_1", H, implementation=0, use_bias=False, go_backwards=True, **SHAPE)),
        {"gru_1": {"kernel": (D, 3 * H), "recurrent_kernel": (H, 3 * H)}},
    ),
    "cudnn": (
        sequential(
            recurrent("CuDNNLSTM", "cu_dnnlstm_1", H, return_sequences=True, **SHAPE),
            bidirectional(recurrent("CuDNNGRU", "cu_dnngru_1", H), merge_mode="mul"),
        ),
        {"cu_dnnlstm_1": recurrent_shapes(4, D, H, (8 * H,)), "bidirectional_1": both(3, H, (6 * H,))},
    ),
    "masked": (
        sequential(
            layer("Embedding", "embedding_1", input_dim=6, output_dim=D, mask_zero=True, batch_input_shape=[None, T]),
            bidirectional(recurrent("LSTM", "lstm_1", H, return_sequences=True), merge_mode="ave"),
            layer(
                "TimeDistributed", "time_distributed_1", layer=layer("Dense", "d", units=3, activation="hard_sigmoid")
            ),
            recurrent("SimpleRNN", "simple_rnn_1", 2),
        ),
        {
            "embedding_1": {"embeddings": (6, D)},
            "bidirectional_1": both(4, D),
            "time_distributed_1": dense_shapes(H, 3),
            "simple_rnn_1": recurrent_shapes(1, 3, 2),
        },
    ),
    "stacked cells": (
        sequential(layer("RNN", "rnn_1", cell=CELLS, return_sequences=True, unroll=False, **SHAPE)),
        {"rnn_1": {**recurrent_shapes(4, D, H, prefix="a/"), **recurrent_shapes(3, H, 2, (2, 6), prefix="b/")}},
    ),
}


@pytest.fixture(params=FILES)
def file(request, tmp_path):
    """Return (path, reference, input) of a file."""
    config, shapes = FILES[request.param]
    arrays = save(tmp_path / "model.h5", shapes, config)
    rng = np.random.default_rng(1)
    ids = np.array([[3, 1, 5, 2, 0], [4, 0, 0, 0, 0]])
    x = ids if request.param == "masked" else rng.normal(size=(2, T, D)).astype("float32")
    return tmp_path / "model.h5", Keras2Reference(config, arrays), x


def test_values_equal_the_equations_of_keras_2(file):
    path, reference, x = file
    expected = list(reference.run(x).values())[-1]
    np.testing.assert_allclose(interop.load(path)(x), expected, atol=1e-6)


@pytest.mark.parametrize("merge_mode", ["sum", None])
def test_merge_modes(merge_mode, tmp_path):
    inner = recurrent("LSTM", "lstm_1", H, return_sequences=merge_mode is None)
    config = sequential(input_layer("x", T, D), bidirectional(inner, merge_mode=merge_mode))
    arrays = save(tmp_path / "model.h5", {"bidirectional_1": both(4, D)}, config)
    x = np.random.default_rng(1).normal(size=(2, T, D)).astype("float32")
    result = interop.load(tmp_path / "model.h5")(x)
    parts = [run_lstm(arrays["bidirectional_1"][start : start + 3], x[:, ::step]) for start, step in ((0, 1), (3, -1))]
    if merge_mode is None:
        np.testing.assert_allclose(result[0], parts[0], atol=1e-6)
        np.testing.assert_allclose(result[1], parts[1][:, ::-1], atol=1e-6)
    else:
        np.testing.assert_allclose(result, parts[0][:, -1] + parts[1][:, -1], atol=1e-6)


def run_lstm(weights, x, states=None, with_cell=False):
    """Return the outputs of all steps of an LSTM of Keras 2 with its hard sigmoid, or its last cell state."""
    kernel, recurrent_kernel, bias = weights
    h, c = np.zeros((2, len(x), H)) if states is None else states
    outputs = []
    for x_t in np.moveaxis(x, 1, 0):
        z = x_t @ kernel + h @ recurrent_kernel + bias
        i, f, candidate, o = np.split(z, 4, axis=1)
        i, f, o = (np.clip(0.2 * one + 0.5, 0, 1) for one in (i, f, o))
        c = f * c + i * np.tanh(candidate)
        h = o * np.tanh(c)
        outputs.append(h)
    return c if with_cell else np.stack(outputs, axis=1)


def test_encoder_and_decoder_with_shared_and_nested_parts(tmp_path):
    """The decoder begins with the states of the encoder; a nested model is called twice."""
    inner = functional([(input_layer("z", T, H), []), (DENSE, [["z"]])], ["z"], ["dense_1"], name="head")
    inner["config"]["output_layers"] = [["dense_1", 0, 0]]
    config = functional(
        [
            (input_layer("x", T, D), []),
            (input_layer("y", T, D), []),
            (recurrent("LSTM", "encoder", H, **RNN_STATE), [["x"]]),
            (recurrent("LSTM", "decoder", H, return_sequences=True), [["y", ("encoder", 0, 1), ("encoder", 0, 2)]]),
            (inner, [["encoder"], ["decoder"]]),
            (layer("Add", "add"), [[("head", 1, 0), ("head", 2, 0)]]),
        ],
        ["x", "y"],
        ["add"],
        "Functional",
    )
    weights = {"encoder": LSTM, "decoder": LSTM, "head": dense_shapes(H, 2)}
    arrays = save(tmp_path / "model.h5", weights, config)
    x, y = np.random.default_rng(1).normal(size=(2, 2, T, D)).astype("float32")
    model = interop.load(tmp_path / "model.h5")
    encoder = keras.Model(model.inputs[0], model.get_layer("encoder").output)
    outputs, *states = encoder(x)
    hidden = run_lstm(arrays["encoder"], x)
    np.testing.assert_allclose(outputs, hidden, atol=1e-6)
    logits = [one @ arrays["head"][0] + arrays["head"][1] for one in (hidden, run_lstm(arrays["decoder"], y, states))]
    expected = sum(np.exp(one) / np.exp(one).sum(-1, keepdims=True) for one in logits)
    np.testing.assert_allclose(model([x, y]), expected, atol=1e-6)


def test_names_of_layers_differ_from_those_of_operations(tmp_path):
    """Keras computes the mask of a `Concatenate` by an operation that it would call "concatenate", too."""
    config = functional(
        [
            (layer("InputLayer", "x", batch_input_shape=[None, T], dtype="int32"), []),
            (layer("Embedding", "e", input_dim=6, output_dim=D, mask_zero=True), [["x"]]),
            (recurrent("LSTM", "a", H, return_sequences=True), [["e"]]),
            (layer("Concatenate", "concatenate", axis=-1), [["a", "e"]]),
            (recurrent("LSTM", "b", H), [["concatenate"]]),
        ],
        ["x"],
        ["b"],
    )
    save(tmp_path / "m.h5", {"e": {"embeddings": (6, D)}, "a": LSTM, "b": recurrent_shapes(4, H + D, H)}, config)
    keras.utils.clear_session()
    model = interop.load(tmp_path / "m.h5")
    assert interop.verify(model, tmp_path / "m.h5").passed
    model.save(tmp_path / "m.keras")
    keras.utils.clear_session()
    interop.load(tmp_path / "m.keras")


def test_arguments_that_mean_nothing_are_ignored(tmp_path):
    convolution = layer(
        "SeparableConv1D", "c", filters=H, kernel_size=[1], groups=1, kernel_initializer="ones", **SHAPE
    )
    shapes = {"depthwise_kernel": (1, D, 1), "pointwise_kernel": (1, D, H), "bias": (H,)}
    save(
        tmp_path / "m.h5",
        {"c": shapes, "l": recurrent_shapes(4, H, H)},
        sequential(convolution, recurrent("LSTM", "l", H)),
    )
    assert interop.load(tmp_path / "m.h5").output_shape == (None, H)


@pytest.mark.parametrize("is_bidirectional", [False, True])
def test_time_major(is_bidirectional, tmp_path):
    inner = recurrent("LSTM", "lstm_1", H, return_sequences=True, time_major=True)
    one = bidirectional(inner, "lstm_1", "sum") if is_bidirectional else inner
    config = functional(
        [(layer("InputLayer", "x", batch_input_shape=[T, 2, D]), []), (one, [["x"]])], ["x"], ["lstm_1"]
    )
    arrays = save(tmp_path / "model.h5", {"lstm_1": both(4, D) if is_bidirectional else LSTM}, config)["lstm_1"]
    x = np.random.default_rng(1).normal(size=(T, 2, D)).astype("float32")
    model = interop.load(tmp_path / "model.h5")
    rows = np.swapaxes(x, 0, 1)
    expected = run_lstm(arrays[:3], rows)
    if is_bidirectional:
        expected += run_lstm(arrays[3:], rows[:, ::-1])[:, ::-1]
    np.testing.assert_allclose(np.swapaxes(model(x), 0, 1), expected, atol=1e-6)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(interop.load(tmp_path / "model.keras")(x), model(x))


def test_stateful_layers_carry_their_state(tmp_path):
    config = sequential(recurrent("LSTM", "lstm_1", H, stateful=True, batch_input_shape=[2, T, D]))
    (arrays,) = save(tmp_path / "model.h5", {"lstm_1": LSTM}, config).values()
    x = np.random.default_rng(1).normal(size=(2, 2 * T, D)).astype("float32")
    model = interop.load(tmp_path / "model.h5")
    model(x[:, :T])
    np.testing.assert_allclose(model(x[:, T:]), run_lstm(arrays, x)[:, -1], atol=1e-6)


# === Reports ===


def test_report_names_every_conversion_and_creates_no_values(tmp_path, monkeypatch):
    config, shapes = FILES["cudnn"]
    save(tmp_path / "model.h5", shapes, config, dtype="float16")
    monkeypatch.setattr(keras.Variable, "_initialize", None)  # called for every value
    report = interop.inspect(tmp_path / "model.h5")
    assert report.kind == "Keras 2 HDF5 file" and report.problems == ()
    assert {entry.change for entry in report.entries} == {
        "cuDNN's blocks transposed in place",
        "cuDNN's blocks transposed",
        "sum of cuDNN's 2 biases",
        "cuDNN's 2 biases as rows",
    }
    assert "9 entries of float16 converted to float32" in str(report)
    assert "cu_dnnlstm_1: LSTM, 128 parameters" in report.layers


def test_one_error_lists_missing_unused_and_misshaped_entries(tmp_path):
    path = tmp_path / "model.h5"
    config, shapes = FILES["lstm"]
    save(path, shapes, config)
    with h5py.File(path, "r+") as file:
        root = file["model_weights"]
        del root["dense_1/dense_1/bias:0"]
        root["lstm_1/lstm_1/peephole:0"] = np.zeros(H, "float32")
        del root["lstm_1/lstm_1/kernel:0"]
        root["lstm_1/lstm_1/kernel:0"] = np.zeros((D + 1, 4 * H), "float32")
    with pytest.raises(ValueError) as error:
        interop.load(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "missing: model_weights/dense_1/dense_1/bias:0;" in message
    assert "unused: model_weights/lstm_1/lstm_1/peephole:0;" in message
    assert "wrong shape: model_weights/lstm_1/lstm_1/kernel:0 (4, 16) instead of (3, 16);" in message
    report = interop.inspect(path)
    assert (len(report.missing), len(report.unused), len(report.misshaped)) == (1, 1, 1)


@pytest.mark.parametrize("units", [10**7, 10**18, 10**30])
def test_sizes_are_checked_before_allocation(units, tmp_path):
    config = sequential(recurrent("LSTM", "lstm_1", units, **SHAPE))
    save(tmp_path / "model.h5", {"lstm_1": LSTM}, config)
    with pytest.raises(ValueError, match=r"model\.h5: "):
        interop.load(tmp_path / "model.h5")


def test_memory_limit(tmp_path):
    config, shapes = FILES["lstm"]
    save(tmp_path / "model.h5", shapes, config)
    limits.set_memory_limit(500)
    try:
        with pytest.raises(
            ValueError, match=r"model\.h5: .*parameters, which take .* more than the limit of 500 bytes"
        ):
            interop.load(tmp_path / "model.h5")
    finally:
        limits.set_memory_limit(None)


def test_certificate_without_tf_keras(tmp_path, monkeypatch):
    monkeypatch.setattr(tf_keras_models, "find_spec", lambda name: None)
    config, shapes = FILES["cudnn"]
    save(tmp_path / "model.h5", shapes, config)
    certificate = interop.verify(interop.load(tmp_path / "model.h5"), tmp_path / "model.h5")
    assert certificate.passed and certificate.reference == "NumPy"
    assert list(certificate.errors) == ["cu_dnnlstm_1", "bidirectional_1"] and certificate.max_abs_error < 1e-6


def test_states_between_layers_and_masks_are_verified(tmp_path, monkeypatch):
    """The reference runs the initial states, the final states, and the mask of a call."""
    monkeypatch.setattr(tf_keras_models, "find_spec", lambda name: None)
    encoder = bidirectional(recurrent("LSTM", "inner", H, return_state=True))
    decoder = recurrent("LSTM", "decoder", H, return_sequences=True, return_state=True)
    config = functional(
        [
            (input_layer("x", T, D), []),
            (layer("InputLayer", "m", batch_input_shape=[None, T], dtype="bool"), []),
            (encoder, [["x"]]),
            (decoder, [["x", ("bidirectional_1", 0, 1), ("bidirectional_1", 0, 4)]]),
        ],
        ["x", "m"],
        ["decoder"],
    )
    config["config"]["layers"][2]["inbound_nodes"] = [[["x", 0, 0, {"mask": ["m", 0, 0]}]]]
    config["config"]["output_layers"] = [["decoder", 0, 0], ["decoder", 0, 2]]
    arrays = save(tmp_path / "m.h5", {"bidirectional_1": both(4, D), "decoder": LSTM}, config)
    model = interop.load(tmp_path / "m.h5")
    certificate = interop.verify(model, tmp_path / "m.h5")
    assert certificate.max_abs_error < 1e-6 and len(certificate.errors) == 2
    x = np.random.default_rng(1).normal(size=(2, T, D)).astype("float32")
    states = [
        run_lstm(arrays["bidirectional_1"][:3], x)[:, -1],
        run_lstm(arrays["bidirectional_1"][3:], x[:, ::-1], with_cell=True),
    ]
    hidden = run_lstm(arrays["decoder"], x, states)
    np.testing.assert_allclose(model([x, np.ones((2, T), bool)])[0], hidden, atol=1e-6)


def test_stateful_models_are_verified_from_zero_states(tmp_path, monkeypatch):
    monkeypatch.setattr(tf_keras_models, "find_spec", lambda name: None)
    shape = {"batch_input_shape": [2, T, D]}
    layers = [recurrent("LSTM", "a", H, stateful=True, return_sequences=True, **shape), recurrent("LSTM", "b", H)]
    save(tmp_path / "m.h5", {"a": LSTM, "b": recurrent_shapes(4, H, H)}, sequential(*layers))
    model = interop.load(tmp_path / "m.h5")
    model(np.ones((2, T, D)))
    before = np.asarray(model.layers[0].states[0])
    assert interop.verify(model, tmp_path / "m.h5").passed
    np.testing.assert_array_equal(model.layers[0].states[0], before)


# === Refused content ===


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


LAMBDA = layer("Lambda", "lambda_1", function=["4wEAAAA=", None, None], function_type="lambda", output_shape=None)
REFUSED = {
    "Lambda": (LAMBDA, "runs code that is stored in the file"),
    "TFOpLambda": (layer("TFOpLambda", "lambda_1", function="math.multiply"), "runs code that is stored in the file"),
    "Unknown": (layer("Unknown", "lambda_1"), "neither one of keras.layers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_code_is_refused_and_replaced_by_a_class_of_the_caller(name, tmp_path):
    refused, reason = REFUSED[name]
    config = sequential(input_layer("x", T, D), refused, recurrent("LSTM", "lstm_1", H))
    (arrays,) = save(tmp_path / "model.h5", {"lstm_1": LSTM}, config).values()
    with pytest.raises(ValueError, match=rf"model\.h5: layer 'lambda_1' \({name}\): .*{reason}.*custom_objects="):
        interop.load(tmp_path / "model.h5")
    model = interop.load(tmp_path / "model.h5", custom_objects={name: Doubled})
    x = np.random.default_rng(1).normal(size=(2, T, D)).astype("float32")
    np.testing.assert_allclose(model(x), run_lstm(arrays, 2 * x)[:, -1], atol=1e-6)


def test_cell_that_is_not_supported_is_replaced_by_a_class_of_the_caller(tmp_path):
    class PlainCell(keras.layers.LSTMCell):
        pass

    cell = layer("Addons>NASCell", "cell", units=H)
    save(tmp_path / "model.h5", {"rnn_1": LSTM}, sequential(layer("RNN", "rnn_1", cell=cell, **SHAPE)))
    model = interop.load(tmp_path / "model.h5", custom_objects={"Addons>NASCell": PlainCell})
    assert model.count_params() == 4 * H * (D + H + 1)


CRAFTED = {"class_name": "function", "module": "keras.utils", "config": "set_random_seed", "registered_name": "x"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"activation": "sine"}, "activation names the function 'sine', .* custom_objects="),
        ({"kernel_initializer": CRAFTED}, "set_random_seed', which is not supported"),
        ({"projection": 3}, "the argument projection=3 does not exist in Keras 3"),
        ({"units": -1}, r"layer 'lstm_1' \(LSTM\): .*-1"),
        ({"batch_input_shape": None}, "the shape of its input is not in the file"),
    ],
    ids=lambda value: None if isinstance(value, dict) else "",
)
def test_refused_arguments_are_named(changes, reason, tmp_path):
    one = recurrent("LSTM", "lstm_1", H, **SHAPE)
    one["config"] |= changes
    config = sequential(one)
    save(tmp_path / "model.h5", {"lstm_1": LSTM}, config)
    with pytest.raises(ValueError, match=rf"model\.h5: .*{reason}"):
        interop.load(tmp_path / "model.h5")


def external_link(file):
    file["model_weights/outside"] = h5py.ExternalLink("/etc/other.h5", "/")


def external_array(file):
    file.create_dataset("model_weights/outside", (3,), "uint8", external=[("/etc/hostname", 0, 3)])


def no_layers(file):
    del file["model_weights"]


def keras_1(file):
    file["model_weights"].attrs["keras_version"] = b"1.2.2"


@pytest.mark.parametrize("change", [external_link, external_array, no_layers, keras_1])
def test_damaged_files_are_named(change, tmp_path):
    config, shapes = FILES["lstm"]
    path = tmp_path / "model.h5"
    save(path, shapes, config)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DamagedFileError, match=rf"^{path}: "):
        interop.load(path)


# === Weights without architecture, JSON, archives ===


def test_weights_into_a_given_model(tmp_path):
    """Names that differ are matched in order; the layout of cuDNN is recognized without architecture."""
    arrays = save(tmp_path / "w.h5", {"cu_dnnlstm_1": recurrent_shapes(4, D, H, (8 * H,)), "d": dense_shapes(H, 2)})
    with pytest.raises(ValueError, match=r"w\.h5: .*weights without an architecture; pass a model .*into="):
        interop.load(tmp_path / "w.h5")
    model = keras.Sequential([keras.Input((T, D)), keras.layers.LSTM(H), keras.layers.Dense(2)])
    assert interop.load(tmp_path / "w.h5", into=model) is model
    bias = arrays["cu_dnnlstm_1"][2]
    np.testing.assert_allclose(model.layers[0].cell.bias, bias[: 4 * H] + bias[4 * H :], atol=1e-6)
    np.testing.assert_array_equal(model.layers[1].kernel, arrays["d"][0])
    other = keras.Sequential([keras.Input((T, D)), keras.layers.LSTM(H + 1), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="wrong shape: cu_dnnlstm_1/cu_dnnlstm_1/kernel:0"):
        interop.load(tmp_path / "w.h5", into=other)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Return a directory with an architecture, weights, both, and the arrays."""
    directory = tmp_path_factory.mktemp("parts")
    config, shapes = FILES["lstm"]
    (directory / "model.json").write_text(json.dumps({**config, "keras_version": "2.2.4", "backend": "tensorflow"}))
    arrays = save(directory / "model_weights.h5", shapes)
    save(directory / "whole.h5", shapes, config)
    return directory, arrays


def zipped(path, *files):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "a model")
        for file in files:
            archive.write(file, f"model/{file.name}")
    return path


@pytest.mark.parametrize("form", ["beside", "pair", "archive of both", "archive of one"])
def test_architecture_and_weights(form, parts, tmp_path):
    directory, arrays = parts
    architecture, weights = directory / "model.json", directory / "model_weights.h5"
    source = {
        "beside": lambda: architecture,
        "pair": lambda: (weights, architecture),
        "archive of both": lambda: zipped(tmp_path / "a.zip", architecture, weights),
        "archive of one": lambda: zipped(tmp_path / "b.zip", directory / "whole.h5"),
    }[form]()
    model = interop.load(source)
    np.testing.assert_array_equal(model.get_layer("dense_1").kernel, arrays["dense_1"][0])


def test_architecture_without_weights_is_refused(parts, tmp_path):
    path = tmp_path / "alone.json"
    path.write_bytes((parts[0] / "model.json").read_bytes())
    with pytest.raises(DamagedFileError, match=r"alone\.json: .*no weights beside it: none of alone\.h5"):
        interop.load(path)


# === Keras 3 ===


def test_weights_of_a_compiled_model(tmp_path):
    """The state of the optimizer and the seeds of dropout are not weights."""
    layers = [keras.Input((T, D)), keras.layers.LSTM(H, dropout=0.1), keras.layers.Dropout(0.1), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.save_weights(tmp_path / "m.weights.h5")
    into = keras.models.clone_model(model)
    into.compile("sgd", "mse")
    interop.load(tmp_path / "m.weights.h5", into=into)
    np.testing.assert_array_equal(into.layers[0].cell.kernel, model.layers[0].cell.kernel)


@pytest.mark.parametrize("form", ["h5", "keras", "zip of keras", "weights.h5"])
def test_files_of_keras_3(form, tmp_path):
    model = keras.Sequential(
        [keras.Input((T, D)), keras.layers.Bidirectional(keras.layers.GRU(H)), keras.layers.Dense(2)]
    )
    x = np.random.default_rng(1).normal(size=(2, T, D)).astype("float32")
    into = keras.models.clone_model(model) if form == "weights.h5" else None
    path = tmp_path / f"model.{form.rpartition(' ')[2]}"
    if form == "weights.h5":
        model.save_weights(path)
    else:
        model.save(path)
    if form == "zip of keras":
        path = zipped(tmp_path / "model.zip", path)
    report = interop.inspect(path, into=into)
    assert report.problems == () and len(report.entries) == 8 and report.kind.startswith("Keras 3 ")
    loaded = interop.load(path, into=into)
    np.testing.assert_array_equal(loaded(x), model(x))
    if form == "h5":
        certificate = interop.verify(loaded, path)
        assert certificate.reference == f"keras {keras.__version__}" and certificate.max_abs_error == 0


def test_bfloat16_is_converted_and_reported(tmp_path):
    layers = [keras.Input((T, D)), keras.layers.GRU(H, name="gru")]
    options = {"dtype": "bfloat16", "recurrent_initializer": "zeros"}  # the default does not support half precision
    model = keras.Sequential([layers[0], keras.layers.GRU(H, name="gru", **options)])
    model.save_weights(tmp_path / "model.weights.h5")
    into = keras.Sequential(layers)
    report = interop.inspect(tmp_path / "model.weights.h5", into=into)
    assert [entry.dtype for entry in report.entries] == ["bfloat16"] * 3
    assert "3 entries of bfloat16 converted to float32." in report.notes
    interop.load(tmp_path / "model.weights.h5", into=into)
    for one, other in zip(into.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other).astype("float32"))


def test_model_of_half_precision(tmp_path):
    config = sequential(recurrent("LSTM", "lstm_1", H, **SHAPE))
    config["config"]["layers"][0]["config"] |= {"dtype": "float16", "recurrent_initializer": "orthogonal"}
    (arrays,) = save(tmp_path / "model.h5", {"lstm_1": LSTM}, config, dtype="float16").values()
    model = interop.load(tmp_path / "model.h5")
    assert model.compute_dtype == "float32" and {one.dtype for one in model.weights} == {"float16"}
    np.testing.assert_allclose(model.weights[2], arrays[2] * np.repeat([1.2, 1.2, 1, 1.2], H), rtol=2e-3)
