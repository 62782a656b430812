"""Trained weights of the zoo: published from a run, loaded by name, verified, and loaded completely or not at all."""

import hashlib
import json
from dataclasses import asdict, replace

import keras
import numpy as np
import pytest
from safetensors.numpy import load, save

from deeprnn_keras import lower, zoo
from deeprnn_keras.program.interpreter import run
from deeprnn_keras.program.refusal import refuse
from deeprnn_keras.reading import DamagedFileError
from deeprnn_keras.zoo import registry, trained
from deeprnn_keras.zoo.publish import publish
from deeprnn_keras.zoo.results import STEP_TIME, results_of

PRETRAINED = zoo.list_models(pretrained=True)
SIZE_LIMIT = 25 * 2**20  # bytes


def run_directory(directory, config, **changes):
    """Write the output directory of a finished run of an entry, and return its model."""
    model = config.build()
    directory.mkdir()
    model.save(directory / "model.keras")
    recipe = {**asdict(config.recipe), "schedule": config.recipe.schedule and str(config.recipe.schedule)}
    result = {"model": config.name, "num_params": config.count_params(), "ending": "finished", "recipe": recipe}
    result |= {"quick": False, "seed": 3, "seconds": 90, "updates": 40, "device": "2 cores", "python": "3.11"}
    result |= {"versions": {"keras": "3.15"}}
    (directory / "result.json").write_text(json.dumps({**result, **changes}))
    (directory / "run.json").write_text(json.dumps({"data": None}))
    (directory / "history.csv").write_text("epoch,loss\n1,0.5\n2,0.25\n")
    return model


@pytest.fixture
def entries(monkeypatch, tmp_path):
    """Add two small entries to a copy of the registry, with an empty directory of weights."""
    monkeypatch.setattr(registry.MODELS, "_entries", dict(registry.MODELS._entries))
    monkeypatch.setattr(trained, "DIRECTORY", tmp_path / "weights")
    text = zoo.info("kjv_lstm_2x256", vocabulary="abc", units=5, embedding=4)
    series = zoo.info("vowels_bigru_2x64", units=3)
    configs = [
        replace(text, name="small_text", corpus=None, params=None),
        replace(series, name="small_series", params=None),
    ]
    registry.register(*configs)
    return configs


@pytest.fixture
def published(entries, tmp_path):
    """Publish the weights of "small_text", and return the model."""
    model = run_directory(tmp_path / "run", entries[0])
    publish(tmp_path / "run", trained.DIRECTORY)
    return model


@pytest.mark.parametrize("index", [0, 1], ids=["text", "series"])
def test_published_weights_load_by_name(entries, index, tmp_path):
    config = entries[index]
    assert config.weights is None and config.name not in zoo.list_models(pretrained=True)
    model = run_directory(tmp_path / "run", config)
    record = publish(tmp_path / "run", trained.DIRECTORY)
    assert config.name in zoo.list_models(pretrained=True) and config.weights == record
    loaded = zoo.create_model(config.name, pretrained=True)
    for actual, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected.astype("float16").astype("float32"))
    assert trained.golden_output(loaded, config) == record.golden
    assert (record.seed, record.updates, record.minutes, record.log[1]) == (3, 40, 1.5, {"epoch": 2, "loss": 0.25})
    assert record.command == f"deeprnn train {config.name} --seed 3 --publish zoo/weights"
    assert str(record) in dict(config.card())["trained weights"]


@pytest.mark.parametrize("index", [0, 1], ids=["text", "series"])
def test_published_file_is_that_of_the_program(entries, index, tmp_path, rng):
    config = entries[index]
    if index:
        config = replace(config, name="scaled_series", offset=1.0, scale=0.3)
        registry.register(config)
    run_directory(tmp_path / "run", config)
    publish(tmp_path / "run", trained.DIRECTORY)
    program, model = zoo.load_program(config.name), zoo.create_model(config.name, pretrained=True)
    assert program.operations == lower(model).operations and program.attributes == lower(model).attributes
    x = trained.golden_input(config)
    inputs = x if isinstance(x, np.ndarray) else x[0]
    np.testing.assert_allclose(run(program, [inputs])[0][0], model(x), atol=1e-5)
    stored = load((trained.DIRECTORY / f"{config.name}.safetensors").read_bytes())
    assert stored.keys() - {weight.path for weight in model.weights} == (
        {"standard/offset", "standard/scale"} if index else set()
    )


def test_model_that_cannot_be_lowered_is_published_without_its_program(entries, tmp_path, monkeypatch):
    monkeypatch.setattr("deeprnn_keras.zoo.publish.lower", lambda model: refuse(model.layers[1], "a reason"))
    run_directory(tmp_path / "run", entries[0])
    with pytest.warns(UserWarning, match="small_text is published without its program: layer 'embedding' .*a reason"):
        publish(tmp_path / "run", trained.DIRECTORY)
    assert zoo.create_model("small_text", pretrained=True).vocabulary_size == 3
    with pytest.raises(DamagedFileError, match="contains weights, but no list of operations"):
        zoo.load_program("small_text")


def test_programs_of_models_without_weights_are_refused():
    with pytest.raises(ValueError, match="zaremba_small has no trained weights; models with trained weights: adding_"):
        zoo.load_program("zaremba_small")
    with pytest.raises(ValueError, match="unknown model 'kjv_lstm'; did you mean"):
        zoo.load_program("kjv_lstm")


@pytest.mark.parametrize("name", PRETRAINED)
def test_shipped_file_is_that_of_the_program(name):
    program, config = zoo.load_program(name), zoo.info(name)
    x = trained.golden_input(config)
    (output,), _ = run(program, [x if isinstance(x, np.ndarray) else x[0]])
    golden = trained.read_record(name).golden
    np.testing.assert_allclose(output.reshape(-1, output.shape[-1])[-1, :8], golden, atol=2e-4)


def test_only_fields_that_weights_do_not_depend_on_may_be_overridden(published):
    model = zoo.create_model(
        "small_text", pretrained=True, dropout=0.4, learning_rate=1e-4, vocabulary="abc", stateful=True
    )
    np.testing.assert_array_equal(model.get_weights()[0], published.get_weights()[0].astype("float16"))
    assert zoo.info("small_text", dropout=0.4).weights is not None and zoo.info("small_text", units=6).weights is None
    with pytest.raises(ValueError, match=r"small_text do not fit units=6 \(trained with 5\); remove these overrides"):
        zoo.create_model("small_text", pretrained=True, units=6)
    with pytest.raises(ValueError, match=r"activation='relu' \(trained with None\)"):
        zoo.create_model("small_text", pretrained=True, activation="relu")
    with pytest.raises(ValueError, match=r"vocabulary='cba' \(trained with 'abc'\)"):
        zoo.create_model("small_text", pretrained=True, vocabulary="cba")


def test_error_lists_models_with_trained_weights(published):
    with pytest.raises(
        ValueError, match=r"small_series has no trained weights; models with trained weights: small_text"
    ):
        zoo.create_model("small_series", pretrained=True)


def test_damaged_weight_file_is_rejected_by_its_hash(published):
    path = trained.DIRECTORY / "small_text.safetensors"
    content = path.read_bytes()
    for data in (content[:-3], content[:-1] + bytes([content[-1] ^ 1]), b""):
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        with pytest.raises(
            ValueError, match=rf"safetensors: damaged: expected SHA-256 \w{{64}}, got {digest}; no weights were loaded"
        ):
            zoo.create_model("small_text", pretrained=True)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"small_text.safetensors' is missing"):
        zoo.create_model("small_text", pretrained=True)


def test_weights_of_another_model_are_rejected_before_loading(published):
    """No weight is loaded if the hash matches but one shape does not."""
    path = trained.DIRECTORY / "small_text.safetensors"
    arrays = load(path.read_bytes())
    arrays["head/bias"] = np.zeros(7, "float16")
    path.write_bytes(save(arrays))
    record = replace(trained.read_record("small_text"), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    model = zoo.create_model("small_text")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"another model: expected head/bias of shape \(3,\), got \(7,\)"):
        record.load(model)
    for weight, initial in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, initial)


def test_damaged_record_is_rejected(published):
    path = trained.DIRECTORY / "small_text.json"
    path.write_text(path.read_text()[:-9])
    with pytest.raises(ValueError, match=r"small_text.json: not a JSON file"):
        zoo.create_model("small_text", pretrained=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ending": "interrupted"}, "ended as 'interrupted'"),
        ({"quick": True}, "shortened by --quick"),
        ({"num_params": 3}, "it differs in architecture"),
        ({"recipe": {}}, "it differs in optimizer, learning_rate"),
        ({"model": "small_texts"}, "unknown model 'small_texts'; did you mean 'small_text'"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_only_finished_runs_of_unmodified_entries_are_published(entries, changes, message, tmp_path):
    run_directory(tmp_path / "run", entries[0], **changes)
    with pytest.raises(ValueError, match=message):
        publish(tmp_path / "run", trained.DIRECTORY)
    assert not trained.DIRECTORY.exists()
    with pytest.raises(ValueError, match="does not hold a finished run"):
        publish(tmp_path, trained.DIRECTORY)


def test_run_on_other_data_is_not_published(entries, tmp_path):
    config = replace(entries[0], name="other", corpus="king_james")
    registry.register(config)
    run_directory(tmp_path / "run", config)
    (tmp_path / "run" / "run.json").write_text(json.dumps({"data": "/my/text.txt"}))
    with pytest.raises(ValueError, match=r"not a run of the unmodified other: it differs in data \(/my/text.txt\)"):
        publish(tmp_path / "run", trained.DIRECTORY)


# === Weights in the package ===


def test_total_size_of_weights_is_limited():
    files = list(trained.DIRECTORY.iterdir())
    assert {path.stem for path in files} == set(PRETRAINED)
    assert sum(path.stat().st_size for path in files) < SIZE_LIMIT


@pytest.mark.parametrize("name", PRETRAINED)
def test_trained_weights_match_their_record(name):
    config, record = zoo.info(name), trained.read_record(name)
    keras.utils.set_random_seed(1)
    model = zoo.create_model(name, pretrained=True)
    np.testing.assert_allclose(trained.golden_output(model, config), record.golden, atol=1e-3)
    assert record.seed >= 0 and record.updates > 0 and record.minutes > 0
    assert {"keras", "tensorflow"} <= record.versions.keys()
    assert all(np.isfinite(list(row.values())).all() for row in record.log) and len(record.log) >= 2
    assert any(result.metric != STEP_TIME for result in results_of(name)), "no result in results.csv"
