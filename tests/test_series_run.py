"""Runs of models of series, in Python and by `deeprnn train`: files, resuming, and scores against NumPy."""

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


def labelled(count, channels=12):
    """Series whose label is where they are large: easy to learn."""
    answers = RNG.integers(1, 4, size=count)
    series = [
        (RNG.normal(size=(int(length), channels)) * 0.1 + answer).astype("float32")
        for answer, length in zip(answers, RNG.choice([3, 6], size=count), strict=True)
    ]
    return LabeledSeries(series, answers)


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    """In place of the Japanese vowels."""
    split = SeriesSplit(labelled(40), labelled(20))
    monkeypatch.setattr(data, "japanese_vowels", lambda: split, raising=False)
    return split


def model():
    keras.utils.set_random_seed(0)
    return SequenceModel(12, 3, 6, cell="gru", masks=True, labels=(1, 2, 3), dropout=0.1, implementation="loop")


def test_finished_run_learns_and_leaves_its_files(small_data, tmp_path):
    made = model()
    run = CLASSIFICATION.train(made, small_data, Recipe("adam", 0.03, batch_size=8, epochs=15), tmp_path / "run")
    assert run.ending == "finished" and run.score["accuracy"] > 0.8
    assert {path.name for path in run.directory.iterdir()} == {"model.keras", "history.csv", "result.json"}
    result = json.loads((run.directory / "result.json").read_text())
    assert result["score"] == run.score and result["updates"] % 15 == 0 and result["weights"] == made.count_params()
    loaded = keras.models.load_model(run.model_path)
    np.testing.assert_array_equal(
        loaded.predict_labels(small_data.test.series), made.predict_labels(small_data.test.series)
    )
    right = loaded.predict_labels(small_data.test.series) == small_data.test.targets
    assert run.score == {"accuracy": right.mean(), "examples": 20}


@pytest.mark.slow
def test_resumed_run_is_bit_identical(small_data, monkeypatch, tmp_path):
    recipe = Recipe("adam", 0.02, batch_size=8, epochs=4)
    whole = model()
    CLASSIFICATION.train(whole, small_data, recipe, tmp_path / "whole")

    def interrupt(self, epoch, logs=None, note=EpochHistory.on_epoch_end):
        note(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EpochHistory, "on_epoch_end", interrupt)
        run = CLASSIFICATION.train(model(), small_data, recipe, tmp_path / "cut")
    assert run.ending == "interrupted" and run.score is None
    again = model()
    run = CLASSIFICATION.train(again, small_data, recipe, tmp_path / "cut", resume=True)
    assert run.ending == "finished" and run.resumed_at > 0
    for one, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


FAMILIES = {"classes": "classification", "binary": "classification", "numbers": "regression", "notes": "music"}


@pytest.mark.parametrize("kind", FAMILIES)
def test_scores_are_those_of_numpy(kind):
    family = families()[FAMILIES[kind]]
    outputs = {"classes": 3, "binary": 1, "numbers": 2, "notes": 4}[kind]
    made = SequenceModel(2, outputs, 3, kind=kind, masks=kind != "notes", implementation="loop")
    assert [one for one in families() if one.accepts(made)] == [family]
    series = [RNG.normal(size=(length, 2)).astype("float32") for length in (3, 5, 1)]
    logits = [np.asarray(made([s[None], np.ones((1, len(s)), bool)] if made.masks else s[None]))[0] for s in series]
    answers = {
        "classes": np.array([0, 2, 1]),
        "binary": np.array([0, 1, 1]),
        "numbers": RNG.normal(size=(3, 2)),
        "notes": [RNG.integers(2, size=(len(one), 4)) for one in series],
    }[kind]
    found = family.score(made, LabeledSeries(series, answers))
    if kind == "classes":
        assert found["accuracy"] == np.mean(np.argmax(logits, -1) == answers)
    elif kind == "binary":
        assert found["accuracy"] == np.mean((np.ravel(logits) > 0) == answers)
    elif kind == "numbers":
        assert found["mse"] == pytest.approx(np.mean((np.array(logits) - answers) ** 2), rel=1e-5)
    else:
        nats = [np.log1p(np.exp(z)) - y * z for z, y in zip(logits, answers, strict=True)]
        assert found["nats_per_frame"] == pytest.approx(sum(n.sum() for n in nats) / 9, rel=1e-5)


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = deeprnn("train", NAME, *SMALL)
    assert result.exit_code == 0, result.output
    assert "40 training series, 20 test series" in result.stdout and "accuracy" in result.stdout
    assert "its run has finished" in error_of("train", NAME, "--resume", "--output", f"runs/{NAME}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([NAME, "--text", "a.txt"], "vowels_bigru_2x64 comes with its data (Japanese vowels"),
        (["music_lstm_jsb"], "music_lstm_jsb comes without its data (JSB chorales"),
        (["music_lstm_jsb", "--data", "none.mat"], "piano roll file 'none.mat' does not exist"),
        ([NAME, "--publish", "w", "--epochs", "3"], "--publish saves vowels_bigru_2x64 as it is in the zoo"),
        ([NAME, "--quick", "--bptt", "3"], "do not support --quick, --bptt; leave out --quick, --bptt"),
        (["lstm_seq_mnist", "--data", "none.npz"], "MNIST file 'none.npz' does not exist"),
        (["imdb_bilstm_2x64"], "imdb_bilstm_2x64 comes without its data (IMDB"),
        ([NAME, "--units", "0"], "units must be a positive integer"),
    ],
    ids=str,
)
def test_command_refuses(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in error_of("train", *arguments)
    assert not (tmp_path / "runs").exists()


def test_every_corpus_of_the_zoo_is_a_loader():
    for name in zoo.list_models():
        corpus = zoo.info(name).corpus
        assert corpus is None or corpus in data.__all__, name


@pytest.mark.slow
def test_validation_series_choose_the_epoch(small_data, tmp_path):
    """A rate that ruins the model in its last epochs: kept is the best one, and the test series have no say."""
    split = SeriesSplit(small_data.train, small_data.test, labelled(16))
    made = model()
    run = CLASSIFICATION.train(
        made, split, Recipe("adam", 0.02, GeometricDecay(1000.0, after=2), batch_size=8, epochs=4), tmp_path / "run"
    )
    with (run.directory / "history.csv").open() as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert np.argmin(losses) < 3, "the last epoch is not the best: the test would show nothing"
    validation = made.dataset(split.validation.series, split.validation.targets, 64, shuffle=False)
    assert made.evaluate(validation, verbose=0)[0] == pytest.approx(min(losses), rel=1e-4)
