"""`Substitute`: new layers in place of layers of a model. `Direction`: the rules of a conversion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras

from deeprnn_keras import _compat
from deeprnn_keras._compat import FunctionalNode
from deeprnn_keras._types import Cell, Layer, Nested
from deeprnn_keras.interop.conversion.graph import Graph
from deeprnn_keras.layers import DeepRNN


class KeptError(ValueError):
    """Error whose message is the reason why a layer is not replaced."""


@dataclass(frozen=True)
class Substitute:
    """New layers that compute what layers of a model compute.

    Attributes:
        sources: The layers of the model, lowest first; each reads the output of the one before.
        layers: The new layers. Together they have the weights of `sources`, in the same order.
        call: Function with the arguments and results of a call of `sources`. If None, the new layers are called one
            after another.
    """

    sources: tuple[Layer, ...]
    layers: tuple[Layer, ...]
    call: Callable[..., Nested] | None = None

    def __call__(self, *args: Nested, **kwargs: Nested) -> Nested:
        """Call the new layers."""
        if self.call is not None:
            return self.call(*args, **kwargs)
        first, *others = self.layers
        outputs = first(*args, **kwargs)
        options = {name: kwargs[name] for name in ("mask", "training") if name in kwargs}
        for layer in others:
            names = options.keys() if is_recurrent(layer) else options.keys() - {"mask"}
            outputs = layer(outputs, **{name: options[name] for name in names})
        return outputs


class Direction(ABC):
    """Rules of a conversion to the layers of this package, or to those of Keras.

    Attributes:
        to: Argument `to` of `convert`.
    """

    to: str

    @abstractmethod
    def chains(self, graph: Graph) -> list[tuple[list[FunctionalNode], Callable[[], Substitute]]]:
        """Return the calls that are replaced together, with functions that make their substitutes."""

    @abstractmethod
    def substitute(self, layer: Layer, calls: Sequence[FunctionalNode]) -> Substitute | None:
        """Return the substitute of one layer, or None if it is not replaced.

        Args:
            layer: The layer.
            calls: Its calls in the model.

        Raises:
            KeptError: If it is a recurrent layer that is not replaced; the message states the reason.
        """

    @abstractmethod
    def concerns(self, layer: Layer) -> bool:
        """Return True for a layer that the conversion replaces where possible."""


def is_recurrent(layer: Layer) -> bool:
    """Return True for a layer that reads sequences and accepts a mask of steps: of Keras, a drop-in, or a `DeepRNN`."""
    return isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional, DeepRNN))


def directions(layer: Layer) -> list[keras.layers.RNN]:
    """Return the forward and the backward layer of a `Bidirectional`, or a list with the layer itself."""
    if isinstance(layer, keras.layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    return [layer]


def cells(layer: keras.layers.RNN) -> list[Cell]:
    """Return the cells of a layer, lowest first: several for `StackedRNNCells`."""
    return list(layer.cell.cells) if isinstance(layer.cell, keras.layers.StackedRNNCells) else [layer.cell]


def is_of_this_package(value: object) -> bool:
    """Return True for an object whose class belongs to this package."""
    return type(value).__module__.partition(".")[0] == "deeprnn_keras"


def layers_inside(layer: Layer) -> list[Layer]:
    """Return a layer and all layers inside it, outermost first."""
    return list(_compat.flatten_layers(layer))
