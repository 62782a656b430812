"""Runs of `SequenceModel`, from Python and from the command line: files, resuming, and scores against NumPy."""

import csv
import json

import keras
import numpy as np
import pytest
from test_command import deeprnn, error_of

from deeprnn_keras import Recipe, SequenceModel, data, zoo
from deeprnn_keras.data.series import LabeledSeries, SeriesSplit
from deeprnn_keras.tasks import families
from deeprnn_keras.training import GeometricDecay
from deeprnn_keras.training.callbacks import EpochHistory

NAME = "vowels_bigru_2x64"
RNG = np.random.default_rng(0)
CLASSIFICATION = families()["classification"]
SMALL = ["--units", "3", "--layers", "1", "--cell", "rnn", "--epochs", "1", "--batch-size", "20"]


def labeled_series(count, channels=12):
    """Series whose mean is their label, which is easy to learn."""
    targets = RNG.integers(1, 4, size=count)
    series = [
        (RNG.normal(size=(int(length), channels)) * 0.1 + label).astype("float32")
        for label, length in zip(targets, RNG.choice([3, 6], size=count), strict=True)
    ]
    return LabeledSeries(series, targets)


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    """Small data in place of the Japanese vowels."""
    split = SeriesSplit(labeled_series(40), labeled_series(20))
    monkeypatch.setattr(data, "japanese_vowels", lambda: split, raising=False)
    return split


def build_model():
    keras.utils.set_random_seed(0)
    return SequenceModel(12, 3, 6, cell="gru", masks=True, labels=(1, 2, 3), dropout=0.1)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_finished_run_learns_and_saves_its_files(small_data, tmp_path):
    model = build_model()
    run = CLASSIFICATION.train(model, small_data, Recipe("adam", 0.03, batch_size=8, epochs=15), tmp_path / "run")
    assert run.ending == "finished" and run.score["accuracy"] > 0.8
    assert {path.name for path in run.directory.glob("[!.]*")} == {
        "model.keras",
        "model.program.safetensors",
        "history.csv",
        "result.json",
    }
    result = json.loads((run.directory / "result.json").read_text())
    assert result["score"] == run.score and result["updates"] % 15 == 0 and result["num_params"] == model.count_params()
    loaded = keras.models.load_model(run.model_path)
    np.testing.assert_array_equal(
        loaded.predict_labels(small_data.test.series), model.predict_labels(small_data.test.series)
    )
    correct = loaded.predict_labels(small_data.test.series) == small_data.test.targets
    assert run.score == {"accuracy": correct.mean(), "examples": 20}


@pytest.mark.slow
def test_resumed_run_is_bit_identical(small_data, monkeypatch, tmp_path):
    recipe = Recipe("adam", 0.02, batch_size=8, epochs=4)
    uninterrupted = build_model()
    CLASSIFICATION.train(uninterrupted, small_data, recipe, tmp_path / "uninterrupted")

    def interrupt(self, epoch, logs=None, on_epoch_end=EpochHistory.on_epoch_end):
        on_epoch_end(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EpochHistory, "on_epoch_end", interrupt)
        run = CLASSIFICATION.train(build_model(), small_data, recipe, tmp_path / "interrupted")
    assert run.ending == "interrupted" and run.score is None
    resumed = build_model()
    run = CLASSIFICATION.train(resumed, small_data, recipe, tmp_path / "interrupted", resume=True)
    assert run.ending == "finished" and run.resumed_at > 0
    for weight, expected in zip(resumed.get_weights(), uninterrupted.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


FAMILIES = {"classes": "classification", "binary": "classification", "numbers": "regression", "notes": "music"}


@pytest.mark.parametrize("kind", FAMILIES)
def test_scores_match_numpy(kind):
    family = families()[FAMILIES[kind]]
    outputs = {"classes": 3, "binary": 1, "numbers": 2, "notes": 4}[kind]
    model = SequenceModel(2, outputs, 3, kind=kind, masks=kind != "notes")
    assert [other for other in families() if other.accepts(model)] == [family]
    series = [RNG.normal(size=(length, 2)).astype("float32") for length in (3, 5, 1)]
    logits = [np.asarray(model([s[None], np.ones((1, len(s)), bool)] if model.masks else s[None]))[0] for s in series]
    targets = {
        "classes": np.array([0, 2, 1]),
        "binary": np.array([0, 1, 1]),
        "numbers": RNG.normal(size=(3, 2)),
        "notes": [RNG.integers(2, size=(len(steps), 4)) for steps in series],
    }[kind]
    score = family.score(model, LabeledSeries(series, targets))
    if kind == "classes":
        assert score["accuracy"] == np.mean(np.argmax(logits, -1) == targets)
    elif kind == "binary":
        assert score["accuracy"] == np.mean((np.ravel(logits) > 0) == targets)
    elif kind == "numbers":
        assert score["mse"] == pytest.approx(np.mean((np.array(logits) - targets) ** 2), rel=1e-5)
    else:
        nats = [np.log1p(np.exp(z)) - y * z for z, y in zip(logits, targets, strict=True)]
        assert score["nats_per_frame"] == pytest.approx(sum(n.sum() for n in nats) / 9, rel=1e-5)


@pytest.mark.usefixtures("eager")
def test_command_trains_and_reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = deeprnn("train", NAME, *SMALL)
    assert result.exit_code == 0, result.output
    assert "40 training series, 20 test series" in result.stdout and "accuracy" in result.stdout
    assert "its run has finished" in error_of("train", NAME, "--resume", "--output", f"runs/{NAME}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([NAME, "--text", "a.txt"], "are included; leave out --data"),
        (["music_lstm_jsb"], "are not included; pass --data FILE"),
        (["music_lstm_jsb", "--data", "none.mat"], "piano roll file 'none.mat' does not exist"),
        ([NAME, "--publish", "w", "--epochs", "3"], "--publish requires an unmodified run of vowels_bigru_2x64"),
        ([NAME, "--quick", "--bptt", "3"], "does not support --quick, --bptt; leave out --quick, --bptt"),
        (["lstm_seq_mnist", "--data", "none.npz"], "MNIST file 'none.npz' does not exist"),
        (["imdb_bilstm_2x64"], "are not included; in a script, use zoo.create_model"),
        ([NAME, "--units", "0"], "units must be a positive integer"),
    ],
    ids=str,
)
def test_unsupported_arguments_are_errors(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in error_of("train", *arguments)
    assert not (tmp_path / "runs").exists()


def test_every_zoo_corpus_is_a_function_of_the_data_package():
    for name in zoo.list_models():
        corpus = zoo.info(name).corpus
        assert corpus is None or corpus in data.__all__, name


@pytest.mark.slow
def test_validation_data_select_the_epoch(small_data, tmp_path):
    """The learning rate ruins the model in the last epochs, so that the best epoch is an earlier one."""
    split = SeriesSplit(small_data.train, small_data.test, labeled_series(16))
    model = build_model()
    run = CLASSIFICATION.train(
        model, split, Recipe("adam", 0.02, GeometricDecay(1000.0, after=2), batch_size=8, epochs=4), tmp_path / "run"
    )
    with (run.directory / "history.csv").open() as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert np.argmin(losses) < 3, "the last epoch is the best one, so that the test proves nothing"
    validation = model.dataset(split.validation.series, split.validation.targets, 64, shuffle=False)
    assert model.evaluate(validation, verbose=0)[0] == pytest.approx(min(losses), rel=1e-4)
