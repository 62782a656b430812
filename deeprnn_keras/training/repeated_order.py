"""A warning where `fit` repeats one order of the examples in every epoch."""

import sys
import warnings

MESSAGE = (
    "fit shuffles NumPy arrays in the same order in every epoch here: a seed is set (keras.utils.set_random_seed), and "
    "TensorFlow draws every epoch from it. Give fit an ArrayDataset(x, y, batch_size, seed=...) instead, with "
    "shuffle=False."
)


def warn_of_repeated_order():
    """Warns if the `fit` that is running, further up on the call stack, is about to fall into that trap.

    Keras tells callbacks nothing of the data, so this looks where `fit` keeps it.
    """
    adapter = _data_of_fit()
    if type(adapter).__name__ == "ArrayDataAdapter" and getattr(adapter, "_shuffle", False) and _seeded():
        warnings.warn(MESSAGE, stacklevel=3)


def _data_of_fit():
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "fit" and "epoch_iterator" in frame.f_locals:
            return frame.f_locals["epoch_iterator"].data_adapter
        frame = frame.f_back
    return None


def _seeded():
    import keras

    if keras.backend.backend() != "tensorflow":
        return False
    from tensorflow.python.eager import context  # TensorFlow has no public name for whether it is seeded

    return context.global_seed() is not None
