"""`StateDictSource`: the state dict of a PyTorch module as a mapping, a safetensors file, or a file of `torch.save`."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from deeprnn_keras import limits
from deeprnn_keras.extras import import_optional
from deeprnn_keras.interop.arrays import Arrays, MemoryArrays, SafetensorsArrays
from deeprnn_keras.interop.assignment import Assignment, assign, check_size, make_report
from deeprnn_keras.interop.report import Report
from deeprnn_keras.interop.source import Content, Reference, Request, Source
from deeprnn_keras.interop.state_dict_plan import PlannedModel, plan_model
from deeprnn_keras.interop.torch_names import PlainModule, find_modules
from deeprnn_keras.program.files import KEY as PROGRAM_KEY
from deeprnn_keras.reading import DamagedFileError, damage_reported

if TYPE_CHECKING:
    import keras

KIND = "PyTorch state dict"
NESTED = ("state_dict", "model_state_dict", "model", "net")  # keys of checkpoints that contain a state dict
COUNTER = "num_batches_tracked"  # of batch normalization; not a weight
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
PICKLE_MEMBER = re.compile(r"[^/]+/data\.pkl")


@dataclass(frozen=True)
class _Plan:
    """Report on a request, and how the weights are computed.

    Attributes:
        report: The report.
        assignments: The computation of each weight, in the order of the weights of the model.
        model: The model to build; None with `into`.
    """

    report: Report
    assignments: list[Assignment]
    model: PlannedModel | None


class StateDictSource(Source):
    """State dict of a PyTorch module.

    Args:
        name: Path of the file, or a description of the object.
        arrays: Its arrays.
        is_ordered: True if the arrays have the order of the modules.
    """

    kind = KIND

    def __init__(self, name: str, arrays: Arrays, is_ordered: bool) -> None:
        self.name, self.arrays, self.is_ordered = name, arrays, is_ordered
        self.modules = find_modules(arrays, is_ordered)

    @override
    def inspect(self, request: Request) -> Report:
        return self._plan(request).report

    @override
    def load(self, request: Request) -> keras.Layer:
        plan = self._plan(request)
        plan.report.raise_problems()
        if plan.model is None:
            assign(self.arrays, plan.assignments)
            return request.into  # pyright: ignore[reportReturnType] - not None without a planned model
        check_size(self.name, plan.assignments)
        model = plan.model.build()
        built = zip(plan.assignments, model.weights, strict=True)
        assign(self.arrays, [replace(one, target=replace(one.target, variable=variable)) for one, variable in built])
        return model

    @override
    def reference(self, request: Request) -> Reference | None:
        from deeprnn_keras.interop.state_dict_reference import make_reference

        plan = plan_model(self.name, self.arrays, self.modules, replace(request, into=None))
        return make_reference(self.arrays, plan)

    def _plan(self, request: Request) -> _Plan:
        if request.into is not None:
            return self._plan_into(request.into, request)
        model = plan_model(self.name, self.arrays, self.modules, request)
        assignments = model.assignments()
        notes = [*_activation_notes(model, request), *_model_notes(model)]
        return _Plan(self._report(assignments, model.describe(), (), notes), assignments, model)

    def _plan_into(self, into: keras.Layer, request: Request) -> _Plan:
        from deeprnn_keras.interop.state_dict_into import match_layers

        if request.activation is not None:
            raise ValueError(f"activation={request.activation!r} has no effect with into; set it in the layer")
        match = match_layers(self.name, self.arrays, self.modules, into, self.is_ordered)
        return _Plan(self._report(match.assignments, match.layers, match.missing, []), match.assignments, None)

    def _report(
        self, assignments: list[Assignment], layers: list[str], missing: tuple[str, ...] | list[str], notes: list[str]
    ) -> Report:
        used = {name for one in assignments for name in one.sources}
        repeated = {**self.modules.repeated, **_repeated_matrices(self.arrays, self.modules.plain, used)}
        notes += [f"{name} repeats {kept} and is not read." for name, kept in repeated.items()]
        counters = [name for name in self.arrays.infos if name.rpartition(".")[2] == COUNTER]
        return make_report(
            *(self.name, self.kind, self.arrays, assignments),
            layers=layers,
            missing=missing,
            ignored={*repeated, *counters},
            notes=notes,
        )


def _repeated_matrices(arrays: Arrays, modules: tuple[PlainModule, ...], used: set[str]) -> dict[str, str]:
    """Return {name: name of the used embedding with the same values}: tied heads, and embeddings in wrappers."""
    matrices = [module for module in modules if module.is_matrix and module.weight in arrays.infos]
    kept = [module for module in matrices if module.weight in used and not module.has_bias]
    found = {}
    for module in matrices:
        for one in kept:
            if module.weight not in used and arrays.equal(module.entry("weight"), one.entry("weight")):
                found[module.entry("weight")] = one.entry("weight")
    return found


def _activation_notes(model: PlannedModel, request: Request) -> list[str]:
    if request.activation is not None or all(stack.cell != "rnn" for stack in model.stacks):
        return []
    return ["A state dict does not name the nonlinearity of an RNN: tanh is assumed; pass activation='relu' otherwise."]


def _model_notes(model: PlannedModel) -> list[str]:
    notes = []
    if model.is_language_model:
        notes.append("The model is a LanguageModel, whose outputs are logits.")
    if model.head is not None:
        notes.append("A state dict contains neither dropout nor activations between the layers: none are assumed.")
    last = model.stacks[-1]
    if last.bidirectional and not last.return_sequences:
        notes.append(
            "The last output of the backward direction is that of the first step, as in h_n of PyTorch, not in output."
        )
    return notes


# === Recognition ===


def recognize(content: Content) -> Source | None:
    """Return the state dict in a mapping or file, or None if the content is of another kind.

    Raises:
        DamagedFileError: If a file of this kind is damaged.
        ValueError: If it contains a program, or objects other than arrays.
        ImportError: If a file of `torch.save` is passed, and PyTorch is not installed.
    """
    if content.path is None:
        if hasattr(content.value, "state_dict"):
            raise ValueError(f"source must be arrays, not a {type(content.value).__name__}; pass its state_dict()")
        return _from_mapping("the mapping", content.value) if isinstance(content.value, Mapping) else None
    if _is_safetensors(content.path, content.head):
        arrays = SafetensorsArrays(content.path)
        if PROGRAM_KEY in arrays.metadata:
            raise ValueError(f"{content.path} is the file of a program, not of a PyTorch module; use Program.load")
        return StateDictSource(str(content.path), arrays, is_ordered=False)
    if _is_torch_file(content.path, content.head):
        return _from_mapping(str(content.path), _load_torch_file(content.path))
    return None


def _from_mapping(name: str, value: Any) -> Source:  # noqa: ANN401 - checkpoints contain any objects
    for key in NESTED:
        if isinstance(value.get(key), Mapping):
            value = value[key]
    return StateDictSource(name, MemoryArrays(value), is_ordered=True)


def _is_safetensors(path: Path, head: bytes) -> bool:
    """Return True for a header of JSON, behind its length."""
    if len(head) < 9 or head[8:9] != b"{":
        return False
    (length,) = struct.unpack("<Q", head[:8])
    return length <= path.stat().st_size


def _is_torch_file(path: Path, head: bytes) -> bool:
    """Return True for a pickle, and for a zip archive that contains the pickle of `torch.save`."""
    if head.startswith(PICKLE):
        return True
    if not head.startswith(ZIP):
        return False
    with damage_reported(path, "a zip archive"), zipfile.ZipFile(path) as archive:
        return any(PICKLE_MEMBER.fullmatch(name) for name in archive.namelist())


def _load_torch_file(path: Path) -> Mapping[str, Any]:
    """Return the state dict in a file of `torch.save`. PyTorch's reader of weights runs no code of the file."""
    torch = import_optional("torch", "torch", f"Reading {path}, which torch.save wrote,")
    _check_torch_file(path)
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch raises errors of many classes
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DamagedFileError(
            path,
            f"PyTorch does not read weights from this file ({reason}); nothing in it was run. If it contains a whole "
            "module, save its state_dict() instead, in PyTorch or as safetensors",
        ) from error
    if not isinstance(value, Mapping):
        raise DamagedFileError(path, f"expected a state dict, got {type(value).__name__}")
    return value


def _check_torch_file(path: Path) -> None:
    """Raise a ValueError if the content takes more memory than the limit."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with damage_reported(path, "a zip archive"), zipfile.ZipFile(path) as archive:
            size = max(size, sum(member.file_size for member in archive.infolist()))
    if size > limits.memory_limit():
        raise ValueError(
            f"{path} contains {limits.format_bytes(size)}, more than the limit of "
            f"{limits.format_bytes(limits.memory_limit())}; raise it by {limits.VARIABLE}"
        )
