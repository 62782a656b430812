"""Batches of a text for language models: shuffled windows, or parallel streams with carried states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from deeprnn_keras.processes import current_shard
from deeprnn_keras.tasks.run import Plan
from deeprnn_keras.training.recipe import QUICK_VALIDATION_WINDOWS, Recipe

if TYPE_CHECKING:
    import keras
    import numpy as np

    from deeprnn_keras.data import TextCorpus
    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.data.corpus import TextSplit

    TrainingBatches = Callable[[int | None], Batches]

VALIDATION_BATCH_SIZE = 128  # a minimum; a larger batch size of the recipe is used instead
UPDATE_LIMITED_EPOCHS = 4  # maximum number of epochs of a run with a limited number of updates


def split_text(corpus: TextCorpus, recipe: Recipe) -> TextSplit:
    """Split a text into training and validation pieces.

    An official validation text of the corpus is used. Otherwise, if the recipe states numbers of windows, training uses
    the first windows of the text, and validation the windows that follow; if not, the split is that of
    `TextCorpus.split`.

    Raises:
        ValueError: If the text is too short for the recipe's windows.
    """
    from deeprnn_keras.data.corpus import TextSplit

    if corpus.validation is not None:
        return TextSplit((corpus.text,), (corpus.validation.text,))
    if recipe.train_windows is None:
        return corpus.split()
    assert recipe.validation_windows is not None  # `Recipe` requires both numbers of windows or neither
    stride = recipe.stride or recipe.bptt
    border = recipe.train_windows * stride
    train = corpus.text[: border - stride + recipe.bptt + 1]
    validation = corpus.text[border : border + (recipe.validation_windows - 1) * stride + recipe.bptt + 1]
    if len(validation) <= recipe.bptt:
        raise ValueError(
            f"{corpus.name} is too short for the recipe: {recipe.train_windows} training windows and one validation "
            f"window require {border + recipe.bptt + 1} characters, got {len(corpus)}"
        )
    return TextSplit((train,), (validation,))


def text_plan(
    model: keras.Model,
    corpus: TextCorpus,
    split: TextSplit,
    recipe: Recipe,
    quick: bool,
    seed: int,
    updates: int | None = None,
) -> Plan:
    """Return the `Plan` of a recipe on a text.

    Args:
        model: A `LanguageModel`.
        corpus: The text.
        split: Its pieces, as returned by `split_text`.
        recipe: The training recipe.
        quick: Shorten the recipe to about two minutes on 2 cores.
        seed: Random seed for the order of the batches.
        updates: Maximum number of updates, distributed over a few epochs; None for those of the recipe.
    """
    from deeprnn_keras.layers import DeepRNN

    plan_recipe = recipe
    if quick:
        num_layers = sum(layer.num_layers for layer in model.layers if isinstance(layer, DeepRNN))
        plan_recipe, updates = recipe.quick(model.count_params(), num_layers)
    train, validation = text_batches(
        corpus.encode(split.train), corpus.encode(split.validation), plan_recipe, quick, seed
    )
    updates_per_pass = len(train(None))
    full_epochs = recipe.epochs_for(updates_per_pass)
    if updates is None:
        return Plan(plan_recipe, train(None), validation, full_epochs)
    updates = min(updates, full_epochs * updates_per_pass)  # not longer than the full recipe
    epochs = plan_recipe.epochs if quick else max(1, min(UPDATE_LIMITED_EPOCHS, updates))
    return Plan(plan_recipe, train(max(updates // epochs, 1)), validation, epochs)


def text_batches(
    train: Sequence[np.ndarray],
    validation: Sequence[np.ndarray],
    recipe: Recipe,
    short_validation: bool,
    seed: int,
) -> tuple[TrainingBatches, Batches]:
    """Return the batches of an encoded text.

    Args:
        train: Pieces of the training text.
        validation: Pieces of the validation text.
        recipe: Recipe that states n, T, the stride, and whether states are carried between batches.
        short_validation: If True, use only a sample of the validation windows.
        seed: Random seed for the order of the batches.

    Returns:
        A function that returns training batches for a number of updates per epoch (None for one pass over the text),
        and the validation batches.
    """
    make = _streams if recipe.stateful else _windows
    return make(train, validation, recipe, short_validation, seed)


def _windows(
    train: Sequence[np.ndarray], validation: Sequence[np.ndarray], recipe: Recipe, short_validation: bool, seed: int
) -> tuple[TrainingBatches, Batches]:
    from deeprnn_keras.data import token_windows

    stride = recipe.stride or recipe.bptt
    if short_validation:  # a larger stride gives fewer windows, evenly spaced
        stride = max(stride, sum(map(len, validation)) // QUICK_VALIDATION_WINDOWS)
    batch_size = current_shard().round_up(max(recipe.batch_size, VALIDATION_BATCH_SIZE))
    validation_batches = token_windows(validation, recipe.bptt, batch_size, stride=stride, shuffle=False)

    def training_batches(steps: int | None) -> Batches:
        return token_windows(train, recipe.bptt, recipe.batch_size, stride=recipe.stride, seed=seed, steps=steps)

    return training_batches, validation_batches


def _streams(
    train: Sequence[np.ndarray], validation: Sequence[np.ndarray], recipe: Recipe, short_validation: bool, seed: int
) -> tuple[TrainingBatches, Batches]:
    import numpy as np

    from deeprnn_keras.data.tbptt import TBPTTDataset

    if short_validation:  # keeps the beginning of each piece, the same fraction of all
        fraction = QUICK_VALIDATION_WINDOWS * recipe.bptt / sum(map(len, validation))
        validation = [piece[: max(recipe.bptt + 1, int(fraction * len(piece)))] for piece in validation]
    chunks = sum((len(piece) - 1) // recipe.bptt for piece in validation)
    batch_size = current_shard().round_down(min(max(recipe.batch_size, VALIDATION_BATCH_SIZE), chunks))
    validation_batches = TBPTTDataset(validation, batch_size, recipe.bptt)

    stream = np.concatenate(train)  # one stream, as in the published readers

    def training_batches(steps: int | None) -> Batches:
        return TBPTTDataset(
            stream, recipe.batch_size, recipe.bptt, random_bptt=recipe.random_bptt, seed=seed, steps=steps
        )

    return training_batches, validation_batches
