"""Matching of the arrays in a Keras file with the weights of a model: which array becomes which weight."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import keras

from deeprnn_keras import _compat
from deeprnn_keras._types import Layer
from deeprnn_keras.interop.addons_cells import addons_cell
from deeprnn_keras.interop.assignment import Assignment, Target
from deeprnn_keras.interop.hdf5_weights import TOP_LEVEL, HDF5Arrays, StoredLayers
from deeprnn_keras.interop.keras2_cells import Conversion, StoredCell, standard_cell
from deeprnn_keras.interop.keras_graph import BuiltModel
from deeprnn_keras.interop.keras_paths import weight_paths

OPTIMIZER = ("optimizer/", "optimizer_weights/")
SEEDS = "seed_generator"
VARIABLES = "vars"  # group of the variables of a layer in a `.keras` file

Key: TypeAlias = tuple[int, str]
"""(identity of a weight or of a cell, name of the array)."""
Cells: TypeAlias = Sequence[tuple[Layer, StoredCell]]


@dataclass(frozen=True)
class Slot:
    """Array that a file should contain for a layer.

    Attributes:
        key: The weight or cell to which it belongs, and its name.
        path: Its path in the model, for messages.
    """

    key: Key
    path: str

    @property
    def name(self) -> str:
        """Name of the array in a file."""
        return self.key[1].rpartition("/")[2]


@dataclass
class Matching:
    """Result of matching the arrays of a file with the weights of a model.

    Attributes:
        arrays: The arrays of the file.
        keras_version: Major version of the Keras that wrote the file.
        without_bias: Identities of the cells that have a bias, although those of the file have none.
        assignments: Computation of each weight.
        missing: Arrays that are listed in the file but are not there.
    """

    arrays: HDF5Arrays
    keras_version: int
    without_bias: Collection[int] = ()
    assignments: list[Assignment] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def ignored(self) -> list[str]:
        """Arrays of the optimizer and of random seeds, which are not part of the model."""
        return [path for path in self.arrays.infos if path.startswith(OPTIMIZER) or SEEDS in path]

    def add_layer(self, name: str, listed: Sequence[str], layer: Layer, variables: Sequence[Any]) -> None:
        """Match the arrays of a layer with its weights: in their order, or by name if the numbers differ.

        Args:
            name: Name of the layer.
            listed: Paths of its arrays.
            layer: The layer.
            variables: Its weights in the order of the file.
        """
        cells = stored_cells(layer, self.keras_version, self.without_bias)
        self.missing += [path for path in listed if path not in self.arrays.infos]
        aligned = _aligned(listed, list(_slots(variables, cells)))
        self.assign(variables, cells, {slot.key: path or f"{name}: {slot.path}" for slot, path in aligned})

    def assign(self, variables: Sequence[Any], cells: Cells, paths: Mapping[Key, str]) -> None:
        """Add the assignments of arrays to weights.

        Args:
            variables: The weights.
            cells: Cells among whose weights they are.
            paths: {key of a slot: path of the array, or description of a missing one}.
        """
        conversions: dict[int, tuple[Any, Conversion]] = {}
        for cell, stored in cells:
            infos = {name: self.arrays.find(paths.get((id(cell), name), "")) for name in stored.arrays}
            found = stored.conversions({name: info.shape for name, info in infos.items() if info is not None})
            conversions |= {id(one): (cell, found[one.name]) for one in cell.weights if one.name in found}
        for variable in variables:
            owner, conversion = conversions.get(id(variable), (variable, Conversion((variable.name,))))
            shape = tuple(variable.shape)
            self.assignments.append(
                Assignment(
                    Target(variable.path, shape, variable),
                    tuple(paths[id(owner), name] for name in conversion.sources),
                    (conversion.source_shape(shape),) * len(conversion.sources),
                    conversion.change,
                    conversion.compute,
                )
            )


def stored_cells(layer: Layer, keras_version: int, without_bias: Collection[int] = ()) -> Cells:
    """Return the cells in a layer whose arrays in the file are not their weights.

    Args:
        layer: The layer.
        keras_version: Major version of the Keras that wrote the file.
        without_bias: As in `BuiltModel`.
    """
    if keras_version > 2:
        return []
    inside = list(_compat.flatten_layers(layer))
    found = [(one, addons_cell(one, id(one) not in without_bias) or standard_cell(one)) for one in inside]
    return [(one, stored) for one, stored in found if stored is not None]


def match_layers(stored: StoredLayers, arrays: HDF5Arrays, built: BuiltModel, keras_version: int) -> Matching:
    """Match the layers of a file with those of the model that was built from it, by name."""
    matching = Matching(arrays, keras_version, built.without_bias, missing=list(stored.missing))
    for name, layer in built.layers.items():
        if f"layer {name}" not in stored.missing:
            matching.add_layer(name, stored.layers.get(name, ()), layer, legacy_weights(layer, built))
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
    return match_layers(stored, arrays, BuiltModel(into, layers), keras_version)


def match_paths(arrays: HDF5Arrays, built: BuiltModel, keras_version: int) -> Matching:
    """Match the arrays of the weights in a `.keras` file, or of a `.weights.h5` file, with those of a model."""
    matching = Matching(arrays, keras_version, built.without_bias)
    cells = stored_cells(built.model, keras_version, built.without_bias)
    variables = {id(weight): weight for weight in built.model.weights}
    matching.assign(list(variables.values()), cells, _paths(built, cells, keras_version))
    return matching


def paths_by_layer(built: BuiltModel, keras_version: int) -> dict[str, list[str]]:
    """Return the paths of the arrays of each layer in a `.keras` file, in the order of an HDF5 file of Keras 2."""
    cells = stored_cells(built.model, keras_version, built.without_bias)
    paths = _paths(built, cells, keras_version)
    return {
        name: [paths[slot.key] for slot in _slots(legacy_weights(layer, built), cells)]
        for name, layer in built.layers.items()
    }


def _paths(built: BuiltModel, cells: Cells, keras_version: int) -> dict[Key, str]:
    """Return {key of a slot: path of the array in a `.keras` file}."""
    of_weights = {id(weight): f"an array for {weight.path}" for weight in built.model.weights}
    of_weights |= weight_paths(built, keras_version)
    found = {(id(weight), weight.name): of_weights[id(weight)] for weight in built.model.weights}
    for cell, stored in cells:
        prefix = of_weights[id(cell.weights[0])].rpartition(f"{VARIABLES}/")[0]
        found |= {(id(cell), name): f"{prefix}{path}" for name, path in _paths_inside(stored.arrays)}
    return found


def _paths_inside(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the names of arrays of a cell with their paths in a `.keras` file, below that of the cell."""
    counts: dict[str, int] = {}
    for name in names:
        group = "/".join([*name.split("/")[:-1], VARIABLES])
        counts[group] = counts.get(group, -1) + 1
        yield name, f"{group}/{counts[group]}"


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


def _slots(variables: Sequence[Any], cells: Cells) -> Iterator[Slot]:
    """Yield the arrays that a file should contain for weights, in their order; those of a cell together."""
    of_cells = {id(weight): number for number, (cell, _) in enumerate(cells) for weight in cell.weights}
    done: set[int] = set()
    for variable in variables:
        number = of_cells.get(id(variable))
        cell, stored = cells[number] if number is not None else (None, None)
        if cell is None or stored is None or variable.name not in stored.conversions({}):
            yield Slot((id(variable), variable.name), variable.path)
        elif id(cell) not in done:
            done.add(id(cell))
            yield from (Slot((id(cell), name), f"{cell.path}/{name}") for name in stored.arrays)


def _aligned(paths: Sequence[str], slots: Sequence[Slot]) -> Iterator[tuple[Slot, str | None]]:
    """Yield each slot with the path of its array, or None.

    If the numbers are equal, the order decides, since names are not reproducible. Otherwise each slot is matched with
    the next array of the same name.
    """
    if len(paths) == len(slots):
        yield from zip(slots, paths, strict=True)
        return
    left = list(paths)
    for slot in slots:
        found = next((path for path in left if _base(path) == slot.name), None)
        if found is not None:
            left.remove(found)
        yield slot, found


def _base(path: str) -> str:
    """Return the name of a weight without its path and the number of the output: "kernel"."""
    return path.rpartition("/")[2].partition(":")[0]
