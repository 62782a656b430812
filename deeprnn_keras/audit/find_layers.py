"""Search for recurrent layers in a model, however deeply nested."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deeprnn_keras import _compat
from deeprnn_keras._types import Layer

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.layers import DeepRNN


def recurrent_layers(root: Layer) -> list[tuple[str, keras.layers.RNN]]:
    """Return [(path, layer)] of every `keras.layers.RNN` in a layer or model, in order, each layer once.

    A path joins the names from below the root down to the layer: "encoder/deep_rnn/forward_1". A layer that is used
    more than once is listed where it occurs first.
    """
    return list(_walk(root, [], set()))


def _walk(layer: Layer, names: list[str], visited: set[int]) -> Iterator[tuple[str, keras.layers.RNN]]:
    import keras

    if id(layer) in visited:
        return
    visited.add(id(layer))
    if isinstance(layer, keras.layers.RNN):
        yield "/".join(names) or layer.name, layer
    # `keras.Model.layers` calls this method; layers that are not models have no public counterpart.
    for child in _compat.flatten_layers(layer, include_self=False, recursive=False):
        yield from _walk(child, [*names, child.name], visited)


def find_stack(model: keras.Model, name: str | None = None) -> DeepRNN:
    """Return the only `DeepRNN` of a model, or the one with the given name.

    Raises:
        ValueError: If there is none, or if there are several and `name` is None.
    """
    from deeprnn_keras.layers import DeepRNN

    stacks = [layer for layer in _compat.flatten_layers(model) if isinstance(layer, DeepRNN)]
    if name is not None:
        stacks = [layer for layer in stacks if layer.name == name]
    if len(stacks) != 1:
        names = [layer.name for layer in stacks]
        expected = f"named {name!r}" if name else "in the model"
        raise ValueError(
            f"layer: expected exactly one DeepRNN {expected}, found {names or 'none'}; if there are several, "
            "pass the name of one as layer="
        )
    return stacks[0]
