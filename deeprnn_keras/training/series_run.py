"""`train_series`: one training of a `SequenceModel` on labelled series, and the files it leaves."""

import platform
import shutil
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from deeprnn_keras.training.callbacks import Checkpoint, EpochTable
from deeprnn_keras.training.device import device_name
from deeprnn_keras.training.files import save_json, save_model, save_table
from deeprnn_keras.training.non_finite import NonFiniteGuard
from deeprnn_keras.training.resume import Resume
from deeprnn_keras.training.run_folder import CHECKPOINTS, open_folder, run_folder

SCORED = 64  # series at once


@dataclass
class SeriesRun:
    """What a training gave.

    Attributes:
        folder: holds model.keras, history.csv and result.json.
        ending: "finished", "interrupted" or "not finite".
        advice: what to change, after "not finite".
        score: {measure: value} on the test series, or None if the run did not finish.
        resumed_at: updates that were done before this run took the training up.
    """

    folder: Path
    ending: str = "finished"
    advice: str | None = None
    score: dict | None = None
    resumed_at: int = 0

    @property
    def model_path(self):
        """Where the model is."""
        return self.folder / "model.keras"


def train_series(model, split, recipe, folder, *, seed=0, console=None, resume=False, settings=None):
    """Trains a `SequenceModel` for the epochs of its recipe, and scores it on the test series.

    Where there are validation series, the model is the one of the epoch with the lowest loss on them; else it is that
    of the last epoch: the test series choose nothing. A training that was broken off, by Ctrl-C or a kill, goes on with
    `resume=True` and ends as if it had not been.

    Args:
        model: a `SequenceModel`; it is compiled with the recipe.
        split: a `SeriesSplit`.
        recipe: a `Recipe`.
        folder: does not exist yet, or is empty; with `resume` that of the training.
        seed: of the order and of what is drawn in training.
        console: a `rich.console.Console` to report to; None: a new one.
        resume: go on with the training in the folder.
        settings: plain values, kept in run.json for whoever resumes.

    Returns:
        A `SeriesRun`.

    Raises:
        ValueError: for a folder in use, series of other channels, or labels that the model does not know.
    """
    import keras
    from rich.console import Console

    folder, console, began = run_folder(folder, resume), console or Console(), time.monotonic()
    keras.utils.set_random_seed(seed)
    data = model.dataset(split.train.series, split.train.answers, recipe.batch_size, seed=seed)
    recipe.compile(model, model.loss_function(), model.metric_functions())
    open_folder(folder, settings)
    run, table = SeriesRun(folder), EpochTable(console)
    _fit(run, model, data, _validation(model, split), recipe, table)
    save_model(model, run.model_path)
    save_table(table.epochs, folder / "history.csv")
    if run.ending == "finished":
        run.score = score_series(model, split.test)
        shutil.rmtree(folder / CHECKPOINTS)
    seconds = round(time.monotonic() - began, 1)
    save_json(_result(run, model, split, recipe, {"seed": seed, "seconds": seconds}), folder / "result.json")
    return run


def _validation(model, split):
    """Batches to choose an epoch by, or None."""
    if split.validation is None:
        return None
    return model.dataset(split.validation.series, split.validation.answers, SCORED, shuffle=False)


def _fit(run, model, data, validation, recipe, table):
    """Trains, and leaves `model` with the weights to keep; how it ended stands in `run`."""
    guard, best = NonFiniteGuard(recipe=recipe), Checkpoint(run.model_path)
    inner = [*recipe.callbacks(data), guard, table, *([] if validation is None else [best])]
    about = {f"recipe, {name}": str(value) for name, value in asdict(recipe).items()}
    kept = Resume(run.folder / CHECKPOINTS, data, inner, about=about)
    epochs = recipe.epochs_for(len(data))
    try:
        model.fit(data, epochs=epochs, validation_data=validation, callbacks=[kept], shuffle=False, verbose=0)
    except KeyboardInterrupt:
        run.ending = "interrupted"
    finally:
        table.close()
    run.resumed_at = kept.resumed_at
    if guard.advice:
        run.ending, run.advice = "not finite", guard.advice
    elif run.ending == "finished" and best.weights is not None:
        model.set_weights(best.weights)


def score_series(model, labelled, batch_size=SCORED):
    """{measure: value} of a `SequenceModel` on series, each counted alike.

    "classes" and "binary": accuracy; "numbers": mean squared error, over all numbers; "notes": nats a frame, over all
    frames.
    """
    if model.kind == "notes":
        return {"nats_per_frame": _nats_per_frame(model, labelled), "pieces": len(labelled)}
    answers = model.predict_labels(labelled.series, batch_size)
    if model.kind == "numbers":
        wanted = np.asarray(labelled.answers).reshape(answers.shape)
        return {"mse": float(np.mean((answers - wanted) ** 2)), "examples": len(labelled)}
    right = np.asarray(answers).ravel() == np.asarray(labelled.answers).ravel()
    return {"accuracy": float(np.mean(right)), "examples": len(labelled)}


def _nats_per_frame(model, labelled):
    nats = frames = 0.0
    for probabilities, notes in zip(model.predict_proba(labelled.series), labelled.answers, strict=True):
        p = np.clip(np.where(notes, probabilities, 1 - probabilities), 1e-12, 1)
        nats, frames = nats - float(np.log(p).sum()), frames + len(notes)
    return nats / frames


def _result(run, model, split, recipe, about):
    return {
        "model": model.name,
        "weights": model.count_params(),
        "data": split.name,
        "train": len(split.train),
        "test": len(split.test),
        "ending": run.ending,
        "score": run.score,
        "recipe": {**asdict(recipe), "schedule": recipe.schedule and str(recipe.schedule)},
        "updates": int(model.optimizer.iterations),
        **about,
        "resumed_at_update": run.resumed_at or None,
        "versions": {name: version(name) for name in ("deeprnn-keras", "keras", "tensorflow")},
        "python": platform.python_version(),
        "device": device_name(),
    }
