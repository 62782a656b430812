"""`ConfigMixin`: configuration of a Keras model that contains one `DeepRNN`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import keras
import numpy as np

from deeprnn_keras._types import Config, Initializer, Layer, Tensor


class ConfigMixin:
    """Mixin for a `keras.Model` with a layer "deep_rnn". The model accepts the arguments of this layer as its own.

    Attributes:
        name: Name of the model.
        trainable: Whether the weights are trainable.
        get_layer: Method of `keras.Model`.
    """

    name: str
    trainable: bool
    get_layer: Callable[..., Layer]
    _config: Config  # arguments of the model other than those of its `DeepRNN`

    def get_config(self) -> Config:
        """Return the arguments of the model, including those of its `DeepRNN`."""
        deep_rnn = self.get_layer("deep_rnn").get_config()
        own = {"name": self.name, "trainable": self.trainable, **self._config}
        return {**{key: deep_rnn[key] for key in deep_rnn.keys() - {"name", "trainable", "return_sequences"}}, **own}

    @classmethod
    def from_config(cls, config: Config, custom_objects: Config | None = None) -> Self:
        """Create the model from a configuration."""
        return cls(**config)


def serialize_initializer(initializer: Initializer) -> Config | None:
    """Return an initializer as JSON values, or None."""
    return None if initializer is None else keras.initializers.serialize(keras.initializers.get(initializer))


def check_integer_ids(model: str, name: str, ids: Tensor) -> None:
    """Raise a ValueError if ids are not integers: Keras would truncate real numbers silently.

    Args:
        model: Name of the model.
        name: Name of the ids.
        ids: Ids, a tensor, an array, or a list.
    """
    first = next(iter(keras.tree.flatten(ids)), None)
    dtype = keras.backend.standardize_dtype(getattr(first, "dtype", None) or np.asarray(ids).dtype)
    if not keras.backend.is_int_dtype(dtype):
        raise ValueError(
            f"{model}: {name} must be integers, got {dtype}; convert them, for example with astype('int32')"
        )
