"""Trained weights of the zoo: shipped from a training, found by name, verified, and never half loaded."""

import hashlib
import json
from dataclasses import asdict, replace

import keras
import numpy as np
import pytest
from safetensors.numpy import load, save

from deeprnn_keras import zoo
from deeprnn_keras.zoo import registry, trained
from deeprnn_keras.zoo.publish import publish
from deeprnn_keras.zoo.results import STEP_TIME, results_of

SHIPPED = zoo.list_models(pretrained=True)
LIMIT = 25 * 2**20


def run_directory(directory, config, **changes):
    """A directory as a finished training of an entry leaves it; -> its model."""
    model = config.build()
    directory.mkdir()
    model.save(directory / "model.keras")
    recipe = {**asdict(config.recipe), "schedule": config.recipe.schedule and str(config.recipe.schedule)}
    result = {"model": config.name, "weights": config.count_params(), "ending": "finished", "recipe": recipe}
    result |= {"quick": False, "seed": 3, "seconds": 90, "updates": 40, "device": "2 cores", "python": "3.11"}
    result |= {"versions": {"keras": "3.15"}}
    (directory / "result.json").write_text(json.dumps({**result, **changes}))
    (directory / "run.json").write_text(json.dumps({"data": None}))
    (directory / "history.csv").write_text("epoch,loss\n1,0.5\n2,0.25\n")
    return model


@pytest.fixture
def entries(monkeypatch, tmp_path):
    """A zoo of its own, with two small entries, and a directory of weights of its own."""
    monkeypatch.setattr(registry.MODELS, "_entries", dict(registry.MODELS._entries))
    monkeypatch.setattr(trained, "DIRECTORY", tmp_path / "weights")
    text = zoo.info("kjv_lstm_2x256", vocabulary="abc", units=5, embedding=4)
    series = zoo.info("vowels_bigru_2x64", units=3)
    made = [replace(text, name="mine", corpus=None, params=None), replace(series, name="ours", params=None)]
    registry.register(*made)
    return made


@pytest.fixture
def published(entries, tmp_path):
    """The trained model of "mine"."""
    model = run_directory(tmp_path / "run", entries[0])
    publish(tmp_path / "run", trained.DIRECTORY)
    return model


@pytest.mark.parametrize("place", [0, 1], ids=["text", "series"])
def test_weights_come_back_by_name(entries, place, tmp_path):
    config = entries[place]
    assert config.weights is None and config.name not in zoo.list_models(pretrained=True)
    model = run_directory(tmp_path / "run", config)
    made = publish(tmp_path / "run", trained.DIRECTORY)
    assert config.name in zoo.list_models(pretrained=True) and config.weights == made
    loaded = zoo.create_model(config.name, pretrained=True)
    for mine, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs.astype("float16").astype("float32"))
    assert trained.golden_output(loaded, config) == made.golden
    assert (made.seed, made.updates, made.minutes, made.log[1]) == (3, 40, 1.5, {"epoch": 2, "loss": 0.25})
    assert made.command == f"deeprnn train {config.name} --seed 3 --publish zoo/weights"
    assert str(made) in dict(config.card())["trained weights"]


def test_rates_may_change_and_nothing_else(published):
    model = zoo.create_model("mine", pretrained=True, dropout=0.4, learning_rate=1e-4, vocabulary="abc", stateful=True)
    np.testing.assert_array_equal(model.get_weights()[0], published.get_weights()[0].astype("float16"))
    assert zoo.info("mine", dropout=0.4).weights is not None and zoo.info("mine", units=6).weights is None
    with pytest.raises(
        ValueError, match=r"mine belong to another model than units=6 \(theirs: 5\); leave these overrides"
    ):
        zoo.create_model("mine", pretrained=True, units=6)
    with pytest.raises(ValueError, match=r"activation='relu' \(theirs: None\)"):
        zoo.create_model("mine", pretrained=True, activation="relu")
    with pytest.raises(ValueError, match=r"vocabulary='cba' \(theirs: 'abc'\)"):
        zoo.create_model("mine", pretrained=True, vocabulary="cba")


def test_models_without_weights_name_those_that_have(published):
    with pytest.raises(ValueError, match=r"ours has no trained weights; models that have: mine"):
        zoo.create_model("ours", pretrained=True)


def test_a_damaged_file_is_named_by_its_hash(published):
    path = trained.DIRECTORY / "mine.safetensors"
    whole = path.read_bytes()
    for data in (whole[:-3], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        with pytest.raises(
            ValueError, match=rf"is damaged: its SHA-256 is {digest}, and \w{{64}} was written; nothing"
        ):
            zoo.create_model("mine", pretrained=True)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"mine.safetensors' is missing"):
        zoo.create_model("mine", pretrained=True)


def test_weights_of_another_model_are_refused_whole(published):
    """Even with the right hash: nothing is loaded where one shape is wrong."""
    path = trained.DIRECTORY / "mine.safetensors"
    arrays = load(path.read_bytes())
    arrays["head/bias"] = np.zeros(7, "float16")
    path.write_bytes(save(arrays))
    found = replace(trained.read_record("mine"), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    model = zoo.create_model("mine")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"another model: head/bias has shape \(7,\) there and \(3,\) in the model"):
        found.load(model)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_damaged_record_is_named(published):
    path = trained.DIRECTORY / "mine.json"
    path.write_text(path.read_text()[:-9])
    with pytest.raises(ValueError, match=r"mine.json' is damaged"):
        zoo.create_model("mine", pretrained=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ending": "interrupted"}, "ended as 'interrupted'"),
        ({"quick": True}, "shortened by --quick"),
        ({"weights": 3}, "different in architecture"),
        ({"recipe": {}}, "different in optimizer, learning_rate"),
        ({"model": "minee"}, "unknown model 'minee'; did you mean 'mine'"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_only_an_entry_as_it_stands_is_shipped(entries, changes, message, tmp_path):
    run_directory(tmp_path / "run", entries[0], **changes)
    with pytest.raises(ValueError, match=message):
        publish(tmp_path / "run", trained.DIRECTORY)
    assert not trained.DIRECTORY.exists()
    with pytest.raises(ValueError, match="holds no finished run"):
        publish(tmp_path, trained.DIRECTORY)


def test_weights_from_other_data_than_the_entry_s_own_are_not_published(entries, tmp_path):
    config = replace(entries[0], name="other", corpus="king_james")
    registry.register(config)
    run_directory(tmp_path / "run", config)
    (tmp_path / "run" / "run.json").write_text(json.dumps({"data": "/my/text.txt"}))
    with pytest.raises(ValueError, match=r"not that of the unmodified other: different in its data, /my/text.txt"):
        publish(tmp_path / "run", trained.DIRECTORY)


# === What comes with the package ===


def test_all_weights_together_are_small():
    files = list(trained.DIRECTORY.iterdir())
    assert {path.stem for path in files} == set(SHIPPED)
    assert sum(path.stat().st_size for path in files) < LIMIT


@pytest.mark.parametrize("name", SHIPPED)
def test_trained_weights_are_what_their_record_says(name):
    config, made = zoo.info(name), trained.read_record(name)
    keras.utils.set_random_seed(1)
    model = zoo.create_model(name, pretrained=True)
    np.testing.assert_allclose(trained.golden_output(model, config), made.golden, atol=1e-3)
    assert made.seed >= 0 and made.updates > 0 and made.minutes > 0 and {"keras", "tensorflow"} <= made.versions.keys()
    assert all(np.isfinite(list(row.values())).all() for row in made.log) and len(made.log) >= 2
    assert any(result.metric != STEP_TIME for result in results_of(name)), "a figure in results.csv"
