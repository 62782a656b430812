"""Presets: a configuration and weights in a directory; damaged presets are rejected."""

import json

import numpy as np
import pytest

from deeprnn_keras import zoo
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
