"""Mapping of the arrays in a Keras file to the weights of a model: which array becomes which weight, and how."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from deeprnn_keras import _compat, limits
from deeprnn_keras._types import Layer
from deeprnn_keras.interop.hdf5_weights import TOP_LEVEL, StoredArray, StoredLayer, StoredLayers
from deeprnn_keras.interop.keras2_cells import COPY, Conversion, target_cell
from deeprnn_keras.interop.keras_graph import BuiltModel
from deeprnn_keras.interop.report import Entry

OPTIMIZER = ("optimizer", "optimizer_weights")
SEEDS = "seed_generator"


@dataclass(frozen=True)
class Assignment:
    """Array of a file and the weight that it becomes."""

    array: StoredArray
    variable: Any
    conversion: Conversion = COPY

    @property
    def entry(self) -> Entry:
        """Line of the report."""
        changes = [self.conversion.change, self._cast()]
        return Entry(
            self.array.name,
            self.array.shape,
            self.array.dtype,
            self.variable.path,
            tuple(self.variable.shape),
            ", ".join(filter(None, changes)),
        )

    def _cast(self) -> str:
        dtype = self.variable.dtype
        return "" if self.array.dtype == dtype else f"{self.array.dtype} to {dtype}"

    @property
    def problem(self) -> str:
        """Reason for which the array does not fit; empty if it does."""
        array, shape = self.array, tuple(self.variable.shape)
        if not array.is_number:
            return f"{array.name} contains no numbers but {array.dtype}"
        if self.conversion.shape(array.shape) == shape:
            return ""
        change = f" ({self.conversion.change})" if self.conversion.change else ""
        return f"{array.name} {array.shape}{change}, but {self.variable.path} is {shape}"

    def assign(self) -> None:
        """Read the array, convert it, and assign it to the weight."""
        values = self.array.read()
        if values.dtype.itemsize < 4 and values.dtype.kind not in "iub":  # half precision, which NumPy rounds
            values = values.astype("float32")
        self.variable.assign(self.conversion.apply(values))


@dataclass
class WeightMapping:
    """Result of the matching of a file and a model.

    Attributes:
        assignments: Arrays with their weights.
        missing: Weights without an array, and arrays that are listed in the file but are not there.
        unused: Arrays without a weight.
    """

    assignments: list[Assignment] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    @property
    def misshaped(self) -> list[str]:
        """Arrays that do not fit their weight."""
        return [one.problem for one in self.assignments if one.problem]

    def add_layer(self, stored: StoredLayer, layer: Layer, variables: Sequence[Any], keras_version: int) -> None:
        """Match the arrays of a layer with its weights: in their order, or by name if one is missing."""
        self.missing += stored.missing
        self.unused += stored.unlisted
        pairs = list(_aligned(stored.arrays, variables))
        self.missing += [f"{stored.name}: {variable.path}" for array, variable in pairs if array is None]
        self.unused += [array.name for array, variable in pairs if array is not None and variable is None]
        matched = [(array, variable) for array, variable in pairs if array is not None and variable is not None]
        conversions = _conversions(layer, matched, keras_version)
        self.assignments += [
            Assignment(array, variable, conversions.get(id(variable), COPY)) for array, variable in matched
        ]


def map_layers(stored: StoredLayers, built: BuiltModel, keras_version: int) -> WeightMapping:
    """Match the layers of a file with those of the model that was built from it, by name."""
    mapping = WeightMapping(missing=list(stored.missing), unused=list(stored.unlisted))
    for name, layer in built.layers.items():
        variables = legacy_weights(layer, built)
        if not variables and name not in stored.layers:
            continue
        found = stored.layers.get(name, StoredLayer(name, ()))
        mapping.add_layer(found, layer, variables, keras_version)
    for name in stored.layers.keys() - built.layers.keys():
        layer = stored.layers[name]
        if name == TOP_LEVEL:
            mapping.add_layer(layer, built.model, _own_weights(built.model), keras_version)
        else:
            mapping.unused += [array.name for array in layer.arrays]
    return mapping


def map_into(stored: StoredLayers, model: Layer, keras_version: int) -> WeightMapping:
    """Match the layers of a file with those of a given model: by name, or in their order if the names differ."""
    candidates = model.layers if isinstance(model, keras.Model) else [model]
    layers = {layer.name: layer for layer in candidates if legacy_weights(layer)}
    names = [name for name in stored.layers if name != TOP_LEVEL]
    if not set(names) <= layers.keys() and len(names) == len(layers):
        layers = dict(zip(names, layers.values(), strict=True))
    return map_layers(stored, BuiltModel(model, layers, {}), keras_version)


def map_paths(stored: Mapping[str, StoredArray], model: keras.Model, keras_version: int) -> WeightMapping:
    """Match the arrays of the weights in a `.keras` file, or of a `.weights.h5` file, with those of a model."""
    variables = _compat.weights_by_path(model)
    weights = {id(variable) for variable in model.weights}
    mapping = WeightMapping()
    found = [(stored[path], variable) for path, variable in variables.items() if path in stored]
    conversions = _conversions(model, found, keras_version)
    for path, variable in variables.items():
        if path in stored:
            conversion = conversions.get(id(variable), COPY)
            mapping.assignments.append(Assignment(stored[path], variable, conversion))
        elif id(variable) in weights:
            mapping.missing.append(f"{path}: {variable.path}")
    mapping.unused += [
        path for path in stored if path not in variables and not path.startswith(OPTIMIZER) and SEEDS not in path
    ]
    return mapping


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
        states = {id(state) for state in _states(layer)}
        others = [weight for weight in layer.non_trainable_weights if id(weight) not in states]
        return list(layer.trainable_weights), others
    nested = built.nested.get(id(layer)) if built is not None else None
    parts = [_ordered(one, built) for one in (nested.layers.values() if nested is not None else layer.layers)]
    return [weight for part in parts for weight in part[0]], [weight for part in parts for weight in part[1]]


def _own_weights(model: keras.Model) -> list[Any]:
    """Return the weights of a model that belong to none of its layers."""
    of_layers = {id(weight) for layer in model.layers for weight in layer.weights}
    return [weight for weight in model.weights if id(weight) not in of_layers]


def _states(layer: Layer) -> Iterator[Any]:
    """Yield the variables in which the recurrent layers of a layer carry their states."""
    for one in _compat.flatten_layers(layer):
        if isinstance(one, keras.layers.RNN):
            yield from keras.tree.flatten(one.states or [])


def _aligned(arrays: Sequence[StoredArray], variables: Sequence[Any]) -> Iterator[tuple[StoredArray | None, Any]]:
    """Yield pairs of an array and a weight; None in place of one that has no counterpart.

    If the numbers are equal, the order decides, since names are not reproducible. Otherwise the weights are matched in
    their order with the next array of the same name.
    """
    if len(arrays) == len(variables):
        yield from zip(arrays, variables, strict=True)
        return
    left = list(arrays)
    for variable in variables:
        found = next((array for array in left if array.base == variable.name), None)
        if found is not None:
            left.remove(found)
        yield found, variable
    yield from ((array, None) for array in left)


def _conversions(
    layer: Layer, pairs: Iterable[tuple[StoredArray, Any]], keras_version: int
) -> dict[int, Conversion]:
    """Return the conversions of the arrays of the cells in a layer, by the identity of the weight."""
    arrays = {id(variable): array for array, variable in pairs}
    conversions: dict[int, Conversion] = {}
    for one in _compat.flatten_layers(layer):
        cell = target_cell(one, keras_version)
        if cell is not None:
            weights = {weight.name: weight for weight in one.weights if id(weight) in arrays}
            found = cell.conversions({name: arrays[id(weight)] for name, weight in weights.items()})
            conversions |= {id(weights[name]): conversion for name, conversion in found.items()}
    return conversions


def check_memory(model: keras.Model) -> None:
    """Raise a ValueError if the variables of a model exceed the memory limit.

    Args:
        model: The model; its variables need no values.
    """
    for dtype in {variable.dtype for variable in model.variables}:
        count = sum(int(np.prod(one.shape, dtype=object)) for one in model.variables if one.dtype == dtype)
        limits.check_memory(f"model {model.name!r}", count, dtype)
