"""Presets: a configuration and weights in a directory; damaged presets are rejected."""

import copy
import hashlib
import json
import os

import keras
import numpy as np
import pytest

from deeprnn_keras import zoo
from deeprnn_keras.reading import DamagedFileError
from deeprnn_keras.zoo import trained
from deeprnn_keras.zoo.presets import load_config

NAMES = ["kjv_lstm_2x256", "d2l_rnn_2x32", "zaremba_small", "rhn_ptb", "pascanu_dts_ptb_char", "vowels_bigru_2x64"]


def small(name, **more):
    more |= {"vocabulary": "abc"} if zoo.info(name).task == "language" else {}
    return zoo.info(name, units=4, **({} if "pascanu" in name else {"forget_bias": None}), **more)


@pytest.fixture
def preset(tmp_path):
    config = small("kjv_lstm_2x256", cell=("gru", "lstm"))
    model = config.build()
    zoo.save_preset(model, tmp_path / "preset")
    return config, model, tmp_path / "preset"


@pytest.mark.parametrize("name", NAMES)
def test_preset_round_trip(name, tmp_path):
    config = small(name)
    model = config.build()
    zoo.save_preset(model, tmp_path / "preset", config)
    assert load_config(tmp_path / "preset") == config
    loaded = zoo.create_model(tmp_path / "preset")
    for actual, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)
    x = trained.golden_input(config)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.optimizer is not None and loaded.name == name


def test_preset_with_mixed_cells_has_a_card(preset):
    config, _, directory = preset
    assert zoo.create_model(str(directory)).get_layer("deep_rnn").cells == ["gru", "lstm"]
    card = (directory / "README.md").read_text()
    assert f"{config.count_params():,}" in card and "zoo.create_model" in card
    assert {path.name for path in directory.iterdir()} == {"config.json", "model.safetensors", "README.md"}


def test_damaged_weights_are_rejected(preset):
    _, _, directory = preset
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"model.safetensors: damaged: expected SHA-256 \w{64}, got \w{64}"):
        zoo.create_model(directory)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"model.safetensors' is missing"):
        zoo.create_model(directory)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(format=9), "has format 9; this version reads format 1"),
        (lambda s: s.update(family="image"), "unknown family 'image'"),
        (lambda s: s["config"].update(unit=3), "unknown field 'unit'; did you mean 'units'"),
        (lambda s: s["config"]["recipe"].update(learning_rates=3), "unknown field 'learning_rates'"),
        (lambda s: s["config"]["recipe"]["schedule"].update(kind="os.system"), "unknown schedule 'os.system'"),
        (lambda s: s.pop("config"), "config.json: not the configuration of a model, or damaged: .*'config'"),
    ],
    ids=range(6),
)
def test_damaged_configuration_is_rejected(change, message, preset):
    _, _, directory = preset
    path = directory / "config.json"
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=message):
        zoo.create_model(directory)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"config.json: not a JSON file, or damaged"):
        zoo.create_model(directory)


def test_unsupported_presets_are_rejected(preset, tmp_path):
    config, model, directory = preset
    with pytest.raises(ValueError, match="exists and is not empty"):
        zoo.save_preset(model, directory, config)
    with pytest.raises(ValueError, match="its configuration describes"):
        zoo.save_preset(model, tmp_path / "other", config.replace(units=5))
    del model.configuration
    with pytest.raises(ValueError, match="has no configuration: it was not built from the zoo"):
        zoo.save_preset(model, tmp_path / "other")
    with pytest.raises(ValueError, match="does not fit the overrides"):
        zoo.create_model(directory, units=5)
    assert zoo.create_model(directory, learning_rate=0.5).count_params() == model.count_params()
    with pytest.raises(ValueError, match="unknown model 'kjv_lstm_2x25'"):
        zoo.create_model("kjv_lstm_2x25")


CRAFTED = {"class_name": "function", "module": "keras.utils", "config": "set_random_seed", "registered_name": "x"}
OTHER_VALUES = [None, True, -1, 0, 10**30, 0.5, float("nan"), "", "x", [], [[]], {}, {"name": 5}, CRAFTED]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Return the directory and the configuration of a preset with a schedule."""
    directory = tmp_path_factory.mktemp("stored") / "preset"
    zoo.save_preset(small("kjv_lstm_2x256", cell=("gru", "lstm")).build(), directory)
    return directory, json.loads((directory / "config.json").read_text())


@pytest.mark.parametrize("value", OTHER_VALUES, ids=str)
@pytest.mark.parametrize("part", ["config", "recipe", "schedule", "initialization"])
def test_values_of_other_types_are_refused_or_load(part, value, stored):
    """Every field in turn gets the value: the model loads, for example where None is allowed, or the file is named."""
    directory, whole = stored
    count = 0
    for name in _part(whole, part):
        changed = copy.deepcopy(whole)
        _part(changed, part)[name] = value
        (directory / "config.json").write_text(json.dumps(changed))
        try:
            load_config(directory)
        except DamagedFileError as error:
            assert str(error).startswith(f"{directory / 'config.json'}: ")
            count += 1
    assert count >= len(_part(whole, part)) // 4


def _part(whole, part):
    config = whole["config"]
    places = {"config": config, "recipe": config["recipe"], "initialization": config["initialization"]}
    return places.get(part) or config["recipe"]["schedule"]


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update(activation="relux"),
        lambda config: config.update(cell=CRAFTED),
        lambda config: config.update(vocabulary="a"),
        lambda config: config["initialization"].update(rule="x"),
        lambda config: config["recipe"].update(optimizer_options={"no_such_option": 1}),
        lambda config: config.update(units=60_000),
        lambda config: config.update(num_layers=10**30),
    ],
    ids=range(7),
)
def test_errors_of_the_model_name_the_file(change, preset):
    directory = preset[2]
    path = directory / "config.json"
    stored = json.loads(path.read_text())
    change(stored["config"])
    path.write_text(json.dumps(stored))
    with pytest.raises(DamagedFileError, match=f"^{path}: "):
        zoo.create_model(directory)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: b"xxx",
        lambda data: data.replace(b"F32", b"F99", 1),
        lambda data: data.replace(b'{"', b"{{", 1),
        lambda data: data.replace(b"F32", b"I32"),
    ],
    ids=["cut short", "letters", "type", "header", "integers"],
)
def test_invalid_weights_with_a_valid_hash_load_nothing(damage, preset):
    directory = preset[2]
    weights, path = directory / "model.safetensors", directory / "config.json"
    weights.write_bytes(damage(weights.read_bytes()))
    stored = json.loads(path.read_text())
    stored["sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    path.write_text(json.dumps(stored))
    with pytest.raises(DamagedFileError, match=f"^{weights}: "):
        zoo.create_model(directory)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_pipe_is_not_read(file, preset):
    path = preset[2] / file
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DamagedFileError, match=f"^{path}: not a regular file"):
        zoo.create_model(preset[2])


@pytest.mark.parametrize("policy", ["float64", "float16", "mixed_bfloat16"])
def test_weights_of_every_policy_are_exact(policy, tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = zoo.create_model("d2l_rnn_2x32", units=4)
        zoo.save_preset(model, tmp_path / "preset")
        loaded = zoo.create_model(tmp_path / "preset")
    finally:
        keras.config.set_dtype_policy(before)
    for actual, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)
    if policy == "float64":
        with pytest.raises(DamagedFileError, match="float64, which float32 weights do not represent exactly"):
            zoo.create_model(tmp_path / "preset")


def test_preset_in_the_home_directory(preset, monkeypatch):
    config, _, directory = preset
    monkeypatch.setenv("HOME", str(directory.parent))
    assert zoo.create_model("~/preset").count_params() == config.count_params()
