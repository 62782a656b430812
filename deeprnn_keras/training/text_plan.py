"""What a training of a language model on a text is given: the split of the text, and the batches."""

from dataclasses import dataclass

from deeprnn_keras.data import token_windows
from deeprnn_keras.data.corpus import Split
from deeprnn_keras.training.recipe import QUICK_VALIDATION_WINDOWS, Recipe

VALIDATION_ROWS = 128
PARTS = 4  # epochs of a training of so many updates


@dataclass(frozen=True)
class Plan:
    """What `model.fit` is given.

    Attributes:
        recipe: as it is followed, shortened for a first impression.
        train, validation: `Batches`.
        epochs: of `len(train)` updates each.
    """

    recipe: Recipe
    train: object
    validation: object
    epochs: int


def split_text(corpus, recipe):
    """The pieces of text to train on and to validate on, as the recipe has it."""
    if recipe.train_windows is None:
        return corpus.split()
    stride = recipe.stride or recipe.bptt
    border = recipe.train_windows * stride
    train = corpus.text[: border - stride + recipe.bptt + 1]
    validation = corpus.text[border : border + (recipe.validation_windows - 1) * stride + recipe.bptt + 1]
    if len(validation) <= recipe.bptt:
        raise ValueError(
            f"{corpus.name} is too short for the recipe: {recipe.train_windows} windows to train on and one to "
            f"validate on take {border + recipe.bptt + 1} characters, it has {len(corpus)}"
        )
    return Split((train,), (validation,))


def plan_of(model, corpus, split, recipe, quick, seed, updates=None):
    """The `Plan` of a recipe: windows, or where it carries the state lanes.

    Args:
        quick: a first impression instead of the whole recipe.
        updates: so many, in a few epochs, instead of the recipe's.
    """
    short = recipe
    if quick:
        short, updates = recipe.quick(model.count_params(), model.get_layer("deep_rnn").num_layers)
    train, validation = batches(corpus.encode(split.train), corpus.encode(split.validation), short, quick, seed)
    per_pass = len(train())
    whole = recipe.epochs_for(per_pass)
    if updates is None:
        return Plan(short, train(), validation, whole)
    updates = min(updates, whole * per_pass)  # never more than the whole recipe
    epochs = short.epochs if quick else max(1, min(PARTS, updates))
    return Plan(short, train(max(updates // epochs, 1)), validation, epochs)


def batches(pieces, held_out, recipe, short_validation, seed):
    """Batches of encoded text as a recipe has them.

    Returns (steps in an epoch, or None for a pass -> training data; validation data), both `Batches`.
    """
    make = _lanes if recipe.stateful else _windows
    return make(pieces, held_out, recipe, short_validation, seed)


def _windows(pieces, held_out, recipe, quick, seed):
    """-> steps in an epoch -> training data; validation data."""
    stride = recipe.stride or recipe.bptt
    if quick:  # fewer windows to validate on, evenly spread
        stride = max(stride, sum(map(len, held_out)) // QUICK_VALIDATION_WINDOWS)
    validation = token_windows(
        held_out, recipe.bptt, max(recipe.batch_size, VALIDATION_ROWS), stride=stride, shuffle=False
    )

    def train(steps=None):
        return token_windows(pieces, recipe.bptt, recipe.batch_size, stride=recipe.stride, seed=seed, steps=steps)

    return train, validation


def _lanes(pieces, held_out, recipe, quick, seed):
    """The same for a state that is carried."""
    from deeprnn_keras.data.tbptt import TBPTTDataset

    if quick:  # less of each piece to validate on
        share = QUICK_VALIDATION_WINDOWS * recipe.bptt / sum(map(len, held_out))
        held_out = [piece[: max(recipe.bptt + 1, int(share * len(piece)))] for piece in held_out]
    chunks = sum((len(piece) - 1) // recipe.bptt for piece in held_out)
    rows = max(1, min(max(recipe.batch_size, VALIDATION_ROWS), chunks))
    validation = TBPTTDataset(held_out, rows, recipe.bptt)

    def train(steps=None):
        random = {"random_bptt": recipe.random_bptt, "seed": seed}
        return TBPTTDataset(pieces, recipe.batch_size, recipe.bptt, **random, steps=steps)

    return train, validation
