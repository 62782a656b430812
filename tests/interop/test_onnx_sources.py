"""ONNX files as Keras models: compared with ONNX Runtime, or with NumPy where it refuses a file."""

import functools
import math

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import D, H, V, classifier, one_layer, random, recurrent_arrays, write

from deeprnn_keras import DeepRNN, interop, limits, lower
from deeprnn_keras.exporters.onnx_file.model import make_model
from deeprnn_keras.exporters.target import Options
from deeprnn_keras.interop.onnx_file import interpreter
from deeprnn_keras.interop.onnx_file.source import NumpyReference, OnnxSource
from deeprnn_keras.interop.onnx_file.stored import looks_like_onnx
from deeprnn_keras.interop.onnx_file.values import Target, Tensor, reshaped
from deeprnn_keras.layers import OneHot
from deeprnn_keras.reading import DamagedFileError

X = random(4, 6, D)


def in_runtime(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


def in_numpy(path, x):
    source = OnnxSource(path)
    outputs = interpreter.run(source.graph, {source.graph.inputs[0].name: x}, source.graph.outputs)
    return list(outputs.values())


def assert_close(actual, expected, atol=2e-6):
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def keras_layout(y, layout=0):
    """Return (n, T, D h) of Y, or (n, D h) of Y_h."""
    if np.ndim(y) == 4:
        y = y if layout else y.transpose(2, 0, 1, 3)
        return y.reshape(*y.shape[:2], -1)
    y = y if layout else y.swapaxes(0, 1)
    return y.reshape(len(y), -1)


@pytest.mark.parametrize("output", ["Y", "Y_h"])
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("operator", "attributes"),
    [("LSTM", {}), ("GRU", {"linear_before_reset": 1}), ("GRU", {}), ("RNN", {})],
    ids=["lstm", "gru", "gru_reset_before", "rnn"],
)
def test_recurrent_nodes(operator, attributes, direction, layout, output, tmp_path):
    path = one_layer(tmp_path / "m.onnx", operator, direction, layout, output=output, **attributes)
    (y,) = in_numpy(path, X if layout else X.swapaxes(0, 1))
    if not layout:
        assert_close(in_runtime(path, X.swapaxes(0, 1))[0], y)
    model = interop.load(path)
    assert_close(model(X), keras_layout(y, layout))
    assert [type(layer) for layer in model.layers if layer.weights] == [DeepRNN]
    assert any("time-major" in note for note in interop.inspect(path).notes) == (not layout)


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Tanh"]}),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"], "linear_before_reset": 1}),
        (
            "LSTM",
            {"activations": ["HardSigmoid", "Relu", "Relu"], "activation_alpha": [1 / 6], "activation_beta": [0.5]},
        ),
        ("GRU", {"activations": ["Sigmoid", "Softsign"]}),
        ("GRU", {"activations": ["Sigmoid", "Affine"], "activation_alpha": [1.0], "activation_beta": [0.0]}),
        ("RNN", {"activations": ["Relu"]}),
        ("RNN", {"activations": ["Elu"], "activation_alpha": [1.0]}),
    ],
)
def test_activations(operator, attributes, tmp_path):
    path = one_layer(tmp_path / "m.onnx", operator, bias=False, **attributes)
    (y,) = in_runtime(path, X.swapaxes(0, 1))
    assert_close(interop.load(path)(X), keras_layout(y))
    assert_close(in_numpy(path, X.swapaxes(0, 1))[0], y)


@pytest.mark.parametrize(
    ("direction", "has_bias", "activations"),
    [("forward", True, ()), ("reverse", False, ()), ("bidirectional", True, ("HardSigmoid", "Relu", "Relu"))],
)
def test_peepholes(direction, has_bias, activations, tmp_path):
    directions = 1 + (direction == "bidirectional")
    arrays = recurrent_arrays("LSTM", D, directions=directions, bias=has_bias) | {"P": random(directions, 3 * H)}
    options = {"activations": activations * directions} if activations else {}
    inputs = ["x", "W", "R", "B" if has_bias else "", "", "", "", "P"]
    nodes = [("LSTM", inputs, ["y"], {"hidden_size": H, "direction": direction, **options})]
    path = write(tmp_path / "m.onnx", nodes, arrays)
    (y,) = in_runtime(path, X.swapaxes(0, 1))
    assert_close(in_numpy(path, X.swapaxes(0, 1))[0], y)
    model = interop.load(path)
    assert_close(model(X), keras_layout(y))
    report = interop.inspect(path)
    assert [entry.source for entry in report.entries] == [name for _ in range(directions) for name in arrays]
    assert report.entries[-1].change.startswith("gates i, o, f to i, f, o")
    assert any("zeros are assigned" in note for note in report.notes) != has_bias
    arrays["P"] = random(directions, 2 * H)
    write(path, nodes, arrays)
    with pytest.raises(
        ValueError, match=r"wrong shape: P has shape \[., 10\], but node 'y' \(LSTM\) requires \[., 15\]"
    ):
        interop.load(path)


def test_classifier_as_pytorch_writes_it(tmp_path):
    path, ids = classifier(tmp_path / "m.onnx"), np.arange(12).reshape(3, 4) % V
    (y,) = in_runtime(path, ids)
    assert_close(in_numpy(path, ids)[0], y)
    model = interop.load(path)
    assert_close(model(ids.astype("int32")), y)
    assert [type(one).__name__ for one in model.layers] == ["InputLayer", "Embedding", "DeepRNN", "Dense", "Activation"]
    stack = model.layers[2]
    assert (stack.units, stack.bidirectional, stack.return_sequences) == ([H, H], True, False)
    report = interop.inspect(path)
    assert [one.target for one in report.entries] == [weight.path for weight in model.weights]
    assert [one.target_shape for one in report.entries] == [tuple(weight.shape) for weight in model.weights]
    assert report.entries[1].change == "transposed, gates i, o, f, c to i, f, c, o"
    assert report.unused == report.missing == report.misshaped == ()
    assert lower(model).num_weights == model.count_params()


LAYERS = {
    "dense, per step": [("MatMul", ["h", "K"], ["a"], {}), ("Add", ["a", "b"], ["y"], {})],
    "dense, flattened": [
        ("Reshape", ["h", "rows"], ["r"], {}),
        ("Gemm", ["r", "K", "b"], ["a"], {"alpha": 0.5, "beta": 2.0}),
        ("Reshape", ["a", "back"], ["y"], {}),
    ],
    "last step": [("Gather", ["h", "minus_1"], ["a"], {"axis": 0}), ("MatMul", ["a", "K"], ["y"], {})],
    "last step, sliced": [
        ("Slice", ["h", "start", "end", "axis0"], ["s"], {}),
        ("Squeeze", ["s", "axis0"], ["a"], {}),
        ("MatMul", ["a", "K"], ["y"], {}),
    ],
    "mean over time": [("ReduceMean", ["h"], ["a"], {"axes": [0], "keepdims": 0}), ("MatMul", ["a", "K"], ["y"], {})],
    "maximum over time": [("ReduceMax", ["h"], ["y"], {"axes": [0], "keepdims": 0})],
    "activations": [
        ("Relu", ["h"], ["a"], {}),
        ("LeakyRelu", ["a"], ["c"], {"alpha": 0.2}),
        ("Elu", ["c"], ["e"], {}),
        ("Sigmoid", ["e"], ["y"], {}),
    ],
    "arithmetic": [
        ("Mul", ["h", "vector"], ["a"], {}),
        ("Sub", ["number", "a"], ["c"], {}),
        ("Div", ["c", "vector"], ["e"], {}),
        ("Add", ["e", "h"], ["y"], {}),
    ],
    "concatenation": [("Tanh", ["h"], ["a"], {}), ("Concat", ["a", "h"], ["y"], {"axis": 2})],
    "normalization": [("LayerNormalization", ["h", "vector", "vector"], ["a"], {}), ("LogSoftmax", ["a"], ["y"], {})],
    "reversed time": [("Slice", ["h", "start", "first", "axis0", "step"], ["y"], {})],
}


@pytest.mark.parametrize("name", LAYERS)
def test_nodes_around_a_recurrence(name, tmp_path):
    constants = recurrent_arrays("LSTM", D) | {"K": random(H, 2), "b": random(2), "minus_1": np.array(-1)}
    constants |= {"rows": np.array([-1, H]), "back": np.array([6, 4, 2]), "start": np.array([-1])}
    constants |= {"end": np.array([2**63 - 1]), "first": np.array([-(2**63) + 1]), "axis0": np.array([0])}
    constants |= {"step": np.array([-1]), "vector": 1 + random(H) ** 2, "number": np.array([0.5], "float32")}
    recurrence = [("LSTM", ["x", "W", "R", "B"], ["Y"], {"hidden_size": H}), ("Squeeze", ["Y", "one"], ["h"], {})]
    nodes = [*recurrence, *LAYERS[name]]
    read = {one for node in nodes for one in node[1]}
    constants = {key: value for key, value in (constants | {"one": np.array([1])}).items() if key in read}
    path = write(tmp_path / "m.onnx", nodes, constants, ("x", [6, 4, D]))
    x = X.swapaxes(0, 1)
    (y,) = in_runtime(path, x)
    assert_close(in_numpy(path, x)[0], y)
    model = interop.load(path)
    assert_close(model(X), y.swapaxes(0, 1) if np.ndim(y) == 3 else y)
    certificate = interop.verify(model, path)
    assert certificate.passed and certificate.input_shape == (4, 6, D) and len(certificate.errors) >= 1
    assert interop.verify(model, NumpyReference(OnnxSource(path).graph, OnnxSource(path).plan)).passed


def test_final_states_of_a_stack(tmp_path):
    """The last of the concatenated states of two layers is that of the upper one."""
    lower_arrays, upper = recurrent_arrays("GRU", D), recurrent_arrays("GRU", H, units=4)
    constants = lower_arrays | {f"{key}2": value for key, value in upper.items()}
    constants |= {"one": np.array([1]), "minus_1": np.array(-1), "K": random(4, 2)}
    nodes = [
        ("GRU", ["x", "W", "R", "B"], ["Y", "h1"], {"hidden_size": H}),
        ("Squeeze", ["Y", "one"], ["y1"], {}),
        ("GRU", ["y1", "W2", "R2", "B2"], ["", "h2"], {"hidden_size": 4}),
        ("MatMul", ["h2", "K"], ["z"], {}),
        ("Squeeze", ["z", "axis"], ["y"], {}),
    ]
    path = write(tmp_path / "m.onnx", nodes, constants | {"axis": np.array([0])})
    model = interop.load(path)
    assert_close(model(X), in_runtime(path, X.swapaxes(0, 1))[0])
    assert model.layers[1].units == [H, 4] and len(model.layers) == 3


@pytest.mark.parametrize(
    "name",
    ["lstm", "gru", "gru_reset_before", "rnn", "peephole_lstm", "bidirectional", "embedding", "one_hot", "last step"],
)
def test_files_of_export_come_back(name, tmp_path):
    keras.utils.set_random_seed(3)
    options = {"activation": ["tanh", "relu"], "return_sequences": True, "implementation": "loop"}
    layer = functools.partial(DeepRNN, H, 2)
    layers = {
        "lstm": lambda: [keras.Input((None, D)), layer(**options)],
        "gru": lambda: [keras.Input((None, D)), layer("gru", **options)],
        "gru_reset_before": lambda: [keras.Input((None, D)), layer("gru", reset_after=False, **options)],
        "rnn": lambda: [keras.Input((None, D)), layer("rnn", **options)],
        "peephole_lstm": lambda: [keras.Input((None, D)), layer("peephole_lstm", bidirectional=True)],
        "bidirectional": lambda: [keras.Input((None, D)), layer(bidirectional=True)],
        "embedding": lambda: [keras.Input((None,), dtype="int32"), keras.layers.Embedding(V, 4), layer(**options)],
        "one_hot": lambda: [keras.Input((None,), dtype="int32"), OneHot(V), layer("rnn", **options)],
        "last step": lambda: [keras.Input((None,), dtype="int32"), keras.layers.Embedding(V, 4), layer("rnn")],
    }[name]()
    model = keras.Sequential([*layers, keras.layers.Dense(2, "softmax")])
    for weight in model.weights:
        if not np.any(weight):
            weight.assign(random(*weight.shape))
    path = tmp_path / "m.onnx"
    path.write_bytes(make_model(lower(model), Options()).SerializeToString())
    loaded = interop.load(path)
    x = X if name not in ("embedding", "one_hot", "last step") else np.arange(12).reshape(3, 4).astype("int32") % V
    assert_close(loaded(x), model(x))
    assert loaded.count_params() == model.count_params()
    assert sum(isinstance(one, DeepRNN) for one in loaded.layers) == 1


# === Weights that are not in the file, or not as they should be ===


def test_missing_extra_and_misshaped_entries_are_one_error(tmp_path):
    path = classifier(tmp_path / "m.onnx", R1=None, W2=random(2, 4 * H, 3), extra=random(2))
    with pytest.raises(ValueError) as error:
        interop.load(path)
    for text in ("m.onnx", "missing: R1", "unused: extra", f"W2 has shape {[2, 4 * H, 3]}", str([2, 4 * H, 2 * H])):
        assert text in str(error.value)
    report = interop.inspect(path)
    assert report.unused == ("extra",) and len(report.missing) == len(report.misshaped) == 1


def test_into_a_model(tmp_path):
    path = one_layer(tmp_path / "m.onnx", "LSTM", "bidirectional")
    layer = DeepRNN(H, bidirectional=True, return_sequences=True)
    layer.build((None, None, D))
    assert interop.load(path, into=layer) is layer
    assert_close(layer(X), interop.load(path)(X))
    other = DeepRNN(H, cell="gru")
    other.build((None, None, D))
    with pytest.raises(
        ValueError, match=r"m\.onnx: the weights do not fit .*forward_1/lstm_cell/kernel \[3, 20\] for .*for no weight"
    ):
        interop.load(path, into=other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "relu"}, "has activation=relu, the file tanh"),
        ({"recurrent_activation": "tanh"}, "has recurrent_activation=tanh, the file sigmoid"),
        ({"go_backwards": True}, "has go_backwards=True, the file False"),
    ],
)
def test_into_a_model_that_computes_something_else(options, message, tmp_path):
    path = one_layer(tmp_path / "m.onnx", "LSTM", "forward")
    layer = DeepRNN(H, return_sequences=True, **options)
    layer.build((None, None, D))
    before = layer.get_weights()
    with pytest.raises(ValueError, match=rf"m\.onnx: into 'deep_rnn.*{message}"):
        interop.load(path, into=layer)
    keras.tree.map_structure(np.testing.assert_array_equal, layer.get_weights(), before)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_become_float32(dtype, tmp_path):
    arrays = recurrent_arrays("GRU", D)
    kinds = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16, "float64": TensorProto.DOUBLE}
    tensors = {
        name: helper.make_tensor(name, kinds[dtype], array.shape, array.ravel().tolist())
        for name, array in arrays.items()
    }
    nodes = [("GRU", ["x", "W", "R", "B"], ["y"], {"hidden_size": H})]
    path = write(tmp_path / "m.onnx", nodes, tensors, dtype=kinds[dtype])
    report = interop.inspect(path)
    assert [one.dtype for one in report.entries] == [dtype] * 3
    assert f"3 entries of {dtype} converted to float32." in report.notes
    model = interop.load(path)
    rounded = numpy_helper.to_array(tensors["W"]).astype("float32")[0].T
    assert_close(model.layers[1].get_weights()[0], rounded, 0)
    certificate = interop.verify(model, path)
    assert certificate.passed and certificate.reference == "NumPy"


def with_external_data(directory, location, offset=0, length=None):
    """Write a file whose R is in another file, and that file."""
    arrays = recurrent_arrays("RNN", D)
    data = arrays["R"].tobytes()
    (directory / "data.bin").write_bytes(b"x" * 16 + data)
    tensor = TensorProto(name="R", data_type=TensorProto.FLOAT, dims=arrays["R"].shape)
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": str(offset), "length": str(len(data) if length is None else length)}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    nodes = [("RNN", ["x", "W", "R", "B"], ["y"], {"hidden_size": H})]
    return write(directory / "m.onnx", nodes, arrays | {"R": tensor}), arrays["R"]


def test_external_data_inside_the_directory(tmp_path):
    path, r = with_external_data(tmp_path, "data.bin", 16)
    assert_close(interop.load(path).layers[1].get_weights()[1], r[0].T, 0)
    assert interop.verify(interop.load(path), path).reference.startswith("onnxruntime")


@pytest.mark.parametrize("location", ["../data.bin", "/etc/hostname", "a/../../data.bin", "link", "C:\\data.bin", ""])
def test_external_data_outside_the_directory(location, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "data.bin").write_bytes(b"0" * 200)
    (tmp_path / "files" / "link").symlink_to(tmp_path / "data.bin")
    path, _ = with_external_data(tmp_path / "files", location)
    with pytest.raises(
        DamagedFileError, match=r"m\.onnx: .*external data of tensor 'R': .* is not inside the directory"
    ):
        interop.load(path)


@pytest.mark.parametrize(
    ("offset", "length", "reason"),
    [(16, 200, "bytes 16 to 216 of 'data.bin', which has 116"), (0, 4, "has 4 bytes of data instead of 100")],
)
def test_external_data_of_another_size(offset, length, reason, tmp_path):
    path, _ = with_external_data(tmp_path, "data.bin", offset, length)
    with pytest.raises(DamagedFileError, match=reason):
        interop.load(path)


@pytest.mark.skipif(not hasattr(__import__("os"), "mkfifo"), reason="named pipes")
def test_external_data_in_a_pipe(tmp_path):
    path, _ = with_external_data(tmp_path, "pipe")
    __import__("os").mkfifo(tmp_path / "pipe")
    with pytest.raises(DamagedFileError, match="'pipe' is not a regular file"):
        interop.load(path)


def test_sizes_beyond_the_memory_are_refused_before_allocation(tmp_path):
    path = one_layer(tmp_path / "m.onnx", "LSTM")
    limits.set_memory_limit("100")
    try:
        with pytest.raises(
            ValueError, match=r"m\.onnx: .*the graph has 200 parameters, which take 800 bytes, more than the limit"
        ):
            interop.load(path)
    finally:
        limits.set_memory_limit(None)
    model = onnx.load(path)
    model.graph.initializer[0].dims[2] = 2**40
    onnx.save(model, path)
    with pytest.raises(ValueError, match=r"m\.onnx: .*the graph has .* parameters, which take .* more than the limit"):
        interop.load(path)
    nodes = [("ConstantOfShape", ["shape"], ["W"], {}), ("RNN", ["x", "W", "W"], ["y"], {"hidden_size": H})]
    path = write(tmp_path / "c.onnx", nodes, {"shape": np.array([1, 2**40, D])})
    with pytest.raises(ValueError, match=r"W 'W' must be a floating-point constant"):
        interop.load(path)


# === Graphs that are not supported ===

LSTM = ("LSTM", ["x", "W", "R", "B"], ["y"], {"hidden_size": H})


def lstm(inputs=(), **attributes):
    return ("LSTM", ["x", "W", "R", "B", *inputs], ["y"], {"hidden_size": H, **attributes})


REFUSED = {
    "clip": ([lstm(clip=1.0)], r"node 'y' \(LSTM\): clip=1 is not supported"),
    "coupled": ([lstm(input_forget=1)], r"input_forget=1 \(coupled gates\) is not supported"),
    "lengths": ([lstm(["state"])], "sequence_lens 'state' is not supported; export without lengths"),
    "initial state": ([lstm(["", "state"])], "initial_h 'state' is not zero; supported are zero states"),
    "initial constant": ([lstm(["", "", "constant"])], "initial_c 'constant' is not zero"),
    "peepholes": ([lstm(["", "", "", "state"])], "P 'state' must be a floating-point constant of the file"),
    "direction": ([lstm(direction="sideways")], "direction must be one of"),
    "hidden_size": ([lstm(hidden_size=0)], "hidden_size must be a positive integer, got 0"),
    "activation": (
        [lstm(activations=["LeakyRelu", "Tanh", "Tanh"])],
        r"activation leakyrelu\(0.01,\) is not supported",
    ),
    "output": ([lstm(activations=["Sigmoid", "Tanh", "Relu"])], "candidate and output are not supported"),
    "unknown": ([lstm(activations=["Sigmoid", "Tanh", "Sine"])], "activation 'Sine' is not supported"),
    "number": ([lstm(activations=["Sigmoid"])], "3 activations expected"),
    "operator": (
        [LSTM, ("Conv", ["y", "W"], ["z"], {})],
        r"node 'z' \(Conv\): the operator is not supported; supported",
    ),
    "unknown value": ([("Relu", ["nothing"], ["y"], {})], r"missing: nothing, read by node 'y' .Relu."),
    "order": ([("Relu", ["z"], ["y"], {}), ("Relu", ["x"], ["z"], {})], "value 'z' is computed by a later node"),
    "axes": ([("Transpose", ["x"], ["t"], {"perm": [2, 0, 1]}), ("LSTM", ["t", "W", "R"], ["y"], {})], "has the axes"),
    "product of features that are not last": (
        [("Transpose", ["x"], ["t"], {"perm": [0, 2, 1]}), ("Gemm", ["t", "shape2"], ["y"], {})],
        "features must be last",
    ),
    "reshape": (
        [LSTM, ("Reshape", ["y", "shape"], ["z"], {})],
        r"reshaping \(T, 1, n, f\) to \[3, 7\] is not supported",
    ),
    "cell state": (
        [("LSTM", ["x", "W", "R"], ["", "", "c"], {"hidden_size": H}), ("Relu", ["c"], ["y"], {})],
        "last cell",
    ),
    "constant": ([("Identity", ["W"], ["y"], {})], "output 'y' does not depend on the inputs"),
    "constant loop": (
        [("Identity", ["x"], ["y"], {}), ("Identity", ["x"], ["y"], {})],
        "another node returns 'y', too",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_graphs_name_the_file_and_the_node(name, tmp_path):
    nodes, reason = REFUSED[name]
    constants = recurrent_arrays("LSTM", D) | {
        "constant": random(1, 1, H),
        "shape": np.array([3, 7]),
        "shape2": random(D, 2),
    }
    path = write(tmp_path / "m.onnx", nodes, constants, inputs=["state"], outputs=nodes[-1][2][-1:])
    with pytest.raises(ValueError, match=rf"m\.onnx: .*{reason}"):
        interop.load(path)


def test_zero_peepholes_and_zero_states_are_supported(tmp_path):
    constants = recurrent_arrays("LSTM", D) | {
        "zeros": np.zeros((1, 4, H), "float32"),
        "p": np.zeros((1, 3 * H), "float32"),
    }
    path = write(tmp_path / "m.onnx", [lstm(["", "zeros", "zeros", "p"])], constants)
    assert_close(interop.load(path)(X), keras_layout(in_runtime(path, X.swapaxes(0, 1))[0]))


def test_peepholes_and_coupled_gates_of_the_interpreter(tmp_path):
    constants = recurrent_arrays("LSTM", D) | {"p": random(1, 3 * H), "h": random(1, 4, H), "c": random(1, 4, H)}
    path = tmp_path / "m.onnx"
    write(path, [lstm(["", "h", "c", "p"])], constants)
    from deeprnn_keras.interop.onnx_file.stored import read_graph

    graph, x = read_graph(path), X.swapaxes(0, 1)
    assert_close(interpreter.run(graph, {"x": x}, ["y"])["y"], in_runtime(path, x)[0])


def test_arguments_without_effect(tmp_path):
    path = one_layer(tmp_path / "m.onnx", "RNN")
    with pytest.raises(ValueError, match="activation='relu' has no effect: an ONNX file states it"):
        interop.load(path, activation="relu")
    with pytest.raises(ValueError, match="return_sequences=False has no effect"):
        interop.load(path, return_sequences=False)


def test_content_is_recognized_whatever_the_name_is(tmp_path):
    path = one_layer(tmp_path / "m.onnx", "RNN")
    other = path.rename(tmp_path / "weights.bin")
    assert interop.inspect(other).kind == "ONNX file"
    fake = tmp_path / "fake.onnx"
    fake.write_text("no ONNX file")
    with pytest.raises(ValueError, match=r"fake\.onnx, whose content is of none of these kinds"):
        interop.load(fake)


@pytest.mark.parametrize(
    ("axes", "target", "expected"),
    [
        (("T", "n", "D", "f"), ("T", "n", -1), ("T", "n", "f")),
        (("T", "n", "D", "f"), ("T", "n", 10), ("T", "n", "f")),
        (("T", "1", "n", "f"), (-1, None, 10), ("T", "n", "f")),
        (("n", "T", "f"), (-1, 10), ("n*T", "f")),
        (("n*T", "f"), ("n", "T", 10), ("n", "T", "f")),
        (("n*T", "f"), (4, -1, 10), ("n", "T", "f")),
        (("n", "f"), ("n", 1, 10), ("n", "1", "f")),
        (("T", "n", "f"), ("n", "T", 10), None),
        (("n", "T", "f"), ("n", -1), None),
        (("T", "n", "D", "f"), ("T", "n", 5, 2), None),
    ],
)
def test_reshaped_axes(axes, target, expected):
    assert reshaped(Tensor("a", axes, 10), Target(target, {"n": 4})) == expected


def test_time_steps_of_long_sequences_equal_the_runtime(tmp_path):
    path = one_layer(tmp_path / "m.onnx", "GRU", linear_before_reset=1)
    certificate = interop.verify(interop.load(path), path, steps=1000, batch_size=1)
    assert certificate.input_shape == (1, 1000, D) and certificate.max_abs_error < 1e-5
    assert math.isfinite(certificate.max_abs_error)


def test_content_is_recognized_wherever_the_beginning_of_a_file_ends(tmp_path):
    nodes = [("MatMul", ["x", "K"], ["y"], {})]
    data = write(tmp_path / "m.onnx", nodes, {"K": random(D, H)}).read_bytes()
    recognized = [looks_like_onnx(data[:length], len(data)) for length in range(len(data) + 1)]
    graph = recognized.index(True)  # from the length of the graph on
    assert graph < 40 and all(recognized[graph:])
    assert not looks_like_onnx(data[:-1], len(data) - 1) and not looks_like_onnx(data + b"\xff", len(data) + 1)
