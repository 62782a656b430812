"""A warning where `fit` repeats one order of the examples in every epoch."""

import warnings

import keras

from deeprnn_keras import _compat

MESSAGE = (
    "fit shuffles NumPy arrays in the same order in every epoch here: a seed is set (keras.utils.set_random_seed), and "
    "TensorFlow draws every epoch from it. Give fit an ArrayDataset(x, y, batch_size, seed=...) instead, with "
    "shuffle=False."
)

_compat.install_model_hooks()


def warn_of_repeated_order() -> None:
    """Warn if the running `fit` shuffles arrays in the same order in every epoch. For callbacks' `on_train_begin`."""
    if keras.backend.backend() != "tensorflow" or not _compat.fit_shuffles_arrays():
        return
    if _compat.tensorflow_seed() is not None:
        warnings.warn(MESSAGE, stacklevel=3)
