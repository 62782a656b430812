"""Measurement of two training epochs on the King James Bible, with input pipeline, clipping, and schedule.

Each implementation runs in a new process. A dictionary describes the model and its recipe, and is sent to the process:

    {"name", "vocabulary": characters, "embedding", "units", "num_layers", "cell", "recipe": fields of a `Recipe`}
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

from deeprnn_keras._types import Config
from deeprnn_keras.bench.process import StartWorker, WorkerError
from deeprnn_keras.bench.results import Figures

if TYPE_CHECKING:
    import numpy as np

    from deeprnn_keras.bench.progress import ProgressListener
    from deeprnn_keras.bench.settings import Settings
    from deeprnn_keras.training.recipe import Recipe

EPOCHS = 2
# for estimates of the remaining time
UPDATE_SECONDS = 0.25
START_SECONDS = 15.0


class TextModelConfiguration(Protocol):
    """Configuration of a language model of the zoo; `epoch_config` reads its other fields by name."""

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def recipe(self) -> Recipe:
        """Training recipe."""
        ...


def epoch_config(config: TextModelConfiguration) -> Config:
    """Return the dictionary for a language model of the zoo.

    The model must have an embedding and no dropout, and all its layers the same units and cell.
    """
    names = ("name", "vocabulary", "embedding", "units", "num_layers", "cell")
    return {**{name: getattr(config, name) for name in names}, "recipe": asdict(config.recipe)}


def measure_epoch(name: str, settings: Settings, listener: ProgressListener, start: StartWorker) -> Figures:
    """Return {"epochs_s": [first, second], "updates", "updates_per_epoch", "loss"} of implementation `name`.

    If the worker fails, return {"error": message}.
    """
    if settings.epoch is None:
        raise ValueError("settings.epoch must be a model and its recipe, got None")
    description = f"{settings.epoch['name']}, {EPOCHS} x {settings.epoch_updates} updates at most: {name}"
    listener.begin(description, estimate_epoch_seconds(settings))
    with start(name) as process:
        try:
            return process.request("epoch", config=settings.epoch, updates=settings.epoch_updates, seed=settings.seed)
        except WorkerError as error:
            return {"error": str(error)}


def estimate_epoch_seconds(settings: Settings) -> float:
    """Return the expected duration for one implementation."""
    return START_SECONDS + EPOCHS * settings.epoch_updates * UPDATE_SECONDS


def full_epoch_seconds(figures: Figures) -> list[float]:
    """Return the seconds of the first and second full epoch.

    Updates that were not measured are extrapolated with the speed of the second epoch.
    """
    first, second = figures["epochs_s"]
    missing_updates = figures["updates_per_epoch"] - figures["updates"]
    seconds_per_update = second / figures["updates"]
    return [first + missing_updates * seconds_per_update, second + missing_updates * seconds_per_update]


def training_ids(config: Config) -> list[np.ndarray]:
    """Return the pieces of the training text as arrays of ids in the vocabulary of the model."""
    from deeprnn_keras.data import TextCorpus, Vocabulary, king_james

    corpus = TextCorpus(king_james().text, "King James Bible", Vocabulary(config["vocabulary"]))
    return corpus.encode(corpus.split().train)


def recipe_from_config(config: Config) -> Recipe:
    """Return the `Recipe` in a dictionary, whose schedule must be a `CosineDecay` or None."""
    from deeprnn_keras.training.recipe import Recipe
    from deeprnn_keras.training.schedules import CosineDecay

    values = dict(config["recipe"])
    schedule = values.pop("schedule")
    return Recipe(**values, schedule=schedule and CosineDecay(**schedule))
