"""`get_config()` returns plain data that is independent of the layer; files in both formats."""

import copy
import json

import keras
import numpy as np
import pytest
from keras.src.saving.serialization_lib import ObjectSharingScope

from deeprnn_keras import GRU, LSTM, RNN, DeepRNN, LanguageModel, SequenceModel, SimpleRNN
from deeprnn_keras.cells import MLPGateLSTMCell, RHNCell
from deeprnn_keras.initializers import ChronoBias, ForgetBias, PerGate, ScaledIdentity
from deeprnn_keras.keras_objects import plain_config
from deeprnn_keras.layers import DeepInput, DeepOutput, OneHot

OBJECTS = {
    "DeepRNN": lambda: DeepRNN([2, 2], cell=["gru", "lstm"]),
    "cell options": lambda: DeepRNN(2, cell={"name": "mlp_gate_rnn", "gate_units": (np.int64(3), 2)}),
    "cell option with a function": lambda: DeepRNN(2, cell={"name": "rhn", "activation": keras.activations.relu}),
    "regularized": lambda: DeepRNN(2, kernel_regularizer="l2", bias_initializer=ForgetBias(1.0)),
    "NumPy": lambda: DeepRNN(np.int64(2), dropout=np.float32(0.5), seed=np.int64(1)),
    "mixed precision": lambda: DeepRNN(2, dtype="mixed_bfloat16"),
    "DeepOutput": lambda: DeepOutput([2, 2], keras.activations.relu),
    "DeepInput": lambda: DeepInput([2, 2]),
    "OneHot": lambda: OneHot(3),
    "LSTM": lambda: LSTM(2),
    "GRU": lambda: GRU(2),
    "SimpleRNN": lambda: SimpleRNN(2),
    "RNN": lambda: RNN(RHNCell(2)),
    "MLPGateLSTMCell": lambda: MLPGateLSTMCell(2, gate_units=(3, 2)),
    "LanguageModel": lambda: LanguageModel("abc", [2, 2], head_units=(3,), head_activation=keras.activations.relu),
    "SequenceModel": lambda: SequenceModel(3, 2, 2, labels=("no", "yes"), offset=np.ones(3)),
    "ChronoBias": lambda: ChronoBias(10),
    "PerGate": lambda: PerGate("orthogonal"),
    "ScaledIdentity": lambda: ScaledIdentity(),
}
every_object = pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS.keys())


def types(value):
    """Return the types in a configuration."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return {type(value)}.union(*map(types, parts))


@every_object
def test_configuration_is_plain_data(make):
    config = make().get_config()
    assert types(config) <= {dict, list, tuple, str, int, float, bool, type(None)}
    assert copy.deepcopy(config) == config
    json.dumps(config)


@every_object
def test_configuration_is_independent_of_its_object(make):
    made = make()
    before, edited = copy.deepcopy(made.get_config()), made.get_config()
    for value in edited.values():
        if isinstance(value, (dict, list)):
            value.clear()
    assert made.get_config() == before


@every_object
def test_configuration_restores_the_object(make):
    made = make()
    assert type(made).from_config(made.get_config()).get_config() == made.get_config()


def test_plain_config_copies_what_it_keeps():
    original = {"list": [1, {"a": (2, np.float32(0.5))}], "none": None}
    config = plain_config(original)
    assert config == {"list": [1, {"a": (2, 0.5)}], "none": None}
    original["list"][1]["a"] = 0
    assert config["list"][1]["a"] == (2, 0.5)


@pytest.mark.usefixtures("eager")
def test_configuration_has_no_marks_of_shared_objects():
    """Keras sets them by address while it saves or loads a file, also for temporary objects at the same address."""
    shared = keras.initializers.Orthogonal()
    initializers = {"kernel_initializer": shared, "recurrent_initializer": shared, "head_initializer": shared}
    with ObjectSharingScope():
        assert "shared_object_id" in str([keras.saving.serialize_keras_object(shared) for _ in range(2)])
        model = LanguageModel("ab", 2, 2, embedding=2, **initializers)
        configs = [
            model.get_config(),
            model.get_layer("deep_rnn").get_config(),
            DeepOutput([2], kernel_initializer=shared).get_config(),
        ]
    configs.append(model.get_config())
    assert "shared_object_id" not in str(configs)


def test_tuples_among_the_options_of_cells_are_lists_in_configurations(tmp_path):
    layer = DeepRNN(2, cell={"name": "mlp_gate_gru", "gate_units": (3, 2)})
    model = keras.Sequential([keras.Input((4, 3), name="x"), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer(layer.name).get_config() == layer.get_config() == json.loads(json.dumps(layer.get_config()))


STACKS = {
    "DeepRNN": lambda: DeepRNN(2, 2),
    "cell with equations": lambda: DeepRNN(2, cell="rhn"),
    "LSTM": lambda: LSTM(2),
    "DeepOutput": lambda: DeepOutput([2, 2]),
}


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("make", STACKS.values(), ids=STACKS.keys())
def test_model_in_both_formats(make, suffix, rng, tmp_path):
    model = keras.Sequential([keras.Input((4, 3)), make()])
    model.layers[0].trainable = False
    path = tmp_path / f"model{suffix}"
    model.save(path)
    copied = keras.models.load_model(path)
    x = rng.normal(size=(2, 4, 3)).astype("float32")
    np.testing.assert_allclose(copied(x), model(x), atol=1e-6)
    assert not copied.trainable_weights


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("options", [{}, {"save_weights_only": True}], ids=["model", "weights"])
def test_model_checkpoint_in_both_formats(options, suffix, rng, tmp_path):
    if options:
        suffix = ".weights.h5"
    model = keras.Sequential([keras.Input((4, 3)), DeepRNN(2, 2)])
    model.compile("sgd", "mse")
    path, x = tmp_path / f"best{suffix}", rng.normal(size=(2, 4, 3)).astype("float32")
    callback = keras.callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True, **options)
    model.fit(x, x[:, 0, :2], verbose=0, callbacks=[callback])
    assert path.is_file()


@pytest.mark.parametrize("make", [OBJECTS["LanguageModel"], OBJECTS["SequenceModel"]], ids=["language", "sequence"])
def test_complete_model_as_hdf5(make, tmp_path):
    model = make()
    model.save(tmp_path / "model.h5")
    copied = keras.models.load_model(tmp_path / "model.h5")
    assert copied.get_config() == model.get_config()
    for found, expected in zip(copied.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
