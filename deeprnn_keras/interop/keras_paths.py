"""Paths of the weights of a model in a `.keras` file."""

from __future__ import annotations

import re
from collections import Counter

from deeprnn_keras import _compat
from deeprnn_keras.interop.keras2_layers import TimeMajor
from deeprnn_keras.interop.keras_graph import BuiltModel

ATTENTION = re.compile(r"/(?=(key|output|query|value)_dense/)")
"""Layers inside a `MultiHeadAttention`, whose names begin with "_" in Keras 2."""


def weight_paths(built: BuiltModel, keras_version: int) -> dict[int, str]:
    """Return {identity of a weight: its path}.

    The paths contain the classes of the layers and, for layers of one class, their order: in files of Keras 2 that of
    the configuration, and in files of Keras 3 that of the model.

    Args:
        built: The model.
        keras_version: Major version of the Keras that wrote the file.
    """
    weights = {id(weight) for weight in built.model.weights}
    if keras_version > 2:
        found = {id(one): path for path, one in _compat.weights_by_path(built.model).items()}
    else:
        found = {key: ATTENTION.sub("/_", path) for key, path in _in_file_order(built, built, "", set()).items()}
    return {key: path for key, path in found.items() if key in weights}


def _in_file_order(built: BuiltModel, outermost: BuiltModel, prefix: str, visited: set[int]) -> dict[int, str]:
    """Return the paths of the weights of a model whose layers have the order of the configuration.

    Args:
        built: The model.
        outermost: The model that contains it.
        prefix: Beginning of its paths.
        visited: Identities of the layers that have a path; those of the model are added.
    """
    found: dict[int, str] = {}
    counts: Counter[str] = Counter()
    for outer in built.layers.values():
        layer = outer.layer if isinstance(outer, TimeMajor) else outer  # Keras 2 has an argument in its place
        name = _compat.class_path(layer)
        path = f"{prefix}layers/{name}" + (f"_{counts[name]}" if counts[name] else "")
        counts[name] += 1
        nested = outermost.nested.get(id(layer))
        if nested is None:
            found |= {id(one): path for path, one in _compat.weights_by_path(layer, path, visited).items()}
        elif id(layer) not in visited:
            visited.add(id(layer))
            found |= _in_file_order(nested, outermost, f"{path}/", visited)
    return found
