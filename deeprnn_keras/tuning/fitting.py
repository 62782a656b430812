"""One training of one trial."""

import inspect

from deeprnn_keras.data.arrays import ArrayDataset
from deeprnn_keras.training.non_finite import NonFiniteGuard


def fit(model, recipe, x, y=None, *, sample_weight=None, batch_size=None, seed=0, callbacks=(), **options):
    """`model.fit` with the recipe's callbacks, and arrays in an order that is new in every epoch.

    Args:
        model: compiled with `recipe`.
        x, y, sample_weight: arrays, a data set, or a function recipe -> (training data, validation data).
        batch_size: n, where x are arrays; None: the recipe's.
        seed: of the order of arrays.
        callbacks, options: of `fit`.

    Returns the history.
    """
    x, y, sample_weight, validation = training_data(x, y, sample_weight, batch_size, seed, recipe)
    if validation is not None:
        options["validation_data"] = validation
    if hasattr(x, "set_position"):
        x.set_position(options.get("initial_epoch", 0))
    if hasattr(x, "element_spec"):
        options["shuffle"] = False
    options = {"verbose": 0, "epochs": recipe.epochs, **options}
    own = [*recipe.callbacks(x), NonFiniteGuard(recipe=recipe)]
    return model.fit(x, y, sample_weight=sample_weight, callbacks=[*own, *callbacks], **options)


def training_data(x, y, sample_weight, batch_size, seed, recipe):
    """-> (x, y, sample_weight, validation data) as `fit` takes them."""
    if inspect.isfunction(x) or inspect.ismethod(x):
        x, validation = x(recipe)
        return x, None, None, validation
    if hasattr(x, "element_spec") or y is None:
        return x, y, sample_weight, None
    data = ArrayDataset(x, y, batch_size or recipe.batch_size, sample_weight=sample_weight, seed=seed)
    return data, None, None, None
