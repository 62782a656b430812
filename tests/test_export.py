"""Models exported after training and prediction, loaded by another process that does not import this package."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras import GRU, LSTM, RNN, DeepRNN, SimpleRNN
from deeprnn_keras.cells import RHNCell
from deeprnn_keras.layers import exporting

pytestmark = pytest.mark.slow

T, D, H = 5, 3, 4
LAYERS = {
    "deep_rnn": lambda: DeepRNN(H, 2),
    "lstm": lambda: LSTM(H),
    "gru": lambda: GRU(H),
    "simple_rnn": lambda: SimpleRNN(H),
    "cell_with_equations": lambda: RNN(RHNCell(H, depth=2)),
}
LOADER = """
import sys
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

def run(path, x):
    if path.endswith(".tflite"):
        interpreter = Interpreter(path)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return next(iter(tf.saved_model.load(path).signatures["serving_default"](tf.constant(x)).values())).numpy()

x, *paths = sys.argv[1:]
outputs = {path: run(path, np.load(x)) for path in paths}
assert "deeprnn_keras" not in sys.modules
np.savez(x + ".outputs.npz", **outputs)
"""


def trained_model(*names):
    """Return a model with parallel layers, traced for training and prediction, an input, and its prediction."""
    keras.utils.set_random_seed(0)
    x = keras.Input((None, D))
    outputs = [LAYERS[name]()(x) for name in names]
    model = keras.Model(x, outputs[0] if len(outputs) == 1 else keras.layers.Concatenate()(outputs))
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(1, T, D)).astype("float32")
    for _ in range(2):
        model.train_on_batch(x, np.ones((1, H * len(names))))
    return model, x, model.predict(x, verbose=0)


def traced_function(model, x):
    """Return a `tf.function` of the model that was traced, and compiled, before the export."""
    function = tf.function(lambda x: model(x), input_signature=[tf.TensorSpec(x.shape)])
    function(x)
    return function


def convert_concrete_function(model, x, path):
    concrete = traced_function(model, x).get_concrete_function()
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())


def write_archive(model, x, path):
    """Export a traced function without a signature as an endpoint of an archive."""
    function = tf.function(lambda x: model(x))
    function(tf.constant(x))
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", function)
    archive.write_out(str(path), verbose=False)


class ServingModule(tf.Module):
    """Module with a `tf.function` method."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    @tf.function
    def serve(self, x):
        return self.model(x)


def save_module(model, x, path):
    """Save a module whose method was traced before."""
    module = ServingModule(model)
    module.serve(tf.constant(x))
    tf.saved_model.save(module, str(path), signatures=module.serve.get_concrete_function(tf.TensorSpec(x.shape)))


def convert_keras_model(model, x, path):
    """Convert a Keras model; LiteRT requires static input shapes."""
    static = keras.Sequential([keras.Input(batch_shape=x.shape), model.layers[1]])
    static.predict(x, verbose=0)
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(static).convert())


def save_inside_exporting(model, x, path):
    """Save a function that was traced before, inside `exporting()`, as exporters without a hook require."""
    function = traced_function(model, x)
    with exporting():
        tf.saved_model.save(model, str(path), signatures=function.get_concrete_function())


EXPORTERS = {
    "export": lambda model, x, path: model.export(str(path), verbose=False),
    "save": lambda model, x, path: tf.saved_model.save(model, str(path)),
    "litert.tflite": lambda model, x, path: model.export(
        str(path), format="litert", verbose=False, input_signature=[tf.TensorSpec(x.shape)]
    ),
}
TRACED_FUNCTION_EXPORTERS = {
    "save_function": lambda model, x, path: tf.saved_model.save(model, str(path), signatures=traced_function(model, x)),
    "save_concrete": lambda model, x, path: tf.saved_model.save(
        model, str(path), signatures=traced_function(model, x).get_concrete_function()
    ),
    "archive": write_archive,
    "exporting": save_inside_exporting,
    "module": save_module,
    "keras_model.tflite": convert_keras_model,
    "concrete.tflite": convert_concrete_function,
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Return {exporter: (directory or file, expected outputs, outputs in the other process)}."""
    pytest.importorskip("ai_edge_litert")
    directory, paths, expected = tmp_path_factory.mktemp("exports"), {}, {}
    for exporters, names in ((EXPORTERS, LAYERS), (TRACED_FUNCTION_EXPORTERS, ["deep_rnn"])):
        model, x, y = trained_model(*names)
        for exporter, export in exporters.items():
            paths[exporter], expected[exporter] = directory / exporter, y
            export(model, x, paths[exporter])
        np.testing.assert_allclose(model.predict(x, verbose=0), y, atol=1e-7)
    np.save(directory / "x.npy", x)
    command = [sys.executable, "-c", LOADER, directory / "x.npy", *paths.values()]
    process = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=directory)
    assert process.returncode == 0, process.stderr
    with np.load(directory / "x.npy.outputs.npz") as loaded:
        return {exporter: (path, expected[exporter], loaded[str(path)]) for exporter, path in paths.items()}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_exported_layer_has_the_same_outputs_in_another_process(outputs, exporter, layer):
    _, expected, actual = outputs[exporter]
    start = H * list(LAYERS).index(layer)
    np.testing.assert_allclose(actual[:, start : start + H], expected[:, start : start + H], atol=1e-6)


@pytest.mark.parametrize("exporter", TRACED_FUNCTION_EXPORTERS)
def test_function_traced_before_has_the_same_outputs_in_another_process(outputs, exporter):
    _, expected, actual = outputs[exporter]
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize(
    "exporter", [name for name in EXPORTERS | TRACED_FUNCTION_EXPORTERS if not name.endswith(".tflite")]
)
def test_exported_graph_contains_only_operations_of_tensorflow(outputs, exporter):
    loaded = tf.saved_model.load(str(outputs[exporter][0]))
    for function in [*loaded.signatures.values(), *concrete_functions(loaded)]:
        assert fast_parts(function) == []


def concrete_functions(loaded):
    """Return the concrete functions of the methods of a loaded object."""
    methods = [getattr(loaded, name) for name in ("serve", "__call__") if hasattr(loaded, name)]
    return [one for method in methods if hasattr(method, "concrete_functions") for one in method.concrete_functions]


def fast_parts(function):
    """Return the functions compiled by XLA and the calls of native code in a graph."""
    graph = function.graph.as_graph_def()
    functions = graph.library.function
    nodes = [*graph.node, *(node for part in functions for node in part.node_def)]
    compiled = [part.signature.name for part in functions if part.attr["_XlaMustCompile"].b]
    return compiled + [node.name for node in nodes if "PyFunc" in node.op]


def test_function_has_its_fast_trace_after_an_export():
    model, x, _ = trained_model("deep_rnn")
    function = traced_function(model, x)
    assert fast_parts(function.get_concrete_function())
    with exporting():
        assert not fast_parts(function.get_concrete_function())
    assert fast_parts(function.get_concrete_function())
