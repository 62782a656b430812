"""`ToKeras`: layers of this package become recurrent layers of `keras.layers`; `to_keras` for a single layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from typing_extensions import override

from deeprnn_keras import layers as ours
from deeprnn_keras._compat import FunctionalNode
from deeprnn_keras._types import Config, Layer
from deeprnn_keras.cells.keras_cells import cell_name
from deeprnn_keras.interop.conversion.copies import copy_weights
from deeprnn_keras.interop.conversion.equality import batch_size, input_dim, require_equal
from deeprnn_keras.interop.conversion.graph import Graph
from deeprnn_keras.interop.conversion.keras_stack import keras_stack
from deeprnn_keras.interop.conversion.substitution import (
    Direction,
    KeptError,
    Substitute,
    directions,
    is_of_this_package,
)
from deeprnn_keras.interop.conversion.to_deeprnn import DROP_INS, bidirectional_like

STOCK: dict[type, type] = {drop_in: stock for stock, drop_in in DROP_INS.items()}
"""{class of this package: class of Keras}."""


class ToKeras(Direction):
    """Conversion from this package to `keras.layers`."""

    to = "keras"

    @override
    def chains(self, graph: Graph) -> list[tuple[list[FunctionalNode], Callable[[], Substitute]]]:
        return []

    @override
    def substitute(self, layer: Layer, calls: Sequence[FunctionalNode]) -> Substitute | None:
        if isinstance(layer, keras.layers.Bidirectional):
            return self._bidirectional(layer)
        if type(layer) is ours.DeepRNN:
            return keras_stack(layer, calls)
        if type(layer) in STOCK:
            return Substitute((layer,), (_stock(layer),))
        if is_of_this_package(layer):
            raise KeptError(f"keras.layers has no counterpart of {type(layer).__name__}")
        return None

    def _bidirectional(self, layer: keras.layers.Bidirectional) -> Substitute | None:
        if not any(map(is_of_this_package, directions(layer))):
            return None
        if type(layer) is not keras.layers.Bidirectional:
            raise KeptError(f"its class {type(layer).__name__} is derived from Bidirectional, not the same")
        forward, backward = map(_stock, directions(layer))
        return Substitute((layer,), (bidirectional_like(layer, forward, backward),))

    @override
    def concerns(self, layer: Layer) -> bool:
        return is_of_this_package(layer) and not isinstance(layer, (keras.Model, keras.layers.Wrapper))


def _stock(layer: Layer) -> Layer:
    """Return the layer of Keras for a drop-in, or for a direction of a `Bidirectional`.

    Raises:
        KeptError: If there is none.
    """
    if not is_of_this_package(layer):
        return type(layer).from_config(layer.get_config())
    if type(layer) not in STOCK:
        raise KeptError(f"no layer of Keras computes what its class {type(layer).__name__} does")
    if type(layer) is ours.RNN and cell_name(layer.cell) is None:
        raise KeptError(f"keras.layers has no counterpart of its cell {type(layer.cell).__name__}")
    config: Config = {key: value for key, value in layer.get_config().items() if key != "implementation"}
    try:
        return STOCK[type(layer)].from_config(config)
    except (TypeError, ValueError) as error:  # names of functions that are not registered
        raise KeptError(f"its configuration is not supported: {error}") from error


def to_keras(layer: Layer) -> Layer | keras.Model:
    """Return a layer of this package as layers of `keras.layers` with the same weights, after verifying equality.

    An exact counterpart exists for the cells "rnn", "gru", and "lstm", and for every connection. It computes the same
    values without and with masks. `implementation` and `remat`, which do not change values, are dropped, and weights
    that are initialized again use the initializers of Keras.

    Args:
        layer: A built `DeepRNN`, `LSTM`, `GRU`, `SimpleRNN`, or `RNN`, or a `keras.layers.Bidirectional` of one.

    Returns:
        For a `DeepRNN`, a `keras.Sequential` of its layers, or a functional `keras.Model` if its connection is not
        "stack" or it returns the outputs or the states of all layers. For any other layer, a layer of Keras.

    Raises:
        ValueError: If the layer has not been built, or has no counterpart; the message states the reason. If the
            outputs differ.

    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras.interop import to_keras
    >>> layer = DeepRNN([8, 4], cell="gru", name="encoder")
    >>> layer.build((None, None, 3))
    >>> [one.name for one in to_keras(layer).layers]
    ['encoder_1', 'encoder']
    """
    if isinstance(layer, keras.Model) or not isinstance(layer, keras.layers.Layer):
        raise ValueError(f"layer must be a recurrent layer of this package, got {_described(layer)}")
    if not layer.built:
        raise ValueError(f"layer {layer.name!r} must be built; call it once, or its method build((None, None, d))")
    try:
        substitute = ToKeras().substitute(layer, ())
    except KeptError as error:
        raise ValueError(f"layer {layer.name!r} is not supported by to_keras: {error}") from error
    if substitute is None:
        raise ValueError(f"layer must be a recurrent layer of this package, got {_described(layer)}")
    converted = _built(layer, substitute)
    copy_weights(substitute)
    require_equal(substitute)
    return converted


def _described(layer: Any) -> str:  # noqa: ANN401 - an argument
    if isinstance(layer, keras.Model):
        return "a model; use convert(model, to='keras')"
    return f"{type(layer).__module__}.{type(layer).__name__}"


def _built(layer: Layer, substitute: Substitute) -> Layer | keras.Model:
    """Return the new layer, or a model of the new layers, after building it."""
    x = keras.Input(batch_shape=(batch_size(layer), None, input_dim(layer)), dtype=layer.compute_dtype)
    if not isinstance(layer, ours.DeepRNN):
        substitute(x)
        return substitute.layers[0]
    if substitute.call is None:
        return keras.Sequential([x, *substitute.layers], name=layer.name)
    return keras.Model(x, substitute(x), name=layer.name)
