"""Frozen layers: `trainable=False` reaches the layers inside and is kept by files, clones, and presets."""

import keras
import numpy as np
import pytest

from deeprnn_keras import GRU, LSTM, RNN, DeepRNN, LanguageModel, SequenceModel, SimpleRNN, zoo
from deeprnn_keras.cells import RHNCell
from deeprnn_keras.freezing import set_trainable_flags, trainable_flags
from deeprnn_keras.layers import DeepInput, DeepOutput

LAYERS = {
    "DeepRNN": lambda **options: DeepRNN(2, 2, **options),
    "bidirectional": lambda **options: DeepRNN(2, bidirectional=True, **options),
    "cell with equations": lambda **options: DeepRNN(2, cell="rhn", **options),
    "callable cell": lambda **options: DeepRNN(2, cell=keras.layers.GRUCell, **options),
    "stateful": lambda **options: DeepRNN(2, stateful=True, **options),
    "LSTM": lambda **options: LSTM(2, **options),
    "GRU": lambda **options: GRU(2, **options),
    "SimpleRNN": lambda **options: SimpleRNN(2, **options),
    "RNN": lambda **options: RNN(RHNCell(2), **options),
    "DeepInput": lambda **options: DeepInput([2, 2], **options),
    "DeepOutput": lambda **options: DeepOutput([2, 2], **options),
}
MODELS = {
    "LanguageModel": lambda **options: LanguageModel("abc", 2, 2, embedding=2, **options),
    "tied": lambda **options: LanguageModel("abc", 2, embedding=2, tied=True, **options),
    "SequenceModel": lambda **options: SequenceModel(3, 2, units=2, head_units=[2], **options),
}
every_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


def loaded(model, directory):
    model.save(directory / "model.keras")
    return keras.models.load_model(directory / "model.keras")


def nested(layer):
    """Return a model that contains a model that contains a layer."""
    inner = keras.Sequential([keras.Input((4, 3)), layer], name="inner")
    x = keras.Input((4, 3))
    return keras.Model(x, keras.layers.Dense(1)(inner(x)))


def trainable_paths(model):
    """Return the trainable weights by the order of all weights, as names differ between copies."""
    trainable = {id(weight) for weight in model.trainable_weights}
    return [id(weight) in trainable for weight in model.weights]


@every_layer
@pytest.mark.parametrize("built", [False, True])
def test_frozen_layer_has_no_trainable_weights(make, built):
    if built:
        layer = make()
        model = nested(layer)
        layer.trainable = False
    else:
        layer = make(trainable=False)
        model = nested(layer)
    assert not layer.trainable_weights and len(model.trainable_weights) == 2 < len(model.weights)
    layer.trainable = True
    assert len(model.trainable_weights) == len(model.weights)


@every_layer
def test_copies_of_a_frozen_layer_are_frozen(make, tmp_path):
    layer = make()
    model = nested(layer)
    layer.trainable = False
    for copy in (loaded(model, tmp_path), keras.models.clone_model(model)):
        assert trainable_paths(copy) == trainable_paths(model)
        assert len(copy.trainable_weights) == 2


@pytest.mark.usefixtures("eager")
@every_layer
def test_training_leaves_a_frozen_layer_unchanged(make):
    model = nested(make(trainable=False))
    model.compile("sgd", "mse")
    before = model.get_weights()
    x = np.ones((2, 4, 3), "float32")
    model.fit(x, np.zeros(model.compute_output_shape(x.shape)), verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert not any(changed[:-2]) and changed[-1]


@every_model
def test_every_part_of_a_model_can_be_frozen_and_copied(make, tmp_path):
    names = [layer.name for layer in make().layers if layer.weights]
    for path in [*names, "deep_rnn/forward_1"]:
        model = make()
        set_trainable_flags(model, {path: False})
        assert not all(trainable_paths(model))
        for copy in (loaded(model, tmp_path), type(model).from_config(model.get_config())):
            assert trainable_flags(copy) == trainable_flags(model)
            assert trainable_paths(copy) == trainable_paths(model)


@pytest.mark.parametrize("kind", ["LanguageModel", "SequenceModel"])
@pytest.mark.parametrize("name", ["deep_rnn", "head"])
def test_clone_of_a_model(kind, name):
    model = MODELS[kind]()
    model.get_layer(name).trainable = False
    assert trainable_paths(keras.models.clone_model(model)) == trainable_paths(model)


def test_clone_of_a_tied_model_is_rejected_with_the_remedy():
    with pytest.raises(NotImplementedError, match=r"LanguageModel\.from_config"):
        keras.models.clone_model(MODELS["tied"]())


@every_model
def test_frozen_model(make, tmp_path):
    model = make(trainable=False)
    outer = keras.Sequential([model])
    assert not model.trainable_weights and not outer.trainable_weights
    assert not loaded(model, tmp_path).trainable_weights
    model.get_layer("head").trainable = True
    assert (
        trainable_flags(loaded(model, tmp_path))
        == trainable_flags(model)
        == {"head": True} | ({"embedding": True} if hasattr(model.get_layer("head"), "embedding") else {})
    )


def test_one_level_stays_frozen(tmp_path):
    layer = DeepRNN(2, 3)
    layer.recurrent_layers[1].trainable = False  # before it is built
    model = nested(layer)
    expected = [True] * 3 + [False] * 3 + [True] * 5
    for copy in (model, loaded(model, tmp_path), keras.models.clone_model(model)):
        assert trainable_paths(copy) == expected
    assert layer.get_config()["trainable_layers"] == {"forward_2": False}
    assert "trainable_layers" not in DeepRNN(2).get_config()


@pytest.mark.parametrize("whole", [False, True], ids=["one layer", "all layers"])
def test_preset_keeps_frozen_layers(whole, tmp_path):
    model = zoo.create_model("d2l_rnn_2x32", units=2)
    (model if whole else model.get_layer("deep_rnn")).trainable = False
    zoo.save_preset(model, tmp_path / "preset")
    copy = zoo.create_model(tmp_path / "preset")
    assert trainable_paths(copy) == trainable_paths(model)
    assert len(copy.trainable_weights) == (0 if whole else 2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [({"deep_rnn": 0}, "True or False"), ({"deep_run": False}, "'deep_run'"), (["deep_rnn"], "True or False")],
    ids=str,
)
def test_invalid_flags_in_a_configuration_are_rejected(flags, message):
    config = {**MODELS["LanguageModel"]().get_config(), "trainable_layers": flags}
    with pytest.raises(ValueError, match=message):
        LanguageModel.from_config(config)
