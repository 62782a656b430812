"""`export`: write a trained model to a file that runs without this package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike
from deeprnn_keras.exporters.evaluation import Evaluation
from deeprnn_keras.exporters.publishing import publish, staging_directory
from deeprnn_keras.exporters.report import ExportReport
from deeprnn_keras.exporters.target import Options, Target
from deeprnn_keras.exporters.targets import find_target
from deeprnn_keras.exporters.verification import Verification
from deeprnn_keras.program.program import Program

if TYPE_CHECKING:
    import keras


def export(
    model: keras.Model | Program,
    path: PathLike,
    *,
    format: str | None = None,
    streaming: bool = False,
    batch_size: int | None = None,
    quantize: str | None = None,
    evaluate: tuple[Any, Any] | None = None,
    overwrite: bool = False,
    verify: bool = True,
) -> ExportReport:
    """Write a trained model to a file that runs without this package, and compare the file with the model.

    The file is written into a temporary directory beside `path` and executed in the runtime of its format on random
    inputs of 1, 7, and 100 steps. It is renamed to `path` only if its outputs equal those of the model. docs/export.md
    lists the formats and the layers that each supports.

    Args:
        model: A trained Keras model that `lower` supports, or a `Program`.
        path: Path of the file. Its suffix selects the format; without a suffix, a directory is written, a SavedModel.
        format: Name of the format, if the suffix does not select it.
        streaming: Write a file that executes one step and returns its states. The formats "c", "numpy",
            and "savedmodel" always contain both forms.
        batch_size: Batch size of the file. None: that of the program, if it has one; otherwise any, or 1 for "litert".
        quantize: "int8" for weights of 8 bits and activations of 32 bits, if the format supports it.
        evaluate: Data (x, y) on which the loss of the model and of the file are computed, for the report.
        overwrite: Replace an existing file, or the directory of a SavedModel that contains nothing else.
        verify: Execute the file and compare its outputs. If False, the runtime of the format is not needed.

    Returns:
        The report: operators, size, error, latency, and remarks. It can be printed.

    Raises:
        FileExistsError: If a file exists and `overwrite` is False, or a directory that is not a SavedModel.
        ImportError: If a package is missing; the message names the extra that installs it.
        ValueError: If an argument is invalid, the format does not support the model, or the weights are not finite;
            nothing is written. `VerificationError` if the outputs of the file differ from those of the model.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from deeprnn_keras import LanguageModel, export
    >>> model = LanguageModel("abc", units=4, num_layers=2, name="small")
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     report = export(model, Path(directory) / "small.py")
    ...     [file.name for file in report.files]
    ['small.py', 'small.npz']
    """
    options = Options(streaming, batch_size, quantize)
    overwrite, verify = checks.flags(overwrite=overwrite, verify=verify)
    path = Path(path).expanduser()
    target = find_target(path, format)
    _check_path(target, path, overwrite)
    missing = target.missing(verify or evaluate is not None)
    if missing is not None:
        raise ImportError(missing)
    program = model if isinstance(model, Program) else _lowered(model)
    keras_model = None if isinstance(model, Program) else model
    options = _with_batch_size(options, program, target)
    _check_program(target, program, options)
    evaluation = None if evaluate is None else Evaluation(program, keras_model, evaluate)
    return _written(target, path, program, options, keras_model if verify else None, verify, evaluation)


def _lowered(model: keras.Model) -> Program:
    from deeprnn_keras.program.lowering import lower

    return lower(model)


def _written(
    target: Target,
    path: Path,
    program: Program,
    options: Options,
    model: keras.Model | None,
    verify: bool,
    evaluation: Evaluation | None,
) -> ExportReport:
    with staging_directory(path) as staging:
        files = target.write(program, staging / path.name, options)
        details: dict[str, Any] = {
            "target": target.name,
            "operators": target.operators(files[0], program, options),
            "size": sum(one.stat().st_size for file in files for one in _regular_files(file)),
        }
        notes = target.notes(program, options)
        if verify:
            verification = Verification(target, program, options, model)
            details["max_abs_error"] = verification.compare(files[0])
            details["latency"] = verification.latency(files[0])
            notes += verification.notes
        if evaluation is not None:
            details["loss"] = evaluation.loss(target, files[0], options)
        published = publish(files, path.parent)
    return ExportReport(published[0], tuple(published), notes=tuple(notes), **details)


def _regular_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]


# === Refusals: nothing has been written ===


def _check_path(target: Target, path: Path, overwrite: bool) -> None:
    reason = target.file_refusal(path)
    if reason is not None:
        raise ValueError(f"path {str(path)!r} is not supported: {reason}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"path {str(path)!r}: the directory {str(path.parent)!r} does not exist; create it")
    for one in (path, *target.companions(path)):
        if one.is_dir() and target.suffix:
            raise IsADirectoryError(f"path {str(one)!r} is a directory; pass another path")
        if one.exists() and not overwrite:
            raise FileExistsError(f"path {str(one)!r} exists; pass another path or overwrite=True")
    reason = target.replacement_refusal(path) if path.exists() else None
    if reason is not None:
        raise FileExistsError(f"path {str(path)!r} is not replaced: {reason}; pass another path")


def _with_batch_size(options: Options, program: Program, target: Target) -> Options:
    """Return options with the batch size for which the program was lowered, or else the default of the target."""
    if program.batch_size is not None and options.batch_size not in (None, program.batch_size):
        raise ValueError(
            f"batch_size must be {program.batch_size}, for which program {program.name!r} was lowered, got "
            f"{options.batch_size}"
        )
    batch_size = options.batch_size or program.batch_size or target.default_batch_size
    return Options(options.streaming, batch_size, options.quantize)


def _check_program(target: Target, program: Program, options: Options) -> None:
    if options.quantize is not None and options.quantize not in target.quantizations:
        supported = ", ".join(map(repr, (*target.quantizations, None)))
        raise ValueError(f"quantize={options.quantize!r} is not supported by {target.title}; supported are {supported}")
    for name, weight in program.weights.items():
        if not np.isfinite(weight).all():
            raise ValueError(f"weight {name!r} must be finite, got NaN or infinity; load weights of an earlier epoch")
    ahead = program.looking_ahead
    if options.streaming and ahead is not None:
        raise ValueError(
            f"program {program.name!r} has no single step: {ahead.name!r} needs the whole sequence; pass "
            "streaming=False, or train a model that reads the sequence in one direction"
        )
    reason = target.refusal(program, options)
    if reason is not None:
        raise ValueError(f"program {program.name!r} is not supported by {target.title}: {reason}")
