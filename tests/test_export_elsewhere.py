"""Models exported after they were traced for training and prediction, read by another process without this package."""

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
    "written_cell": lambda: RNN(RHNCell(H, depth=2)),
}
READER = """
import sys
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

def run(path, x):
    if path.endswith(".tflite"):
        lite = Interpreter(path)
        lite.allocate_tensors()
        lite.set_tensor(lite.get_input_details()[0]["index"], x)
        lite.invoke()
        return lite.get_tensor(lite.get_output_details()[0]["index"])
    return next(iter(tf.saved_model.load(path).signatures["serving_default"](tf.constant(x)).values())).numpy()

x, *paths = sys.argv[1:]
found = {path: run(path, np.load(x)) for path in paths}
assert "deeprnn_keras" not in sys.modules
np.savez(x + ".outputs.npz", **found)
"""


def trained(*names):
    """A model of layers side by side, with traces for training, prediction, and calls."""
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
    """A `tf.function` around the model, and what it traced, compiled, before any export."""
    function = tf.function(lambda x: model(x), input_signature=[tf.TensorSpec(x.shape)])
    function(x)
    return function


def of_concrete_function(model, x, path):
    concrete = traced_function(model, x).get_concrete_function()
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())


def archive(model, x, path):
    """An endpoint that is a traced function without a signature."""
    function = tf.function(lambda x: model(x))
    function(tf.constant(x))
    written = keras.export.ExportArchive()
    written.track(model)
    written.add_endpoint("serve", function)
    written.write_out(str(path), verbose=False)


class Served(tf.Module):
    """A module with a method that was traced before it is saved."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    @tf.function
    def serve(self, x):
        return self.model(x)


def module(model, x, path):
    served = Served(model)
    served.serve(tf.constant(x))
    tf.saved_model.save(served, str(path), signatures=served.serve.get_concrete_function(tf.TensorSpec(x.shape)))


def of_keras_model(model, x, path):
    """This converter takes the shapes of the model's inputs, which LiteRT wants to be known."""
    fixed = keras.Sequential([keras.Input(batch_shape=x.shape), model.layers[1]])
    fixed.predict(x, verbose=0)
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(fixed).convert())


def elsewhere(model, x, path):
    """An exporter that Keras and TensorFlow know nothing of, given a function traced before."""
    function = traced_function(model, x)
    with exporting():
        tf.saved_model.save(model, str(path), signatures=function.get_concrete_function())


WAYS = {
    "export": lambda model, x, path: model.export(str(path), verbose=False),
    "save": lambda model, x, path: tf.saved_model.save(model, str(path)),
    "litert.tflite": lambda model, x, path: model.export(
        str(path), format="litert", verbose=False, input_signature=[tf.TensorSpec(x.shape)]
    ),
}
TRACED_WAYS = {
    "save_function": lambda model, x, path: tf.saved_model.save(model, str(path), signatures=traced_function(model, x)),
    "save_concrete": lambda model, x, path: tf.saved_model.save(
        model, str(path), signatures=traced_function(model, x).get_concrete_function()
    ),
    "archive": archive,
    "exporting": elsewhere,
    "module": module,
    "keras_model.tflite": of_keras_model,
    "concrete.tflite": of_concrete_function,
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """{way: (directory or file, wanted, found by the other process)}"""
    pytest.importorskip("ai_edge_litert")
    directory, paths, wanted = tmp_path_factory.mktemp("exports"), {}, {}
    for ways, names in ((WAYS, LAYERS), (TRACED_WAYS, ["deep_rnn"])):
        model, x, y = trained(*names)
        for way, write in ways.items():
            paths[way], wanted[way] = directory / way, y
            write(model, x, paths[way])
        np.testing.assert_allclose(model.predict(x, verbose=0), y, atol=1e-7)
    np.save(directory / "x.npy", x)
    command = [sys.executable, "-c", READER, directory / "x.npy", *paths.values()]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=directory)
    assert done.returncode == 0, done.stderr
    with np.load(directory / "x.npy.outputs.npz") as found:
        return {way: (path, wanted[way], found[str(path)]) for way, path in paths.items()}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("way", WAYS)
def test_an_exported_layer_gives_the_same_numbers_in_another_process(outputs, way, layer):
    _, wanted, found = outputs[way]
    start = H * list(LAYERS).index(layer)
    np.testing.assert_allclose(found[:, start : start + H], wanted[:, start : start + H], atol=1e-6)


@pytest.mark.parametrize("way", TRACED_WAYS)
def test_a_function_traced_before_gives_the_same_numbers_in_another_process(outputs, way):
    _, wanted, found = outputs[way]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("way", [way for way in WAYS | TRACED_WAYS if not way.endswith(".tflite")])
def test_an_exported_graph_holds_nothing_compiled(outputs, way):
    loaded = tf.saved_model.load(str(outputs[way][0]))
    for function in [*loaded.signatures.values(), *traces_of(loaded)]:
        assert compiled_functions(function) == []


def traces_of(loaded):
    """The concrete functions behind the methods of a loaded object."""
    methods = [getattr(loaded, name) for name in ("serve", "__call__") if hasattr(loaded, name)]
    return [one for method in methods if hasattr(method, "concrete_functions") for one in method.concrete_functions]


def compiled_functions(function):
    """Names of the functions compiled by XLA in a graph."""
    return [f.signature.name for f in function.graph.as_graph_def().library.function if f.attr["_XlaMustCompile"].b]


def test_a_function_keeps_its_compiled_trace_for_use_after_an_export():
    model, x, _ = trained("deep_rnn")
    function = traced_function(model, x)
    assert compiled_functions(function.get_concrete_function())
    with exporting():
        assert not compiled_functions(function.get_concrete_function())
    assert compiled_functions(function.get_concrete_function())
