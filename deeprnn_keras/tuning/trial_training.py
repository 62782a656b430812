"""Training of one model of a search."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike, PathLike
from deeprnn_keras.data.arrays import ArrayDataset
from deeprnn_keras.training.non_finite import NonFiniteGuard
from deeprnn_keras.training.resume import Resume

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
    shuffle: bool = True,
    validation_split: float = 0.0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoints: PathLike | None = None,
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
        shuffle: If True, arrays are shuffled.
        validation_split: Fraction of the arrays, at their end, that is held out for validation, as in Keras.
        callbacks: Further callbacks.
        checkpoints: Directory of checkpoints, from which an interrupted training continues; None for none. Only data
            with a settable position can be continued: arrays, and the datasets of this package.
        **options: Further arguments of `model.fit`.

    Returns:
        The history of `model.fit`.

    Raises:
        ValueError: If `batch_size` or `validation_split` is passed and `x` are not arrays.
    """
    if not _are_arrays(x, y):
        for name, value in (("batch_size", batch_size), ("validation_split", validation_split)):
            if value:
                raise ValueError(f"{name} is supported for arrays only, got {name}={value!r} and x={type(x).__name__}")
    if validation_split and options.get("validation_data") is None:
        (x, y, sample_weight), options["validation_data"] = hold_out(x, y, sample_weight, validation_split)
    data: ArrayLike
    data, y, sample_weight, validation = training_data(x, y, sample_weight, batch_size, seed, recipe, shuffle)
    if validation is not None:
        options["validation_data"] = validation
    if hasattr(data, "set_position"):
        data.set_position(options.get("initial_epoch", 0))
    if hasattr(data, "element_spec"):
        options["shuffle"] = False
    options = {"verbose": 0, "epochs": recipe.epochs, **options}
    all_callbacks = [*recipe.callbacks(data), NonFiniteGuard(recipe=recipe), *callbacks]
    if checkpoints is not None and hasattr(data, "set_position"):
        all_callbacks = [Resume(checkpoints, data, all_callbacks)]
    return model.fit(data, y, sample_weight=sample_weight, callbacks=all_callbacks, **options)


def training_data(
    x: ArrayLike | Callable[[Recipe], tuple[Any, Any]],
    y: ArrayLike,
    sample_weight: ArrayLike,
    batch_size: int | None,
    seed: int,
    recipe: Recipe,
    shuffle: bool = True,
) -> tuple[Any, Any, Any, Any]:
    """Return (x, y, sample_weight, validation data) as arguments of `model.fit`; see `fit` for the arguments."""
    if inspect.isfunction(x) or inspect.ismethod(x):
        x, validation = x(recipe)
        return x, None, None, validation
    if not _are_arrays(x, y):
        return x, y, sample_weight, None
    batch_size = recipe.batch_size if batch_size is None else batch_size
    data = ArrayDataset(x, y, batch_size, sample_weight=sample_weight, shuffle=shuffle, seed=seed)
    return data, None, None, None


def _are_arrays(x: object, y: object) -> bool:
    """Return True for arrays, as opposed to a dataset, a generator, or a function."""
    import keras

    if hasattr(x, "element_spec") or inspect.isfunction(x) or inspect.ismethod(x):
        return False
    return y is not None or all(hasattr(part, "shape") for part in keras.tree.flatten(x))


def hold_out(
    x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike, fraction: float
) -> tuple[tuple[Any, Any, Any], tuple[Any, ...]]:
    """Split arrays in the order of their rows into a training and a validation part.

    Args:
        x: Arrays with one row per example.
        y: Targets, or None.
        sample_weight: Weights, or None.
        fraction: Fraction of the rows in the validation part, the last ones.

    Returns:
        (x, y, sample_weight) of the training part, and `validation_data` for `fit`.

    Raises:
        ValueError: If `fraction` is not in (0, 1), or one of the parts is empty.
    """
    import keras

    parts = keras.tree.map_structure(np.asarray, (x, y, sample_weight), none_is_leaf=False)
    num_rows = len(keras.tree.flatten(parts[0])[0])
    num_training = math.floor(num_rows * (1 - checks.fraction("validation_split", fraction)))
    if not 0 < num_training < num_rows:
        raise ValueError(f"validation_split={fraction:g} leaves no rows for training or validation, of {num_rows} rows")
    training = keras.tree.map_structure(lambda array: array[:num_training], parts, none_is_leaf=False)
    validation = keras.tree.map_structure(lambda array: array[num_training:], parts, none_is_leaf=False)
    return training, tuple(part for part in validation if part is not None)
