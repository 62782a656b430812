"""Matching of the arrays in a Keras file with the weights of a model: which array becomes which weight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from deeprnn_keras import _compat
from deeprnn_keras._types import Layer
from deeprnn_keras.interop.assignment import Assignment, Target
from deeprnn_keras.interop.hdf5_weights import TOP_LEVEL, HDF5Arrays, StoredLayer, StoredLayers
from deeprnn_keras.interop.keras2_cells import COPY, Conversion, target_cell
from deeprnn_keras.interop.keras_graph import BuiltModel

OPTIMIZER = ("optimizer/", "optimizer_weights/")
SEEDS = "seed_generator"


@dataclass
class Matching:
    """Result of matching the arrays of a file with the weights of a model.

    Attributes:
        arrays: The arrays of the file.
        keras_version: Major version of the Keras that wrote the file.
        assignments: Computation of each weight that has an array.
        missing: Weights without an array, and arrays that are listed in the file but are not there.
    """

    arrays: HDF5Arrays
    keras_version: int
    assignments: list[Assignment] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def ignored(self) -> list[str]:
        """Arrays of the optimizer and of random seeds, which are not part of the model."""
        return [path for path in self.arrays.infos if path.startswith(OPTIMIZER) or SEEDS in path]

    def add_layer(self, name: str, stored: StoredLayer, layer: Layer, variables: Sequence[Any]) -> None:
        """Match the arrays of a layer with its weights: in their order, or by name if the numbers differ."""
        self.missing += stored.missing
        pairs = list(_aligned(stored.arrays, variables))
        listed = {_base(path) for path in stored.missing}
        self.missing += [
            f"{name}: {variable.path}" for path, variable in pairs if path is None and variable.name not in listed
        ]
        self.assign(layer, [(path, variable) for path, variable in pairs if path is not None])

    def assign(self, layer: Layer, pairs: Sequence[tuple[str, Any]]) -> None:
        """Add the assignments of arrays to the weights of a layer or model."""
        conversions = self._conversions(layer, pairs)
        for path, variable in pairs:
            conversion = conversions.get(id(variable), COPY)
            shape = tuple(variable.shape)
            self.assignments.append(
                Assignment(
                    Target(variable.path, shape, variable),
                    (path,),
                    (conversion.source_shape(shape),),
                    conversion.change,
                    conversion.compute,
                )
            )

    def _conversions(self, layer: Layer, pairs: Iterable[tuple[str, Any]]) -> dict[int, Conversion]:
        """Return the conversions of the arrays of the cells in a layer, by the identity of the weight."""
        paths = {id(variable): path for path, variable in pairs}
        conversions: dict[int, Conversion] = {}
        for one in _compat.flatten_layers(layer):
            cell = target_cell(one, self.keras_version)
            if cell is not None:
                weights = {weight.name: weight for weight in one.weights if id(weight) in paths}
                shapes = {name: self.arrays.infos[paths[id(weight)]].shape for name, weight in weights.items()}
                found = cell.conversions(shapes)
                conversions |= {id(weights[name]): conversion for name, conversion in found.items()}
        return conversions


def match_layers(stored: StoredLayers, arrays: HDF5Arrays, built: BuiltModel, keras_version: int) -> Matching:
    """Match the layers of a file with those of the model that was built from it, by name."""
    matching = Matching(arrays, keras_version, missing=list(stored.missing))
    for name, layer in built.layers.items():
        variables = legacy_weights(layer, built)
        if f"layer {name}" not in stored.missing:
            matching.add_layer(name, stored.layers.get(name, StoredLayer()), layer, variables)
    if TOP_LEVEL in stored.layers:
        matching.add_layer(TOP_LEVEL, stored.layers[TOP_LEVEL], built.model, _own_weights(built.model))
    return matching


def match_into(stored: StoredLayers, arrays: HDF5Arrays, into: Layer, keras_version: int) -> Matching:
    """Match the layers of a file with those of a given model: by name, or in their order if the names differ."""
    candidates = into.layers if isinstance(into, keras.Model) else [into]
    layers = {layer.name: layer for layer in candidates if legacy_weights(layer)}
    names = [name for name in stored.layers if name != TOP_LEVEL]
    if not set(names) <= layers.keys() and len(names) == len(layers):
        layers = dict(zip(names, layers.values(), strict=True))
    return match_layers(stored, arrays, BuiltModel(into, layers, {}), keras_version)


def match_paths(arrays: HDF5Arrays, model: keras.Model, keras_version: int) -> Matching:
    """Match the arrays of the weights in a `.keras` file, or of a `.weights.h5` file, with those of a model."""
    variables = _compat.weights_by_path(model)
    weights = {id(variable) for variable in model.weights}
    matching = Matching(arrays, keras_version)
    matching.missing += [
        path for path, variable in variables.items() if path not in arrays.infos and id(variable) in weights
    ]
    matching.assign(model, [(path, variable) for path, variable in variables.items() if path in arrays.infos])
    return matching


def legacy_weights(layer: Layer, built: BuiltModel | None = None) -> list[Any]:
    """Return the weights of a layer in the order of a Keras 2 file: the trainable ones, then the others.

    Args:
        layer: A layer, or a nested model.
        built: The model that contains it; its nested models have the order of their layers in the file.
    """
    trainable, others = _ordered(layer, built)
    return [*trainable, *others]


def _ordered(layer: Layer, built: BuiltModel | None) -> tuple[list[Any], list[Any]]:
    if isinstance(layer, keras.layers.TimeDistributed):
        layer = layer.layer
    if not isinstance(layer, (keras.Sequential, _compat.functional_class())):
        return list(layer.trainable_weights), list(layer.non_trainable_weights)
    nested = built.nested.get(id(layer)) if built is not None else None
    parts = [_ordered(one, built) for one in (nested.layers.values() if nested is not None else layer.layers)]
    return [weight for part in parts for weight in part[0]], [weight for part in parts for weight in part[1]]


def _own_weights(model: keras.Model) -> list[Any]:
    """Return the weights of a model that belong to none of its layers."""
    of_layers = {id(weight) for layer in model.layers for weight in layer.weights}
    return [weight for weight in model.weights if id(weight) not in of_layers]


def _aligned(paths: Sequence[str], variables: Sequence[Any]) -> Iterator[tuple[str | None, Any]]:
    """Yield each weight with the path of its array, or None.

    If the numbers are equal, the order decides, since names are not reproducible. Otherwise each weight is matched with
    the next array of the same name.
    """
    if len(paths) == len(variables):
        yield from zip(paths, variables, strict=True)
        return
    left = list(paths)
    for variable in variables:
        found = next((path for path in left if _base(path) == variable.name), None)
        if found is not None:
            left.remove(found)
        yield found, variable


def _base(path: str) -> str:
    """Return the name of a weight without its path and the number of the output: "kernel"."""
    return path.rpartition("/")[2].partition(":")[0]
