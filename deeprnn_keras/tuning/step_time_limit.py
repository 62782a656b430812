"""Limit on the duration of training steps, on the data of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deeprnn_keras._types import ArrayLike
from deeprnn_keras.training.step_time import first_batch
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.trial_training import training_data


def enable_step_time_limit(
    hypermodel: keras_tuner.HyperModel, file: Path, x: ArrayLike = None, y: ArrayLike = None, **options: Any
) -> None:
    """Let the hypermodel measure steps on the training data, if its budget limits their duration.

    Args:
        hypermodel: A `HyperDeepRNN`; others have no budget.
        file: File for the measurements; its directory is created.
        x: As in `HyperDeepRNN.fit`.
        y: As in `HyperDeepRNN.fit`.
        **options: Further arguments of `HyperDeepRNN.fit`.
    """
    budget = getattr(hypermodel, "budget", None)
    if x is None or budget is None or budget.max_step_ms is None:
        return
    recipe = hypermodel.config.recipe
    x, y, sample_weight, _ = training_data(x, y, options.get("sample_weight"), options.get("batch_size"), 0, recipe)
    file.parent.mkdir(parents=True, exist_ok=True)
    hypermodel.enable_step_time_limit(first_batch(x, y, sample_weight), file)
