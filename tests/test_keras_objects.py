"""Configurations name only objects of closed registries."""

import keras
import pytest

from deeprnn_keras import DeepRNN, LanguageModel, _compat, cells, initializers, layers, models, optimizers, training
from deeprnn_keras.initializers import PerGate
from deeprnn_keras.keras_objects import check_config, keras_classes, keras_functions

PACKAGES = (cells, initializers, layers, models, optimizers, training)  # they register all classes


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


def own_classes():
    [getattr(package, name) for package in PACKAGES for name in package.__all__]
    found = keras.saving.get_custom_objects()
    return {name: found[name] for name in sorted(found) if name.startswith("deeprnn_keras>")}


def test_every_class_of_the_package_is_found():
    assert len(own_classes()) >= 25


@pytest.mark.parametrize("name", own_classes())
def test_every_class_of_the_package_refuses_other_names(name):
    crafted = {"name": "x", "inner": [function("keras.utils.set_random_seed")]}
    with pytest.raises(ValueError, match=r"config\['inner'\]\[0\] names 'keras.utils.set_random_seed'"):
        own_classes()[name].from_config(crafted)


@pytest.mark.parametrize("argument", ["activation", "cell", "kernel_initializer", "bias_regularizer"])
def test_arguments_in_configuration_form_refuse_other_names(argument):
    with pytest.raises(ValueError, match=f"{argument} names 'keras.config.set_epsilon'"):
        DeepRNN(3, **{argument: function("keras.config.set_epsilon")})


@pytest.mark.parametrize("cell", [function("keras.activations.relu"), {"cell_class": "add"}, {"cell_class": ["a"]}])
def test_functions_and_layers_of_keras_that_are_no_cells_are_not_called(cell):
    with pytest.raises(ValueError, match="is not registered"):
        DeepRNN(3, cell=cell)


def test_compiled_and_functional_models_are_supported():
    x = keras.Input((None, 3))
    model = keras.Model(x, keras.ops.relu(keras.layers.Dense(2)(x)) + 1)
    model.compile("rmsprop", keras.losses.mean_squared_error, [keras.metrics.binary_accuracy, "mae"])
    check_config(keras.saving.serialize_keras_object(model))
    language_model = LanguageModel("ab", units=2)
    optimizer = optimizers.GuardedAdam(keras.optimizers.schedules.CosineDecay(0.1, 10))
    language_model.compile(optimizer, language_model.loss_function(), [training.Perplexity()])
    check_config(keras.saving.serialize_keras_object(language_model))


def test_unsafe_mode_disables_the_check():
    with _compat.private("keras.src.saving.serialization_lib:SafeModeScope")(False):
        check_config(function("os.system"))
    with pytest.raises(ValueError, match=r"os\.system"):
        check_config(function("os.system"))


def test_registry_of_classes_holds_no_functions():
    assert not keras_functions() & keras_classes()
    for module, name in keras_classes():
        if module is not None and module.startswith("keras.") and not module.startswith("keras.src"):
            found = keras
            for part in [*module.split(".")[1:], name]:
                found = getattr(found, part)
            assert isinstance(found, type), (module, name)
