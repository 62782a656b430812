"""`SavedModelTarget`: export to a SavedModel of TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras.exporters.metadata import facts
from deeprnn_keras.exporters.padding import lengths_name, lengths_notes
from deeprnn_keras.exporters.saved_model.names import SEQUENCE, STEP, sequence_names, step_names
from deeprnn_keras.exporters.target import Options, Runner, Target
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.program import Program

METADATA = Path("assets.extra", "deeprnn_keras.json")
"""File with facts about the model, in the directory that TensorFlow reserves for files of others."""

CONTENTS = ("saved_model.pb", "fingerprint.pb", "variables", "assets", METADATA.parts[0])
"""Files and directories in a SavedModel."""

UNCOUNTED = ("Placeholder", "Const", "Identity", "NoOp", "VarHandleOp", "ReadVariableOp")
"""Operators that compute nothing."""


class SavedModelTarget(Target):
    """Directories with the signatures `serving_default` for whole sequences and `step`, verified with TensorFlow."""

    name: ClassVar[str] = "savedmodel"
    title: ClassVar[str] = "SavedModel"
    suffix: ClassVar[str] = ""
    packages: ClassVar[tuple[str, ...]] = ("tensorflow",)
    always_streams: ClassVar[bool] = True
    reads_lengths: ClassVar[bool] = True

    @override
    def refusal(self, program: Program, options: Options) -> str | None:
        return None

    @override
    def file_refusal(self, path: Path) -> str | None:
        return None if path.name not in ("", "..") else "it has no name that a new directory can have"

    @override
    def replacement_refusal(self, path: Path) -> str | None:
        if not path.is_dir():
            return "it is a file, and a SavedModel is a directory"
        others = sorted(one.name for one in path.iterdir() if one.name not in CONTENTS)
        return f"it contains {others[0]!r}, which is not part of a SavedModel" if others else None

    @override
    def write(self, program: Program, path: Path, options: Options) -> list[Path]:
        from deeprnn_keras.exporters.saved_model.module import save

        save(program, path, options.batch_size)
        file = path / METADATA
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(_facts(program), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return [path]

    @override
    def runner(self, path: Path, program: Program, options: Options) -> Runner:
        from deeprnn_keras.exporters.saved_model.runner import SavedModelRunner

        return SavedModelRunner(path, program)

    @override
    def operators(self, path: Path, program: Program, options: Options) -> dict[str, int]:
        """Return the operators of the signature for whole sequences, or of that for a step if it is streamed."""
        from deeprnn_keras.exporters.saved_model.nodes import signature_nodes

        counts = Counter(node.op for node in signature_nodes(path, STEP if options.streaming else SEQUENCE))
        return {name: count for name, count in sorted(counts.items()) if name not in UNCOUNTED}

    @override
    def notes(self, program: Program, options: Options) -> list[str]:
        notes = lengths_notes(program, Options())
        if any(isinstance(one, op.Recurrence) for one in program.operations) and not options.streaming:
            notes.append(
                "Each recurrence is a While over its equations in plain operations: the fused operators of TensorFlow "
                "require a GPU; the signature 'step' has no loop."
            )
        return notes


def _facts(program: Program) -> dict[str, object]:
    """Return the metadata, with the names in the signatures in the order of the program."""
    signatures = {SEQUENCE: sequence_names(program, lengths_name(program, Options()))}
    if program.looking_ahead is None:
        signatures[STEP] = step_names(program)
    return {**facts(program), "signatures": {name: dataclasses.asdict(one) for name, one in signatures.items()}}
