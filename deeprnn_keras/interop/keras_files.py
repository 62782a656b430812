"""Keras files as sources: HDF5, `.keras`, JSON with weights, and zip archives that contain one of them.

Nothing in a file is executed. Keras' own reader of HDF5 files is not used: it runs the code of `Lambda` layers even in
safe mode, and does not support what Keras 2 wrote.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import keras

from deeprnn_keras import _compat, limits
from deeprnn_keras.interop import addons_cells, keras_mapping
from deeprnn_keras.interop.assignment import assign, check_size, make_report
from deeprnn_keras.interop.file_part import FilePart
from deeprnn_keras.interop.hdf5_weights import ROOT, SIGNATURE, HDF5Arrays, has_layers, stored_layers, text
from deeprnn_keras.interop.keras_config import LayerPlan, ModelPlan, Rewriting
from deeprnn_keras.interop.keras_graph import BuiltModel, build_model
from deeprnn_keras.interop.keras_mapping import Matching
from deeprnn_keras.interop.references import tf_keras_models
from deeprnn_keras.interop.references.keras2 import Keras2Reference
from deeprnn_keras.interop.references.models import KerasReference
from deeprnn_keras.interop.references.tf_keras_models import TfKerasReference
from deeprnn_keras.interop.report import Report
from deeprnn_keras.interop.source import Content, Reference, Request, Source
from deeprnn_keras.model_file import CONFIG, WEIGHTS, check_hdf5, check_members
from deeprnn_keras.reading import (
    MAX_JSON_BYTES,
    READING_ERRORS,
    DamagedFileError,
    damage_reported,
    parse_json,
    read_bytes,
    require_regular_file,
)

if TYPE_CHECKING:
    import h5py

METADATA = "metadata.json"
BYTES_PER_STORED_BYTE = 2  # arrays of half precision become weights of 32 bits
ZIP_SIGNATURE = b"PK\x03\x04"
WEIGHT_SUFFIXES = (".h5", ".hdf5", ".weights.h5", "_weights.h5", "_weights.hdf5")
NOT_COMPILED = "the optimizer and its state are not loaded; compile the model before training it"
SCALED = "the hard sigmoid of Keras 2 is 0.2 x + 0.5, that of Keras 3 x / 6 + 0.5: the blocks of the gates are scaled"


@dataclass(frozen=True)
class KerasSource(Source):
    """Architecture, weights, or both in files of Keras 2 or 3.

    Attributes:
        name: Name for messages.
        kind: Kind of source.
        weights: The HDF5 file with the weights.
        config: Configuration of the model as a JSON value; None without architecture.
        keras_version: Major version of the Keras that wrote the file.
        has_layers: True if the arrays are listed by layer; otherwise they have the paths of a `.keras` file.
        is_compiled: True if the file contains the settings of `compile`.
    """

    name: str
    kind: str
    weights: FilePart
    config: Any
    keras_version: int
    has_layers: bool
    is_compiled: bool = False

    def inspect(self, request: Request) -> Report:
        """Return the arrays with the weights that they become; the weights get no values."""
        with self._opened(request) as file:
            if request.into is not None:
                return self._report(self._match_into(file, request.into), request.into)
            with _compat.variables_without_values():
                built = build_model(self._plan(request), stateful=False)
            return self._report(self._match(file, built), built.model)

    def load(self, request: Request) -> keras.Layer:
        """Return the model with its weights, or `request.into` if it was passed."""
        with self._opened(request) as file:
            if request.into is not None:
                return self._filled(request.into, self._match_into(file, request.into))
            return self._load_new(file, self._plan(request))

    def reference(self, request: Request) -> Reference | None:
        """Return tf_keras with the model of the file if it is installed, otherwise the equations of Keras 2 in NumPy.

        Models with cells of tensorflow-addons, which tf_keras does not have, are run by the latter. Files of Keras 3
        with architecture and weights are read by Keras. None for other files, and with classes of the caller.
        """
        if self.config is None or request.custom_objects:
            return None
        with self._opened(request) as file:
            plan = self._plan(request)  # Keras would run the code of a configuration that is refused here
            if self.keras_version > 2:
                return self._run_by_keras(plan) if "model_config" in file.attrs else None
            if tf_keras_models.is_installed() and not addons_cells.is_in(self.config):
                suffix = ".h5" if self.has_layers else ".weights.h5"  # by which tf_keras selects the reader
                with self.weights.as_file(f"model{suffix}") as path:
                    return TfKerasReference(self.config, path)
            arrays = HDF5Arrays(file)
            names = stored_layers(file).layers if self.has_layers else self._arrays_by_layer(plan)
            weights = {
                layer: [arrays.read(name) for name in found if name in arrays.infos] for layer, found in names.items()
            }
        return Keras2Reference(self.config, weights)

    def _run_by_keras(self, plan: ModelPlan) -> Reference:
        """Return the model as Keras itself reads it."""
        _compat.reserve_names(layer.name for layer in plan.layers)
        with self.weights.as_file("model.h5") as path:
            model = keras.saving.load_model(path, compile=False)
        return KerasReference(model, f"keras {keras.__version__}")

    def _arrays_by_layer(self, plan: ModelPlan) -> dict[str, list[str]]:
        with _compat.variables_without_values():
            return keras_mapping.paths_by_layer(build_model(plan, stateful=False), self.keras_version)

    def _load_new(self, file: h5py.File, plan: ModelPlan) -> keras.Model:
        """Build the model without values first: nothing is allocated for a file whose arrays do not fit."""
        with _compat.variables_without_values() as variables:
            built = build_model(plan, stateful=False)
        matching = self._match(file, built)
        self._report(matching, built.model).raise_problems()
        check_size(self.name, matching.assignments)
        if _is_stateful(plan):
            _check_states(built.model)
            built = build_model(plan)
            matching = self._match(file, built)
        else:
            assigned = [one.target.variable for one in matching.assignments if one.target.variable is not None]
            _compat.give_values(variables, zeros=assigned)
        return self._filled(built.model, matching)

    def _filled(self, model: keras.Layer, matching: Matching) -> keras.Layer:
        self._report(matching, model).raise_problems()
        assign(matching.arrays, matching.assignments)
        return model

    def _plan(self, request: Request) -> ModelPlan:
        if self.config is None:
            raise ValueError(
                "the file contains weights without an architecture; pass a model with the same layers as into=, or a "
                "pair (JSON file of the architecture, HDF5 file)"
            )
        return Rewriting(self.keras_version, request.custom_objects).model_plan(self.config)

    def _match(self, file: h5py.File, built: BuiltModel) -> Matching:
        if self.has_layers:
            return keras_mapping.match_layers(stored_layers(file), HDF5Arrays(file), built, self.keras_version)
        return keras_mapping.match_paths(HDF5Arrays(file), built, self.keras_version)

    def _match_into(self, file: h5py.File, into: keras.Layer) -> Matching:
        if not into.built:
            raise ValueError(f"into {into.name!r} must be built; call it on an input first")
        if self.has_layers:
            return keras_mapping.match_into(stored_layers(file), HDF5Arrays(file), into, self.keras_version)
        if not isinstance(into, keras.Model):
            raise ValueError(f"into must be a keras.Model for this {self.kind}, got a {type(into).__name__}")
        built = BuiltModel(into, {layer.name: layer for layer in into.layers})
        return keras_mapping.match_paths(HDF5Arrays(file), built, self.keras_version)

    def _report(self, matching: Matching, model: keras.Layer) -> Report:
        is_scaled = any(" times " in one.change for one in matching.assignments)
        zeros = [one.target.path for one in matching.assignments if not one.sources]
        notes = [note for note, holds in ((SCALED, is_scaled), (NOT_COMPILED, self.is_compiled)) if holds]
        notes += [f"{', '.join(zeros)}: the file has no bias; zeros are assigned"] if zeros else []
        return make_report(
            self.name,
            self.kind,
            matching.arrays,
            matching.assignments,
            layers=list(_layer_lines(model)),
            missing=matching.missing,
            ignored=matching.ignored,
            notes=notes,
        )

    @contextmanager
    def _opened(self, request: Request) -> Iterator[h5py.File]:
        """Open the weights; within the block, the caller's classes are registered and errors name the file."""
        import h5py

        with ExitStack() as stack:
            stack.enter_context(_problems_name(self.name))
            stack.enter_context(keras.saving.custom_object_scope(dict(request.custom_objects)))
            stack.enter_context(limits.limited_by_file(BYTES_PER_STORED_BYTE * self.weights.size()))
            yield stack.enter_context(h5py.File(self.weights.content(), "r"))


@dataclass(frozen=True)
class KerasArchive(Source):
    """`.keras` file of Keras 3.

    Attributes:
        name: Name for messages.
        file: The file, possibly in another archive.
        kind: Kind of source.
    """

    name: str
    file: FilePart
    kind: str = "Keras 3 .keras file"

    def inspect(self, request: Request) -> Report:
        """Return the arrays with the weights that they become."""
        with self.file.as_file() as path:
            into = request.into
            if into is None:
                into = self._load(path, request)
            return self._weights(path).inspect(Request(into, custom_objects=request.custom_objects))

    def load(self, request: Request) -> keras.Layer:
        """Return the model, not compiled, or `request.into` with its weights."""
        with self.file.as_file() as path:
            if request.into is None:
                return self._load(path, request)
            return self._weights(path).load(request)

    def reference(self, request: Request) -> Reference:
        """Return the model in the file, which Keras runs itself."""
        return KerasReference(self.load(replace(request, into=None)), f"keras {keras.__version__}")

    def _load(self, path: Path, request: Request) -> keras.Model:
        from deeprnn_keras.models import load_model

        with keras.saving.custom_object_scope(dict(request.custom_objects)):
            return load_model(path, compile=False)

    def _weights(self, path: Path) -> KerasSource:
        check_hdf5(path, WEIGHTS)
        return KerasSource(self.name, self.kind, FilePart(path, (WEIGHTS,)), None, 3, False)


# === Recognition ===


def recognize_keras(content: Content) -> Source | None:
    """Return the source of a Keras file, of an archive with one, or of a pair (JSON, HDF5); None for other content."""
    pair = _pair(content.value)
    if pair is not None:
        return _with_architecture(*pair)
    if content.path is None:
        return None
    if content.head.startswith(SIGNATURE):
        return _hdf5_source(FilePart(content.path), None)
    if content.head.startswith(ZIP_SIGNATURE):
        return _in_archive(FilePart(content.path))
    is_text = content.head.lstrip().startswith(b"{") and b"\0" not in content.head
    if is_text and b'"class_name"' in read_bytes(content.path, MAX_JSON_BYTES):
        return _with_architecture(FilePart(content.path), _weights_beside(content.path))
    return None


def _pair(value: object) -> tuple[FilePart, FilePart] | None:
    """Return (architecture, weights) of a pair of paths in any order."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, (str, PathLike)) for one in value):
        return None
    if len(value) != 2:
        raise ValueError(f"source must be one JSON file and one HDF5 file, got {len(value)} paths")
    paths = [Path(path).expanduser() for path in value]
    are_hdf5 = [_begins_with(path, SIGNATURE) for path in paths]
    if are_hdf5 == [True, False]:
        paths.reverse()
    elif are_hdf5 != [False, True]:
        raise ValueError(f"source must be one JSON file and one HDF5 file, got {', '.join(map(str, paths))}")
    return FilePart(paths[0]), FilePart(paths[1])


def _begins_with(path: Path, signature: bytes) -> bool:
    with require_regular_file(path).open("rb") as file:
        return file.read(len(signature)) == signature


def _weights_beside(path: Path) -> FilePart:
    stem = path.name.removesuffix(".json")
    candidates = [path.with_name(f"{stem}{suffix}") for suffix in WEIGHT_SUFFIXES]
    found = [candidate for candidate in candidates if candidate.is_file()]
    if len(found) != 1:
        names = ", ".join(candidate.name for candidate in found or candidates)
        problem = f"several files contain its weights: {names}" if found else f"no weights beside it: none of {names}"
        raise DamagedFileError(path, f"the architecture of a Keras model, but {problem}; pass (JSON file, HDF5 file)")
    return FilePart(found[0])


def _with_architecture(architecture: FilePart, weights: FilePart) -> Source:
    with damage_reported(architecture.name, "the architecture of a Keras model"):
        config = architecture.json()
    return _hdf5_source(weights, config)


def _in_archive(archive: FilePart) -> Source | None:
    """Return the source in a zip archive, or that of a `.keras` file; None if it contains no Keras file."""
    with damage_reported(archive.name, "a zip archive"), zipfile.ZipFile(archive.content()) as file:
        names = [member.filename for member in file.infolist() if not member.is_dir()]
        parts = [archive.member(name) for name in names if PurePosixPath(name).suffix in (".h5", ".hdf5", ".keras")]
        if parts:
            check_members(file)
    if {CONFIG, WEIGHTS} <= set(names):
        return _keras_file(archive)
    if archive.members:
        raise DamagedFileError(archive.name, "an archive in an archive that is not a .keras file")
    if len(parts) > 1:
        found = ", ".join(part.members[-1] for part in parts)
        raise DamagedFileError(archive.name, f"it contains several Keras files, {found}; extract and pass one of them")
    return _only_part(archive, names, parts[0]) if parts else None


def _only_part(archive: FilePart, names: list[str], part: FilePart) -> Source | None:
    """Return the source of the only file with weights in an archive."""
    with damage_reported(part.name, "a Keras file"):
        if part.read(part.size()).startswith(ZIP_SIGNATURE):
            return _in_archive(part)
        architectures = [archive.member(name) for name in names if PurePosixPath(name).suffix == ".json"]
        architectures = [one for one in architectures if b'"class_name"' in one.read()]
    if len(architectures) == 1:
        return _with_architecture(architectures[0], part)
    return _hdf5_source(part, None)


def _keras_file(part: FilePart) -> Source:
    with damage_reported(part.name, "a .keras file"):
        version = _major(str(part.member(METADATA).json().get("keras_version", "")))
        if version > 2:
            return KerasArchive(part.name, part)
        check_hdf5(part.path, *part.members, WEIGHTS)
        config = part.member(CONFIG).json()
    return KerasSource(part.name, "Keras 2 .keras file", part.member(WEIGHTS), config, 2, False)


def _hdf5_source(part: FilePart, config: Any) -> KerasSource:  # noqa: ANN401 - JSON
    """Return the source of an HDF5 file, after checking the whole file.

    Raises:
        DamagedFileError: If it is damaged, contains no weights of a Keras model, or was written by Keras 1.
    """
    import h5py

    with damage_reported(part.name, "an HDF5 file of Keras"):
        check_hdf5(part.path, *part.members)
        with h5py.File(part.content(), "r") as file:
            if config is None and "model_config" in file.attrs:
                config = parse_json(text(file.attrs["model_config"]))
            is_compiled = "training_config" in file.attrs
            has_groups = ROOT in file or has_layers(file)
            if not has_groups and not any("vars" in path.split("/") for path in HDF5Arrays(file).infos):
                raise DamagedFileError(part.name, "an HDF5 file without the weights of a Keras model")
            stored_version = (
                stored_layers(file).keras_version if has_groups else (config or {}).get("keras_version", "3")
            )
    version = _major(str(stored_version))
    if version < 2:
        raise DamagedFileError(part.name, "written by Keras 1; load and save it with Keras 2 first")
    kind = f"Keras {version} HDF5 file" if config is not None else f"Keras {version} weights"
    return KerasSource(part.name, kind, part, config, version, has_groups, is_compiled)


def _major(version: str) -> int:
    """Return the major version; 1 if the text is none."""
    number = version.partition(".")[0]
    return int(number) if number.isdecimal() else 1


# === Parts ===


@contextmanager
def _problems_name(name: str) -> Iterator[None]:
    """Name the source in the errors that its content causes."""
    try:
        yield
    except (DamagedFileError, FileNotFoundError):
        raise
    except READING_ERRORS as error:
        problem = str(error) or type(error).__name__
        raise DamagedFileError(name, problem.removeprefix(f"{name}: ")) from error


def _layer_lines(model: keras.Layer) -> Iterator[str]:
    for layer in model.layers if isinstance(model, keras.Model) else [model]:
        yield f"{layer.name}: {type(layer).__name__}, {layer.count_params():,} parameters"


def _is_stateful(plan: ModelPlan | LayerPlan | Sequence[LayerPlan]) -> bool:
    """Return whether a layer of a plan carries its state from batch to batch."""
    if isinstance(plan, ModelPlan):
        return any(map(_is_stateful, plan.layers))
    if not isinstance(plan, LayerPlan):
        return any(map(_is_stateful, plan))
    if plan.model is not None:
        return _is_stateful(plan.model)
    return bool(plan.config.get("stateful")) or any(map(_is_stateful, plan.children.values()))


def _check_states(model: keras.Model) -> None:
    """Raise a ValueError if the carried states of a model exceed the memory limit."""
    batch_size = max((tensor.shape[0] or 1) for tensor in model.inputs)
    units = [
        size
        for layer in _compat.flatten_layers(model)
        if isinstance(layer, keras.layers.RNN)
        for size in keras.tree.flatten(layer.state_size)
    ]
    limits.check_memory(f"the state of model {model.name!r} for {batch_size:,} sequences", batch_size * sum(units))
