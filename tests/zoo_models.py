"""Models of the zoo at a small size, which tests share."""

import functools

import keras

from deeprnn_keras import zoo

BUILDABLE = [name for name in zoo.list_models() if zoo.info(name).buildable]
"""Names of all models that are not only counted."""


@functools.cache
def small_model(name):
    """Return (configuration, model) with 6 units, 2 to 5 time steps, and a small vocabulary; do not change them."""
    keras.utils.set_random_seed(11)
    config = zoo.info(name)
    changes = {"units": 6, **({"length": 5} if config.length else {})}
    changes |= {"vocabulary": 50, "bptt": 4} if config.task == "language" else {}
    config = zoo.info(name, **changes)
    return config, config.build()
