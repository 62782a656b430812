"""Runs on a text: the files they write, and runs that are interrupted, diverge, or are rejected."""

import csv
import io
import json
import math
import os
import re

import keras
import numpy as np
import pytest
from matplotlib import image
from rich.console import Console

from deeprnn_keras import LanguageModel, Recipe, TextCorpus, token_windows
from deeprnn_keras.models import load_language_model
from deeprnn_keras.tasks import families
from deeprnn_keras.training import GeometricDecay
from deeprnn_keras.training.callbacks import LossHistory
from deeprnn_keras.training.compressors import compressed_bits

WORDS = "in the beginning was a word and then there were many words of all sorts é"
CORPUS = TextCorpus(" ".join(np.random.default_rng(5).choice(WORDS.split(), size=900)), "words.txt")
SMALL = {"learning_rate": 0.01, "batch_size": 16, "bptt": 8}
FILES = ["curve.png", "history.csv", "model.keras", "model.program.safetensors", "result.json"]


def new_model(recipe, seed=0):
    keras.utils.set_random_seed(seed)
    return recipe.compile(
        LanguageModel(CORPUS.vocabulary, units=8, cell="rnn", implementation="loop"), LanguageModel.loss_function()
    )


def run_of(recipe, directory, seed=0, **kwargs):
    return families()["language"].train(
        new_model(recipe, seed), CORPUS, recipe, directory, seed=seed, console=Console(file=io.StringIO()), **kwargs
    )


def history(run):
    with (run.directory / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def result(run):
    return json.loads((run.directory / "result.json").read_text(encoding="utf-8"))


# === A finished run: the learning rate increases after the first epoch, which is therefore the best ===

WORSENING = Recipe(**SMALL, epochs=3, schedule=GeometricDecay(1000.0, after=1))


def worsening(directory):
    """Return the run and its console output."""
    console = Console(file=io.StringIO(), width=120)
    run = families()["language"].train(
        new_model(WORSENING), CORPUS, WORSENING, directory, seed=4, title="a title", console=console
    )
    return run, console.file.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return worsening(tmp_path_factory.mktemp("run") / "new" / "directory")


def test_files_of_a_finished_run(finished):
    run, _ = finished
    assert run.ending == "finished" and run.advice is None
    assert sorted(path.name for path in run.directory.glob("[!.]*")) == [*FILES, "sample.txt"]


def test_program_of_a_finished_run_is_that_of_the_saved_model(finished):
    from deeprnn_keras import Program, lower
    from deeprnn_keras.models import load_model

    run, printed = finished
    program, expected = Program.load(run.program_path), lower(load_model(run.model_path))
    assert program.operations == expected.operations and program.attributes == expected.attributes
    for name, array in expected.weights.items():
        np.testing.assert_array_equal(program.weights[name], array)
    assert "without a program" not in printed


def test_curve_is_a_png(finished):
    path = finished[0].directory / "curve.png"
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    pixels = image.imread(path)
    assert pixels.shape[:2] == (540, 960) and np.std(pixels) > 0.05


def test_history_has_one_row_per_epoch(finished):
    rows = history(finished[0])
    updates = len(token_windows(CORPUS.encode(CORPUS.split().train), 8, 16))
    assert [(int(row["epoch"]), int(row["update"])) for row in rows] == [(k, k * updates) for k in (1, 2, 3)]


def test_console_has_one_row_per_epoch(finished):
    for row in history(finished[0]):
        (line,) = [line for line in finished[1].splitlines() if f"{row['epoch']}/3 " in line]
        assert f"{float(row['validation']):.4f}" in line
        assert f"{float(row['validation']) / math.log(2):.4f}" in line


def test_saved_model_is_from_the_best_epoch(finished):
    run, _ = finished
    losses = [float(row["validation"]) for row in history(run)]
    assert losses[0] == min(losses) < losses[-1]
    loaded = load_language_model(run.directory)
    validation = token_windows(CORPUS.encode(CORPUS.split().validation), 8, 128, shuffle=False)
    assert loaded.evaluate(validation, verbose=0) == pytest.approx(losses[0], rel=1e-5)


def test_result_is_consistent(finished):
    run, _ = finished
    got, held_out = result(run), CORPUS.split().validation
    assert (got["ending"], got["text"], got["characters"]) == ("finished", "words.txt", len(CORPUS))
    assert (got["seed"], got["quick"], got["updates"]) == (4, False, int(history(run)[-1]["update"]))
    assert got["num_params"] == load_language_model(run.directory).count_params()
    assert got["recipe"]["learning_rate"] == 0.01 and "1000" in got["recipe"]["schedule"]
    assert got["validation"]["characters"] == sum(len(piece) - 1 for piece in held_out)
    nats = load_language_model(run.model_path).score(held_out).cross_entropy
    assert got["validation"]["cross_entropy"] == pytest.approx(nats, rel=1e-6)
    assert got["validation"]["perplexity"] == pytest.approx(math.exp(nats), rel=1e-6)
    assert got["validation"]["bits_per_character"] == pytest.approx(nats / math.log(2), rel=1e-6)
    assert got["compressors_bits_per_character"] == dict(compressed_bits("".join(held_out)))
    assert set(got["versions"]) == {"deeprnn-keras", "keras", "tensorflow"}


def test_sample_continues_held_out_text(finished):
    run, _ = finished
    text = (run.directory / "sample.txt").read_text(encoding="utf-8")
    assert text == run.sample + "\n"
    assert run.prompt == CORPUS.split().validation[0][:40] and text.startswith(run.prompt)
    assert len(text) == len(run.prompt) + 400 + 1


@pytest.mark.slow
def test_same_seed_gives_the_same_result(finished, tmp_path):
    runs = [finished[0], worsening(tmp_path / "again")[0]]
    first, second = (load_language_model(run.directory).get_weights() for run in runs)
    for one, two in zip(first, second, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert runs[0].score.nats == pytest.approx(runs[1].score.nats, rel=1e-6)
    assert runs[0].sample == runs[1].sample


@pytest.mark.slow
def test_quick_run_has_no_more_updates_than_the_recipe(tmp_path):
    recipe = Recipe(**SMALL, epochs=2)
    run = run_of(recipe, tmp_path / "run", quick=True)
    updates = 2 * len(token_windows(CORPUS.encode(CORPUS.split().train), 8, 16))
    assert [int(row["update"]) for row in history(run)] == [k * (updates // 4) for k in (1, 2, 3, 4)]
    assert result(run)["quick"] is True


# === Interrupted and diverging runs ===


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("at", [3, 40], ids=["in the first epoch", "in the second epoch"])
def test_interrupted_run_saves_its_weights(tmp_path, monkeypatch, at):
    def interrupt(self, batch, logs=None, on_train_batch_end=LossHistory.on_train_batch_end):
        on_train_batch_end(self, batch, logs)
        if self.update == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(LossHistory, "on_train_batch_end", interrupt)
    recipe = Recipe(**SMALL, epochs=2)
    run = run_of(recipe, tmp_path / "run")
    assert (run.ending, run.score, run.sample) == ("interrupted", None, None)
    assert sorted(path.name for path in run.directory.glob("[!.]*")) == sorted(["checkpoints", *FILES])
    assert (result(run)["ending"], result(run)["updates"], result(run)["validation"]) == ("interrupted", at, None)
    loaded = load_language_model(run.directory)
    assert int(loaded.optimizer.iterations) == at
    for trained, start in zip(loaded.get_weights(), new_model(recipe).get_weights(), strict=True):
        assert np.max(np.abs(trained - start)) > 0


DIVERGING = {
    "at the second update": Recipe("sgd", 3e38, batch_size=16, bptt=8, epochs=2),
    "at the last update": Recipe("sgd", 3e38, batch_size=10_000, bptt=8, epochs=1),
}


@pytest.mark.usefixtures("eager")  # a few updates
@pytest.mark.parametrize("recipe", DIVERGING.values(), ids=DIVERGING)
def test_diverging_run_has_advice_and_finite_weights(tmp_path, recipe):
    run = run_of(recipe, tmp_path / "run")
    assert run.ending == result(run)["ending"] == "not finite"
    assert "learning_rate" in run.advice and "global_clipnorm" in run.advice
    assert all(np.all(np.isfinite(w)) for w in load_language_model(run.directory).get_weights())
    assert run.score is None and not (run.directory / "sample.txt").exists()


@pytest.mark.usefixtures("eager")  # a few updates
def test_advice_is_expressed_in_settings_of_the_recipe(tmp_path):
    """Those of the optimizer differ with sum_over_time=True."""
    recipe = Recipe("sgd", 3e37, global_clipnorm=5.0, sum_over_time=True, batch_size=16, bptt=8)
    run = run_of(recipe, tmp_path / "run")
    assert run.ending == "not finite"
    rate = float(re.search(r"learning_rate, for example to ([\d.e+-]+)", run.advice)[1])
    assert rate < recipe.learning_rate, run.advice
    assert "global_clipnorm from 5 to 1.25" in run.advice


# === Errors before training ===


def non_empty_directory(directory):
    (directory / "notes.txt").write_text("mine")
    return directory, "exists and is not empty"


def file_path(directory):
    (directory / "notes.txt").write_text("mine")
    return directory / "notes.txt", "is a file"


def path_below_a_file(directory):
    return file_path(directory)[0] / "run", "could not be created: .* is a file"


@pytest.mark.parametrize("make", [non_empty_directory, file_path, path_below_a_file], ids=lambda f: f.__name__)
def test_output_is_never_overwritten(tmp_path, make):
    path, reason = make(tmp_path)
    with pytest.raises(ValueError, match=f"output .*{reason}"):
        run_of(Recipe(**SMALL), path)
    assert (tmp_path / "notes.txt").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


def test_output_without_write_permission_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(tmp_path))
    with pytest.raises(ValueError, match=f"not writable: no write permission .*{re.escape(str(tmp_path))}"):
        run_of(Recipe(**SMALL), tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_text_too_short_creates_no_directory(tmp_path):
    with pytest.raises(ValueError, match="at least 101 tokens for one window of length=100"):
        run_of(Recipe(bptt=100), tmp_path / "run")
    assert not (tmp_path / "run").exists()
