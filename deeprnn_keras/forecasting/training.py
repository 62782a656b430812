"""Training of the network of a forecaster with `model.fit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import keras

from deeprnn_keras._types import PathLike
from deeprnn_keras.forecasting.likelihoods import Likelihood
from deeprnn_keras.training.callbacks import EpochHistory
from deeprnn_keras.training.non_finite import NonFiniteGuard
from deeprnn_keras.training.recipe import Recipe
from deeprnn_keras.training.resume import Resume

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.data.batches import Batches


def train(
    model: keras.Model,
    likelihood: Likelihood,
    recipe: Recipe,
    data: Batches,
    validation: Batches | None,
    *,
    patience: int | None,
    callbacks: Sequence[keras.callbacks.Callback],
    resume: PathLike | None,
    console: Console | None,
    verbose: bool,
) -> dict[str, list[float]]:
    """Fit a model and return the metrics by epoch.

    With validation data, the model ends with the weights of its best epoch.

    Args:
        model: The network; it is compiled with the recipe.
        likelihood: The loss.
        recipe: Optimizer and number of epochs.
        data: Training batches.
        validation: Validation batches, or None.
        patience: Epochs without improvement after which training stops; None for no limit.
        callbacks: Additional callbacks.
        resume: Directory of checkpoints, or None.
        console: Console of the progress bar; None creates one.
        verbose: If True, show the progress bar.

    Raises:
        ValueError: If the loss is not finite; the message has the advice of `NonFiniteGuard`.
    """
    model, own = recipe.prepare(model, likelihood, data)
    guard = next(callback for callback in own if isinstance(callback, NonFiniteGuard))
    if validation is not None:
        own.append(
            keras.callbacks.EarlyStopping(
                "val_loss", patience=recipe.epochs if patience is None else patience, restore_best_weights=True
            )
        )
    bar = [EpochHistory(_console(console))] if verbose else []
    stateful = [*own, *bar, *callbacks]
    about = {f"recipe, {name}": str(value) for name, value in asdict(recipe).items()}
    used = stateful if resume is None else [Resume(resume, data, stateful, about=about)]
    try:
        history = model.fit(
            data, epochs=recipe.epochs, validation_data=validation, callbacks=used, shuffle=False, verbose=0
        )
    finally:
        for one in bar:
            one.close()
    if guard.advice is not None:
        raise ValueError(f"training stopped because the loss or a gradient was not finite: {guard.advice}")
    return {name: [float(value) for value in values] for name, values in history.history.items()}


def _console(console: Console | None) -> Console:
    from rich.console import Console

    return Console() if console is None else console
