"""Graphs that native code cannot run in: "auto" selects XLA or the loop, and "native" is an error that says why."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from fast_implementations import NATIVE_MISSING
from without_xla import plain_graphs  # noqa: F401 - an autouse fixture

from deeprnn_keras import LSTM, DeepRNN

pytestmark = pytest.mark.skipif(NATIVE_MISSING is not None, reason=str(NATIVE_MISSING))
LAYERS = {
    "LSTM": lambda implementation: LSTM(2, implementation=implementation),
    "DeepRNN": lambda implementation: DeepRNN(2, 2, implementation=implementation),
}
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def build_model(make, implementation, **options):
    model = keras.Sequential([keras.Input((3, 2), batch_size=2), make(implementation)])
    model.compile("sgd", "mse", **options)
    return model


def save(model, path):
    signature = [tf.TensorSpec((2, 3, 2))]
    function = tf.function(lambda x: model(x), input_signature=signature)
    tf.saved_model.save(model, str(path), signatures=function)


EXPORTERS = {
    "export": lambda model, path: model.export(path, verbose=False),
    "litert": lambda model, path: model.export(path / "model.tflite", format="litert", verbose=False),
    "saved_model": save,
}


@each_layer
@pytest.mark.parametrize("exporter", EXPORTERS)
def test_native_code_is_not_exported(tmp_path, make, exporter):
    if exporter == "litert":
        pytest.importorskip("ai_edge_litert.interpreter")
    model = build_model(make, "native")
    x = np.ones((2, 3, 2), "float32")
    before = model.predict_on_batch(x)
    with pytest.raises(ValueError, match=r"implementation='native' is not supported .*exported to a file"):
        EXPORTERS[exporter](model, tmp_path)
    np.testing.assert_array_equal(model.predict_on_batch(x), before)


@each_layer
@pytest.mark.parametrize("method", ["train_on_batch", "predict_on_batch"])
def test_native_code_is_not_compiled(make, method):
    model = build_model(make, "native", jit_compile=True)
    arguments = [np.ones((2, 3, 2), "float32"), np.ones((2, 2))]
    with pytest.raises(ValueError, match=r"implementation='native' is not supported .*jit_compile=True: XLA cannot"):
        getattr(model, method)(*arguments[: 2 if method == "train_on_batch" else 1])


@pytest.mark.parametrize("make", [LAYERS["DeepRNN"], pytest.param(LAYERS["LSTM"], marks=pytest.mark.slow)])
def test_auto_is_compiled_and_equals_native_code(make):
    model, compiled = build_model(make, "native"), build_model(make, "auto", jit_compile=True)
    compiled.set_weights(model.get_weights())
    x, y = np.ones((2, 3, 2), "float32"), np.ones((2, 2), "float32")
    losses = [[each.train_on_batch(x, y) for _ in range(3)] for each in (model, compiled)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
