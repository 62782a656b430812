"""Configurations name only objects of closed registries."""

import keras
import pytest

from deeprnn_keras import DeepRNN
from deeprnn_keras.initializers import PerGate
from deeprnn_keras.keras_objects import check_config, keras_classes


def function(name):
    module, _, name = name.rpartition(".")
    return {"class_name": "function", "module": module, "config": name, "registered_name": name}


def instance(name, **config):
    module, _, name = name.rpartition(".")
    return {"class_name": name, "module": module, "config": config, "registered_name": None}


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.LSTM(
            3, kernel_regularizer="l2", kernel_constraint="non_neg", recurrent_initializer=PerGate("orthogonal")
        ),
        keras.layers.Bidirectional(keras.layers.GRU(2, activation=keras.activations.relu)),
        keras.layers.RNN([keras.layers.LSTMCell(2), keras.layers.GRUCell(2)], dtype="mixed_float16"),
        DeepRNN(3, 2, activation="relu"),
        DeepRNN(3, cell=keras.layers.GRUCell),
    ],
    ids=lambda layer: layer.name,
)
def test_configurations_of_layers_are_supported(layer):
    check_config(layer.get_config())
    check_config(keras.saving.serialize_keras_object(layer))


@pytest.mark.parametrize("depth", [0, 1, 5])
@pytest.mark.parametrize(
    "reference",
    [
        function("keras.utils.set_random_seed"),
        function("keras.config.set_epsilon"),
        function("keras.activations.deserialize"),
        function("os.system"),
        function("keras.ops.tanh"),
        instance("keras.applications.VGG16"),
        instance("keras.layers.Lambda", function="x"),
        instance("keras.layers.TFSMLayer", filepath="x"),
        instance("keras.utils.get_file", origin="x"),
        instance("keras.callbacks.CSVLogger", filename="x"),
        instance("os.path"),
        function("keras.config.set_epsilon") | {"registered_name": "deeprnn_keras>DeepRNN"},
        {"class_name": "__lambda__", "config": {}},
        {"class_name": 5},
        {"class_name": ["a"]},
        {"class_name": "function", "config": {}},
    ],
    ids=str,
)
def test_other_names_are_refused_wherever_they_are(reference, depth):
    config = {"units": 3, "cell": reference}
    for _ in range(depth):
        config = {"layers": [1, (config,)]}
    with pytest.raises(ValueError, match=r"^config.*\['cell'\] names .* which is not supported"):
        check_config(config)


def test_registered_classes_are_supported():
    @keras.saving.register_keras_serializable(package="test_keras_objects")
    class Custom(keras.layers.Layer):
        pass

    check_config(keras.saving.serialize_keras_object(Custom()))


def test_registry_holds_no_functions():
    for module, name in keras_classes():
        if module is not None and module.startswith("keras.") and not module.startswith("keras.src"):
            found = keras
            for part in [*module.split(".")[1:], name]:
                found = getattr(found, part)
            assert isinstance(found, type), (module, name)
