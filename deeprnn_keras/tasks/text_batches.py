"""Batches of a text for language models: windows, or streams with carried states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from deeprnn_keras.tasks.run import Plan
from deeprnn_keras.training.recipe import QUICK_VALIDATION_WINDOWS, Recipe

if TYPE_CHECKING:
    import keras
    import numpy as np

    from deeprnn_keras.data import TextCorpus
    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.data.corpus import TextSplit

    TrainingBatches = Callable[[int | None], Batches]

VALIDATION_ROWS = 128
PARTS = 4  # epochs of a run with a given number of updates


def split_text(corpus: TextCorpus, recipe: Recipe) -> TextSplit:
    """Return the pieces of text to train and to validate on, as the recipe defines them.

    Raises:
        ValueError: If the text is too short for the recipe's windows.
    """
    from deeprnn_keras.data.corpus import TextSplit

    if recipe.train_windows is None:
        return corpus.split()
    stride = recipe.stride or recipe.bptt
    border = recipe.train_windows * stride
    train = corpus.text[: border - stride + recipe.bptt + 1]
    validation = corpus.text[border : border + (recipe.validation_windows - 1) * stride + recipe.bptt + 1]
    if len(validation) <= recipe.bptt:
        raise ValueError(
            f"{corpus.name} is too short for the recipe: {recipe.train_windows} training windows and one validation "
            f"window need {border + recipe.bptt + 1} characters, got {len(corpus)}"
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
        recipe: The recipe.
        quick: Shorten the recipe to about two minutes on two cores.
        seed: Random seed of the order.
        updates: Maximum number of updates, in a few epochs, instead of the recipe's.
    """
    short = recipe
    if quick:
        short, updates = recipe.quick(model.count_params(), model.get_layer("deep_rnn").num_layers)
    train, validation = text_batches(corpus.encode(split.train), corpus.encode(split.validation), short, quick, seed)
    per_pass = len(train(None))
    all_epochs = recipe.epochs_for(per_pass)
    if updates is None:
        return Plan(short, train(None), validation, all_epochs)
    updates = min(updates, all_epochs * per_pass)  # never more than the whole recipe
    epochs = short.epochs if quick else max(1, min(PARTS, updates))
    return Plan(short, train(max(updates // epochs, 1)), validation, epochs)


def text_batches(
    pieces: Sequence[np.ndarray],
    held_out: Sequence[np.ndarray],
    recipe: Recipe,
    short_validation: bool,
    seed: int,
) -> tuple[TrainingBatches, Batches]:
    """Return (a function from updates per epoch, or None for one pass, to training batches; validation batches).

    Args:
        pieces: Encoded training text.
        held_out: Encoded validation text.
        recipe: Batch size, T, stride, and whether states are carried.
        short_validation: Validate on a sample of the windows.
        seed: Random seed of the order.
    """
    make = _streams if recipe.stateful else _windows
    return make(pieces, held_out, recipe, short_validation, seed)


def _windows(
    pieces: Sequence[np.ndarray], held_out: Sequence[np.ndarray], recipe: Recipe, short: bool, seed: int
) -> tuple[TrainingBatches, Batches]:
    from deeprnn_keras.data import token_windows

    stride = recipe.stride or recipe.bptt
    if short:  # fewer validation windows, evenly spread
        stride = max(stride, sum(map(len, held_out)) // QUICK_VALIDATION_WINDOWS)
    validation = token_windows(
        held_out, recipe.bptt, max(recipe.batch_size, VALIDATION_ROWS), stride=stride, shuffle=False
    )

    def train(steps: int | None) -> Batches:
        return token_windows(pieces, recipe.bptt, recipe.batch_size, stride=recipe.stride, seed=seed, steps=steps)

    return train, validation


def _streams(
    pieces: Sequence[np.ndarray], held_out: Sequence[np.ndarray], recipe: Recipe, short: bool, seed: int
) -> tuple[TrainingBatches, Batches]:
    from deeprnn_keras.data.tbptt import TBPTTDataset

    if short:  # less of each piece
        share = QUICK_VALIDATION_WINDOWS * recipe.bptt / sum(map(len, held_out))
        held_out = [piece[: max(recipe.bptt + 1, int(share * len(piece)))] for piece in held_out]
    chunks = sum((len(piece) - 1) // recipe.bptt for piece in held_out)
    rows = max(1, min(max(recipe.batch_size, VALIDATION_ROWS), chunks))
    validation = TBPTTDataset(held_out, rows, recipe.bptt)

    def train(steps: int | None) -> Batches:
        random = {"random_bptt": recipe.random_bptt, "seed": seed}
        return TBPTTDataset(pieces, recipe.batch_size, recipe.bptt, **random, steps=steps)

    return train, validation
