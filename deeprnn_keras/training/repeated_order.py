"""Warning for a `fit` that repeats the same order of examples in every epoch."""

from __future__ import annotations

import warnings

import keras

from deeprnn_keras import _compat

MESSAGE = (
    "fit shuffles NumPy arrays in the same order in every epoch, because a seed is set (keras.utils.set_random_seed) "
    "and TensorFlow derives the order of each epoch from it. Pass an ArrayDataset(x, y, batch_size, seed=...) to fit "
    "instead, with shuffle=False."
)

_compat.install_model_hooks()


def warn_of_repeated_order() -> None:
    """Warn if the running `fit` shuffles arrays in the same order in every epoch.

    Call this function from `on_train_begin` of a callback.
    """
    if keras.backend.backend() != "tensorflow" or not _compat.fit_shuffles_arrays():
        return
    if _compat.tensorflow_seed() is not None:
        warnings.warn(MESSAGE, stacklevel=3)
