"""Arrays in a Keras HDF5 file, and the layers to which they belong.

Keras 2 and 3 store one group per layer. The attribute `layer_names` of the group that contains them lists them in the
order of the model, and the attribute `weight_names` of each lists its arrays. A list that exceeds the limit of HDF5 for
attributes is split over attributes with a number at the end of their names. In a file with an architecture, the groups
are in `model_weights`; in a file with weights only, they are at the root.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
from typing_extensions import override

from deeprnn_keras.interop.arrays import ArrayInfo, Arrays

if TYPE_CHECKING:
    import h5py

SIGNATURE = b"\x89HDF\r\n\x1a\n"
ROOT = "model_weights"
TOP_LEVEL = "top_level_model_weights"
BFLOAT16 = "bfloat16"  # HDF5 has no such type: the attribute dtype of an array of 2-byte values names it


class HDF5Arrays(Arrays):
    """Arrays of an open HDF5 file by their paths.

    Args:
        file: The file, which must stay open.
    """

    def __init__(self, file: h5py.File) -> None:
        import h5py

        self.nodes: dict[str, Any] = {}
        file.visititems(lambda path, node: self.nodes.update({path: node} if isinstance(node, h5py.Dataset) else {}))
        self.infos = {path: ArrayInfo(tuple(node.shape), _dtype_name(node)) for path, node in self.nodes.items()}
        self.aliases = {}

    @override
    def read_raw(self, name: str) -> np.ndarray:
        values = np.asarray(self.nodes[name][()])
        return values.view(ml_dtypes.bfloat16) if self.infos[name].dtype == BFLOAT16 else values

    @override
    def read(self, name: str) -> np.ndarray:
        """Return a floating-point array of at least 32 bits."""
        values = self.read_raw(name)
        return values.astype(np.float32) if values.dtype.itemsize < 4 else values


def _dtype_name(node: h5py.Dataset) -> str:
    return BFLOAT16 if node.attrs.get("dtype") == BFLOAT16 else node.dtype.name


@dataclass(frozen=True)
class StoredLayers:
    """Arrays of all layers in a file.

    Attributes:
        layers: {name of a layer with weights: paths of its arrays in the order of its weights, also of those that are
            listed but are not in the file}, in the order of the model.
        missing: Names of layers that are listed, but are not in the file.
        keras_version: Version of Keras that wrote the file; empty before version 2.
    """

    layers: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]
    keras_version: str


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


def has_layers(group: h5py.Group) -> bool:
    """Return whether a group lists layers as Keras does."""
    return "layer_names" in group.attrs or "layer_names0" in group.attrs


def stored_layers(file: h5py.File) -> StoredLayers:
    """Return the arrays of all layers in an open file.

    Raises:
        ValueError: If the file contains no layers as Keras stores them.
    """
    root = _group(file, ROOT) if ROOT in file else file
    if not has_layers(root):
        raise ValueError("no attribute layer_names, which lists the layers of a Keras model")
    names = _text_list(root, "layer_names")
    layers = {name: _listed_arrays(_group(root, name)) for name in (*names, TOP_LEVEL) if name in root}
    return StoredLayers(
        layers={name: arrays for name, arrays in layers.items() if arrays},
        missing=tuple(f"layer {name}" for name in names if name not in root),
        keras_version=text(root.attrs.get("keras_version", file.attrs.get("keras_version", ""))),
    )


def _text_list(group: h5py.Group, name: str) -> list[str]:
    """Return an attribute that is a list of texts, possibly split over several attributes."""
    if name in group.attrs:
        return _texts(group.attrs[name])
    values: list[str] = []
    part = 0
    while f"{name}{part}" in group.attrs:
        values += _texts(group.attrs[f"{name}{part}"])
        part += 1
    return values


def _texts(values: Any) -> list[str]:  # noqa: ANN401 - an attribute
    return [text(value) for value in np.ravel(values).tolist()]


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    import h5py

    found = parent[name]
    if not isinstance(found, h5py.Group):
        raise ValueError(f"{name!r} is not a group of arrays")
    return found


def _listed_arrays(group: h5py.Group) -> tuple[str, ...]:
    path = str(group.name).strip("/")
    return tuple(f"{path}/{name}" for name in _text_list(group, "weight_names"))
