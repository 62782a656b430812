"""`ToDeepRNN`: recurrent layers of Keras become drop-ins of this package, and chains of them one `DeepRNN`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from typing_extensions import override

from deeprnn_keras import _compat
from deeprnn_keras import layers as ours
from deeprnn_keras._compat import FunctionalNode
from deeprnn_keras._types import Layer
from deeprnn_keras.cells import RecurrentCell
from deeprnn_keras.cells.keras_cells import cell_name
from deeprnn_keras.interop.conversion.chains import find_chains
from deeprnn_keras.interop.conversion.graph import Graph
from deeprnn_keras.interop.conversion.plain_layers import describe, make_deep_rnn
from deeprnn_keras.interop.conversion.substitution import (
    Direction,
    KeptError,
    Substitute,
    directions,
    is_of_this_package,
)

DROP_INS: dict[type, type] = {
    keras.layers.LSTM: ours.LSTM,
    keras.layers.GRU: ours.GRU,
    keras.layers.SimpleRNN: ours.SimpleRNN,
    keras.layers.RNN: ours.RNN,
}
"""{class of Keras: class of this package}."""


class ToDeepRNN(Direction):
    """Conversion from `keras.layers` to this package."""

    to = "deeprnn_keras"

    @override
    def chains(self, graph: Graph) -> list[tuple[list[FunctionalNode], Callable[[], Substitute]]]:
        return find_chains(graph)

    @override
    def substitute(self, layer: Layer, calls: Sequence[FunctionalNode]) -> Substitute | None:
        if isinstance(layer, keras.layers.Bidirectional):
            return self._bidirectional(layer)
        if not self.concerns(layer):
            return None
        if isinstance(layer.cell, keras.layers.StackedRNNCells):
            return _stacked_cells(layer, calls)
        return Substitute((layer,), (_drop_in(layer),))

    def _bidirectional(self, layer: keras.layers.Bidirectional) -> Substitute | None:
        if not any(map(self.concerns, directions(layer))):
            return None
        if type(layer) is not keras.layers.Bidirectional:
            raise KeptError(f"its class {type(layer).__name__} is derived from Bidirectional, not the same")
        forward, backward = map(_drop_in, directions(layer))
        return Substitute((layer,), (bidirectional_like(layer, forward, backward),))

    @override
    def concerns(self, layer: Layer) -> bool:
        return isinstance(layer, keras.layers.RNN) and not is_of_this_package(layer)


def bidirectional_like(
    layer: keras.layers.Bidirectional, forward: keras.layers.RNN, backward: keras.layers.RNN
) -> keras.layers.Bidirectional:
    """Return a `Bidirectional` with the arguments of another one, and other layers inside."""
    return keras.layers.Bidirectional(
        forward,
        merge_mode=layer.merge_mode,
        backward_layer=backward,
        activity_regularizer=layer.activity_regularizer,
        dtype=layer.dtype_policy,
        trainable=layer.trainable,
        name=layer.name,
    )


def _stacked_cells(layer: keras.layers.RNN, calls: Sequence[FunctionalNode]) -> Substitute:
    """Return the `DeepRNN` in place of an `RNN` of `StackedRNNCells`."""
    levels = describe(layer).levels
    with_states = [call for call in calls if len(call.args) > 1 or call.kwargs.get("initial_state") is not None]
    if any(_compat.keras_mask(call.args[0]) is not None for call in with_states):
        raise KeptError("it is called with initial_state, and Keras ignores the mask of its input then")
    if len(levels) == 1:
        raise KeptError("it has a single stacked cell, whose state Keras returns in another structure than it reads")
    return Substitute((layer,), (make_deep_rnn([layer]),))


def _drop_in(layer: Layer) -> Layer:
    """Return the drop-in for a layer of Keras, or for a direction of a `Bidirectional`.

    Raises:
        KeptError: If there is none.
    """
    if is_of_this_package(layer):
        return type(layer).from_config(layer.get_config())
    if type(layer) not in DROP_INS:
        raise KeptError(f"no layer of this package computes what its class {type(layer).__name__} does")
    if type(layer) is keras.layers.RNN and not (isinstance(layer.cell, RecurrentCell) or cell_name(layer.cell)):
        raise KeptError(f"its cell {type(layer.cell).__name__} has no equations; Keras runs it equally fast")
    options = {"use_cudnn": layer.use_cudnn} if hasattr(layer, "use_cudnn") else {}  # missing from Keras' configuration
    try:
        return DROP_INS[type(layer)].from_config({**layer.get_config(), **options})
    except (TypeError, ValueError) as error:  # names of functions that are not registered
        raise KeptError(f"its configuration is not supported: {error}") from error
