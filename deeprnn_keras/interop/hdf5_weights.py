"""Arrays in a Keras HDF5 file, by layer.

Keras 2 and 3 store one group per layer. The attribute `layer_names` of the group that contains them lists them in the
order of the model, and the attribute `weight_names` of each lists its arrays. A list that exceeds the limit of HDF5 for
attributes is split over attributes with a number at the end of their names. In a file with an architecture, the groups
are in `model_weights`; in a file with weights only, they are at the root.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import h5py

SIGNATURE = b"\x89HDF\r\n\x1a\n"
ROOT = "model_weights"
TOP_LEVEL = "top_level_model_weights"


@dataclass(frozen=True)
class StoredArray:
    """Array in a file.

    Attributes:
        name: Path in the file, "model_weights/lstm_1/lstm_1/kernel:0".
        shape: Shape.
        dtype: Data type, "bfloat16" included, which HDF5 stores as bytes.
        node: Where the array is read from.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    node: Any

    @property
    def base(self) -> str:
        """Name of the weight without the path and the number of the output: "kernel"."""
        return self.name.rpartition("/")[2].partition(":")[0]

    @property
    def is_number(self) -> bool:
        """Whether the array contains numbers."""
        return self.dtype == "bfloat16" or np.dtype(self.dtype).kind in "biuf"

    def read(self) -> np.ndarray:
        """Return the values."""
        values = np.asarray(self.node[()])
        if self.dtype == "bfloat16":
            import ml_dtypes

            return values.view(ml_dtypes.bfloat16)
        return values


@dataclass(frozen=True)
class StoredLayer:
    """Arrays of one layer in a file.

    Attributes:
        name: Name of the layer.
        arrays: Its arrays, in the order of the layer's weights.
        missing: Names that are listed, but are not in the file.
        unlisted: Paths of arrays in the group that are not listed.
    """

    name: str
    arrays: tuple[StoredArray, ...]
    missing: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoredLayers:
    """Arrays of all layers in a file, in the order of the model.

    Attributes:
        layers: Layers with weights, by name.
        missing: Names of layers that are listed, but are not in the file.
        unlisted: Names of groups with arrays that are not listed.
        keras_version: Version of Keras that wrote the file; empty before version 2.
    """

    layers: Mapping[str, StoredLayer]
    missing: tuple[str, ...]
    unlisted: tuple[str, ...]
    keras_version: str

    @property
    def arrays(self) -> Iterator[StoredArray]:
        """All listed arrays."""
        for layer in self.layers.values():
            yield from layer.arrays


def text(value: object) -> str:
    """Return a text attribute, which h5py returns as bytes or as text.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, str):
        return value
    raise ValueError(f"an attribute must be text, got {type(value).__name__}")


def text_list(group: h5py.Group, name: str) -> list[str]:
    """Return an attribute that is a list of texts, possibly split over several attributes."""
    if name in group.attrs:
        return [text(value) for value in np.ravel(group.attrs[name]).tolist()]
    values: list[str] = []
    part = 0
    while f"{name}{part}" in group.attrs:
        values += [text(value) for value in np.ravel(group.attrs[f"{name}{part}"]).tolist()]
        part += 1
    return values


def stored_layers(file: h5py.File) -> StoredLayers:
    """Return the arrays of all layers in an open file.

    Raises:
        ValueError: If the file contains no layers as Keras stores them.
    """
    import h5py

    root = file[ROOT] if ROOT in file else file
    if not isinstance(root, h5py.Group) or not has_layers(root):
        raise ValueError("no attribute layer_names, which lists the layers of a Keras model")
    names = text_list(root, "layer_names")
    layers = {name: _stored_layer(root[name]) for name in names if name in root}
    top = _stored_layer(root[TOP_LEVEL]) if TOP_LEVEL in root else None
    if top is not None and top.arrays:
        layers[TOP_LEVEL] = top
    known = {*names, TOP_LEVEL}
    return StoredLayers(
        layers={name: layer for name, layer in layers.items() if layer.arrays or layer.missing or layer.unlisted},
        missing=tuple(name for name in names if name not in root),
        unlisted=tuple(name for name in root if name not in known and _array_paths(root[name])),
        keras_version=text(root.attrs.get("keras_version", file.attrs.get("keras_version", ""))),
    )


def has_layers(group: h5py.Group) -> bool:
    """Return whether a group lists layers as Keras does."""
    return "layer_names" in group.attrs or "layer_names0" in group.attrs


def arrays_by_path(file: h5py.File) -> dict[str, StoredArray]:
    """Return all arrays in an open file by their paths."""
    return {path: stored_array(file[path]) for path in _array_paths(file)}


def stored_array(node: h5py.Dataset) -> StoredArray:
    """Return an array of an open file."""
    dtype = "bfloat16" if node.attrs.get("dtype") == "bfloat16" else node.dtype.name
    return StoredArray(str(node.name).lstrip("/"), tuple(node.shape), dtype, node)


def _stored_layer(group: h5py.Group) -> StoredLayer:
    import h5py

    if not isinstance(group, h5py.Group):
        raise ValueError(f"{group.name!r} is not a group of arrays")
    names = text_list(group, "weight_names")
    found = [name for name in names if isinstance(group.get(name), h5py.Dataset)]
    arrays = tuple(stored_array(group[name]) for name in found)
    listed = {array.name for array in arrays}
    path = str(group.name).lstrip("/")
    return StoredLayer(
        name=path.rpartition("/")[2],
        arrays=arrays,
        missing=tuple(f"{path}/{name}" for name in names if name not in found),
        unlisted=tuple(name for name in _array_paths(group, f"{path}/") if name not in listed),
    )


def _array_paths(node: object, prefix: str = "") -> list[str]:
    """Return the paths of all arrays below a group; of an array, a list with an empty path."""
    import h5py

    if isinstance(node, h5py.Dataset):
        return [prefix]
    paths: list[str] = []
    if isinstance(node, h5py.Group):
        node.visititems(lambda name, found: paths.append(prefix + name) if isinstance(found, h5py.Dataset) else None)
    return paths
