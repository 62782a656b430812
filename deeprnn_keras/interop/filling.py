"""`fill`: the weights of the model of a file for a model that the caller built."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

import keras

from deeprnn_keras._types import Layer
from deeprnn_keras.cells.keras_cells import cell_recurrence
from deeprnn_keras.interop.keras_targets import RECURRENT_LAYERS, cells_of, weight_layers
from deeprnn_keras.layers import DeepRNN


def fill(target: Layer, model: keras.Model, source: str) -> Layer:
    """Set the weights of a built model or layer to those of another model, in order, and return it.

    ONNX and plugin files state the functions of their recurrent layers, so that a target with others is an error.

    Args:
        target: The model or layer of the caller.
        model: The model of the file.
        source: Path of the file, for messages.

    Raises:
        ValueError: If the target has weights of other shapes, or its recurrent layers compute something else; all
            differences are listed.
    """
    differences = _shape_differences(target, model)
    if differences:
        raise ValueError(f"{source}: the weights do not fit {target.name!r}: {'; '.join(differences)}")
    differences = list(_function_differences(target, model))
    if differences:
        raise ValueError(
            f"{source}: into {target.name!r} computes something else: {'; '.join(differences)}; build it with the "
            "functions of the file, which interop.inspect lists"
        )
    target.set_weights(model.get_weights())
    return target


def _shape_differences(target: Layer, model: keras.Model) -> list[str]:
    found, weights = list(model.weights), list(target.weights)
    differences = [
        f"{own.path} {list(own.shape)} for {weight.path} {list(weight.shape)}"
        for own, weight in zip(found, weights, strict=False)
        if tuple(own.shape) != tuple(weight.shape)
    ]
    differences += [f"{own.path} {list(own.shape)} for no weight" for own in found[len(weights) :]]
    return differences + [f"nothing for {weight.path} {list(weight.shape)}" for weight in weights[len(found) :]]


# === Functions of recurrent layers ===


class _Pass(NamedTuple):
    """One pass of a recurrence over a sequence.

    Attributes:
        layer: Name of its layer.
        functions: {argument: its value}, of everything but the weights that determines what it computes.
    """

    layer: str
    functions: dict[str, object]


def _function_differences(target: Layer, model: keras.Model) -> Iterator[str]:
    for one, own in zip_longest(_passes(target), _passes(model)):
        if one is None or own is None:  # equal weights in another number of layers
            yield "the numbers of its recurrent layers and of those of the file differ"
            return
        for argument in own.functions.keys() | one.functions.keys():
            value, stored = one.functions.get(argument), own.functions.get(argument)
            if value != stored:
                yield f"layer {one.layer!r} has {argument}={value}, the file {stored}"


def _passes(model: Layer) -> Iterator[_Pass]:
    for layer in weight_layers(model):
        if isinstance(layer, RECURRENT_LAYERS):
            for cells, backwards in zip(cells_of(layer), _backwards(layer), strict=True):
                for cell, reverse in zip(cells, backwards, strict=True):
                    recurrence = cell_recurrence(cell)
                    functions = {} if recurrence is None else dict(recurrence.activations)
                    equations = type(cell).__name__ if recurrence is None else recurrence.equations
                    named = {key: one if isinstance(one, str) else _described(one) for key, one in functions.items()}
                    yield _Pass(layer.name, {"equations": equations, "go_backwards": reverse, **named})


def _described(function: object) -> str:
    return str(keras.saving.serialize_keras_object(function))


def _backwards(layer: Layer) -> list[list[bool]]:
    """Return whether each direction of each layer inside a recurrent layer reads sequences from their end."""
    if isinstance(layer, DeepRNN):
        return [[one.go_backwards != layer.go_backwards for one in level] for level in layer.levels]
    directions = (
        [layer.forward_layer, layer.backward_layer] if isinstance(layer, keras.layers.Bidirectional) else [layer]
    )
    return [[one.go_backwards for one in directions]] * len(cells_of(layer))
