"""Progress bars: every long computation reports its parts, and every bar shows the remaining time."""

import io
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from deeprnn_keras import LanguageModel, SequenceModel, progress
from deeprnn_keras.bench.progress import ProgressBar
from deeprnn_keras.tasks import Family
from deeprnn_keras.training import learning_rate_range_test
from deeprnn_keras.training.callbacks import EpochHistory
from deeprnn_keras.training.progress import Progress

SERIES = [np.ones((3, 2), "float32")] * 5


def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def language_model():
    return LanguageModel("ab", units=2, num_layers=1)


def score_with_keras():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse", run_eagerly=True)
    batches = tf.data.Dataset.from_tensor_slices((np.ones((6, 2)), np.ones((6, 1)))).batch(1)
    Family.score(SimpleNamespace(batches=lambda *_, **__: batches), model, None)


COMPUTATIONS = {
    "score": (lambda: language_model().score("ab" * 900), 1),
    "generate notes": (lambda: SequenceModel(4, 4, units=2, kind="notes").generate(np.zeros((2, 4)), 6), 6),
    "predict labels": (lambda: SequenceModel(2, 3, units=2).predict_labels(SERIES, batch_size=2), 3),
    "score of a family": (score_with_keras, 6),
}


@pytest.fixture
def reports(monkeypatch):
    """List of the (completed, total) that computations report."""
    found = []
    monkeypatch.setattr(progress, "report", lambda *parts: found.append(parts))
    return found


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", COMPUTATIONS)
def test_computation_reports_each_part(name, reports):
    compute, total = COMPUTATIONS[name]
    compute()
    assert reports == [(completed, total) for completed in range(total + 1)]


def test_generation_reports_its_chunks(reports):
    language_model().generate("a", 9)
    assert reports == [(completed, 9) for completed in (0, 1, 3, 7, 9)]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("verbose", [True, False])
def test_range_test_shows_progress_unless_silent(monkeypatch, verbose):
    console = terminal()
    monkeypatch.setattr("deeprnn_keras.training.range_test.Console", lambda quiet: console if not quiet else Console())
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    learning_rate_range_test(model, [(np.ones((2, 2)), np.ones((2, 1)))], high=1e-3, updates=10, verbose=verbose)
    assert ("Range test" in console.file.getvalue() and "10/10" in console.file.getvalue()) == verbose


def test_bar_shows_counts_and_remaining_time():
    console = terminal()
    with progress.shown(console, "Counting", "parts"):
        for _ in progress.tracked("abc", 3):
            with progress.shown(console, "Inner", "parts"):
                pass
    shown = console.file.getvalue()
    assert "Counting" in shown and "3/3" in shown and "parts" in shown and "remaining" in shown and "Inner" not in shown


def test_nothing_is_printed_outside_a_terminal_or_a_bar():
    console = Console(file=io.StringIO())
    with progress.shown(console, "Counting", "parts"):
        assert list(progress.tracked("abc", 3)) == list("abc")
    assert list(progress.tracked("abc", 3)) == list("abc") and console.file.getvalue() == ""


def training_bar(console, create):
    callback = create(console)
    callback.set_params({"steps": 4, "epochs": 3})
    callback.on_train_begin()
    callback.on_epoch_begin(1)
    callback.on_train_batch_end(1, {"loss": 1.0})
    callback.on_train_end()


def bench_bar(console):
    with ProgressBar(console, 60.0).shown() as bar:
        bar.begin("lstm", 3.0)


@pytest.mark.parametrize(
    "show",
    [lambda console: training_bar(console, Progress), lambda console: training_bar(console, EpochHistory), bench_bar],
    ids=["text", "series", "bench"],
)
def test_bars_of_runs_show_remaining_time(show):
    console = terminal()
    show(console)
    assert "remaining" in console.file.getvalue()


@pytest.mark.parametrize("create", [Progress, EpochHistory])
def test_bars_of_training_count_updates_of_all_epochs(create):
    console = terminal()
    training_bar(console, create)
    assert "6/12" in console.file.getvalue()
