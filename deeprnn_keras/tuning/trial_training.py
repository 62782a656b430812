"""Training of one model of a search."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from deeprnn_keras._types import ArrayLike
from deeprnn_keras.data.arrays import ArrayDataset
from deeprnn_keras.training.non_finite import NonFiniteGuard

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.training.recipe import Recipe


def fit(
    model: keras.Model,
    recipe: Recipe,
    x: ArrayLike | Callable[[Recipe], tuple[Any, Any]],
    y: ArrayLike = None,
    *,
    sample_weight: ArrayLike = None,
    batch_size: int | None = None,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **options: Any,
) -> keras.callbacks.History:
    """Call `model.fit` with the recipe's callbacks. Arrays are reshuffled in every epoch.

    Args:
        model: A model compiled with `recipe`.
        recipe: Training recipe.
        x: Arrays, a dataset, or a function from the recipe to (training data, validation data).
        y: Targets, if `x` are arrays.
        sample_weight: Weights of the examples, if `x` are arrays.
        batch_size: Batch size, if `x` are arrays; None for that of the recipe.
        seed: Random seed for shuffling arrays.
        callbacks: Further callbacks.
        **options: Further arguments of `model.fit`.

    Returns:
        The history of `model.fit`.
    """
    data: ArrayLike
    data, y, sample_weight, validation = training_data(x, y, sample_weight, batch_size, seed, recipe)
    if validation is not None:
        options["validation_data"] = validation
    if hasattr(data, "set_position"):
        data.set_position(options.get("initial_epoch", 0))
    if hasattr(data, "element_spec"):
        options["shuffle"] = False
    options = {"verbose": 0, "epochs": recipe.epochs, **options}
    recipe_callbacks = [*recipe.callbacks(data), NonFiniteGuard(recipe=recipe)]
    return model.fit(data, y, sample_weight=sample_weight, callbacks=[*recipe_callbacks, *callbacks], **options)


def training_data(
    x: ArrayLike | Callable[[Recipe], tuple[Any, Any]],
    y: ArrayLike,
    sample_weight: ArrayLike,
    batch_size: int | None,
    seed: int,
    recipe: Recipe,
) -> tuple[Any, Any, Any, Any]:
    """Return (x, y, sample_weight, validation data) as arguments of `model.fit`; see `fit` for the arguments."""
    if inspect.isfunction(x) or inspect.ismethod(x):
        x, validation = x(recipe)
        return x, None, None, validation
    if hasattr(x, "element_spec") or y is None:
        return x, y, sample_weight, None
    data = ArrayDataset(x, y, batch_size or recipe.batch_size, sample_weight=sample_weight, seed=seed)
    return data, None, None, None
