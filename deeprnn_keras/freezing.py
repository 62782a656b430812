"""The attribute `trainable` of layers inside a layer or model: propagation, and storage in a configuration.

Keras propagates an assignment to `trainable` to the layers inside a layer, but not the argument of the constructor.
The configuration of a layer contains its own attribute, but not those of the layers inside. Every class of this package
that contains layers therefore calls `propagate_trainable`, `trainable_config`, and `create_from_config`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import keras

from deeprnn_keras import _compat
from deeprnn_keras._types import Config, Layer

KEY = "trainable_layers"  # in configurations
Created = TypeVar("Created")


def propagate_trainable(layer: Layer) -> None:
    """Freeze the layers inside a new layer or model that was created with `trainable=False`."""
    if not layer.trainable:
        for inner in _layers_inside(layer):
            inner.trainable = False


def trainable_config(layer: Layer) -> Config:
    """Return the entry of a configuration that `create_from_config` reads; empty if all inner layers are as `layer`."""
    flags = trainable_flags(layer)
    return {KEY: flags} if flags else {}


def create_from_config(create: Callable[[Config], Created], config: Config) -> Created:
    """Return `create(config)`, and restore `trainable` of the layers inside from the configuration.

    Args:
        create: Function that returns the layer or model of a configuration without `trainable_config`.
        config: Result of `get_config`.
    """
    layer = create({name: value for name, value in config.items() if name != KEY})
    set_trainable_flags(layer, config.get(KEY, {}))
    return layer


def trainable_flags(layer: Layer) -> dict[str, bool]:
    """Return {path: trainable} of inner layers whose `trainable` differs from that of the layer that contains them.

    A path consists of names of layers. A recurrent layer and its cell count as one layer.

    >>> from deeprnn_keras import LanguageModel
    >>> from deeprnn_keras.freezing import trainable_flags
    >>> model = LanguageModel("abc", units=4, num_layers=2)
    >>> model.get_layer("deep_rnn").recurrent_layers[0].trainable = False
    >>> trainable_flags(model)
    {'deep_rnn/forward_1': False}
    """
    flags: dict[str, bool] = {}
    for inner in _layers_inside(layer):
        trainable = _is_trainable(inner)
        if trainable != layer.trainable:
            flags[inner.name] = trainable
        if not isinstance(inner, keras.layers.RNN):
            flags |= {f"{inner.name}/{path}": flag for path, flag in trainable_flags(inner).items()}
    return flags


def set_trainable_flags(layer: Layer, flags: Mapping[str, bool]) -> None:
    """Set `trainable` of the layers inside a layer or model to the result of `trainable_flags`.

    Raises:
        ValueError: If a value is not a bool, or if no layer has the path; no layer is changed in this case.
    """
    if not isinstance(flags, Mapping) or not all(isinstance(flag, bool) for flag in flags.values()):
        raise ValueError(f"{KEY} of {layer.name!r} must be {{path of a layer: True or False}}, got {flags!r}")
    for inner, flag in [(_layer_at(layer, path), flag) for path, flag in flags.items()]:
        inner.trainable = not flag  # TensorFlow skips an assignment that does not change the value
        inner.trainable = flag


def _layers_inside(layer: Layer) -> list[Layer]:
    return list(_compat.flatten_layers(layer, include_self=False, recursive=False))


def _is_trainable(layer: Layer) -> bool:
    return bool(layer.trainable and (not isinstance(layer, keras.layers.RNN) or layer.cell.trainable))


def _layer_at(layer: Layer, path: str) -> Layer:
    found = layer
    for name in path.split("/"):
        inner = {one.name: one for one in _layers_inside(found)}
        if name not in inner:
            raise ValueError(f"{KEY} of {layer.name!r} contains {path!r}, but the layers are {', '.join(inner)}")
        found = inner[name]
    return found
