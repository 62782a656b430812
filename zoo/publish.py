"""`publish` and `publish_forecaster`: save the weights of a finished run with a record of the training."""

from __future__ import annotations

import csv
import io
import json
import platform
import warnings
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from deeprnn_keras import Program, lower
from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.reading import build_dataclass, damage_reported, read_bytes, read_json
from deeprnn_keras.writing import save_text
from deeprnn_keras.zoo import trained
from deeprnn_keras.zoo.forecaster import ForecasterConfig
from deeprnn_keras.zoo.registry import info
from deeprnn_keras.zoo.weight_file import check_finite, write_weights

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.zoo.configuration import Configuration

SETTINGS, RESULT = "run.json", "result.json"
DATA_FILES = ("data", "valid", "test", "dry", "wet")  # in run.json


def publish(
    directory: PathLike, into: PathLike = trained.DIRECTORY, dtype: str | None = None
) -> trained.TrainedWeights:
    """Write NAME.safetensors and NAME.json for a run of an entry, and return the record.

    Args:
        directory: Output directory of a finished run of `deeprnn train NAME`.
        into: Directory for the two files. The zoo reads the default, `zoo/weights`.
        dtype: Data type that the weights are rounded to; None for the `weights_dtype` of the entry.

    Raises:
        ValueError: If the run is not finished, or is not a run of the unmodified entry.
    """
    from deeprnn_keras.models import load_model

    directory, into = Path(directory), Path(into)
    result = read_finished_run(directory)
    config, log = info(result.model), _read_log(directory / "history.csv")
    dtype = dtype or config.weights_dtype
    model = load_model(directory, compile=False)
    into.mkdir(parents=True, exist_ok=True)
    check_finite(model)
    model.set_weights([weight.astype(dtype).astype("float32") for weight in model.get_weights()])
    sha256 = write_weights(model, into / f"{config.name}.safetensors", dtype, _program(model))
    record = trained.TrainedWeights(
        name=config.name,
        sha256=sha256,
        dtype=dtype,
        architecture=trained.architecture(config),
        data=config.data,
        seed=result.seed,
        updates=result.updates,
        minutes=round(result.seconds / 60, 1),
        device=result.device,
        versions={**result.versions, "python": result.python},
        command=f"deeprnn train {config.name} --seed {result.seed} --publish zoo/weights",
        log=log,
        golden=trained.golden_output(model, config),
    )
    _save_record(record, into)
    return record


def _program(model: keras.Model) -> Program | None:
    """Return the program of a model, or None if `lower` refuses it."""
    try:
        return lower(model)
    except ValueError as error:
        warnings.warn(f"{model.name} is published without its program: {error}", stacklevel=2)
        return None


@dataclass(frozen=True)
class FinishedRun:
    """Content of the result.json of a run, as far as it is published.

    Attributes:
        model: Name of the entry.
        ending: "finished", "interrupted", or "not finite".
        recipe: Fields of the recipe.
        num_params: Number of parameters.
        seed: Random seed.
        updates: Number of updates.
        seconds: Duration.
        device: Name of the device.
        versions: Package versions.
        python: Version of Python.
        quick: True if the run was shortened by --quick.
    """

    model: str
    ending: str
    recipe: Config
    num_params: int
    seed: int
    updates: int
    seconds: float
    device: str
    versions: dict[str, str]
    python: str
    quick: bool = False


def read_finished_run(directory: PathLike, config: Configuration | None = None) -> FinishedRun:
    """Return the content of the result.json of a run.

    Args:
        directory: Output directory of the run.
        config: Configuration that the run must have; None for that of its entry.

    Raises:
        DamagedFileError: If result.json or run.json is damaged.
        ValueError: If the run is not finished, or differs from the configuration.
    """
    directory = Path(directory)
    path = directory / RESULT
    if not path.exists():
        raise ValueError(f"{str(directory)!r} does not hold a finished run")
    stored = read_json(path)
    with damage_reported(path, "the result of a run"):
        names = {field.name for field in fields(FinishedRun)}
        result = build_dataclass(FinishedRun, {name: stored[name] for name in stored.keys() & names})
        config = config or info(result.model)
    _check_unmodified(result, config, read_json(directory / SETTINGS), directory)
    return result


def _check_unmodified(result: FinishedRun, config: Configuration, settings: Config, directory: Path) -> None:
    """Raise a ValueError if the run is not a finished run of the unmodified entry."""
    if result.ending != "finished":
        raise ValueError(f"the run in {str(directory)!r} ended as {result.ending!r}; only finished runs are published")
    entry_recipe = {**asdict(config.recipe), "schedule": config.recipe.schedule and str(config.recipe.schedule)}
    entry_recipe = json.loads(json.dumps(entry_recipe))
    differences = [key for key, value in entry_recipe.items() if result.recipe.get(key) != value]
    files = [str(settings[name]) for name in DATA_FILES if settings.get(name)]
    if config.family.data_included(config) and files:
        differences.append(f"data ({', '.join(files)})")
    if result.num_params != config.count_params():
        differences.append("architecture")
    if result.quick or differences:
        reason = "it was shortened by --quick" if result.quick else f"it differs in {', '.join(differences)}"
        raise ValueError(f"the run in {str(directory)!r} is not a run of the unmodified {config.name}: {reason}")


def _read_log(path: Path) -> list[dict[str, float]]:
    with damage_reported(path, "the log of a run"):
        rows = list(csv.DictReader(io.StringIO(read_bytes(path).decode("utf-8"), newline="")))
        return [{key: float(f"{float(value):.6g}") for key, value in row.items()} for row in rows]


def publish_forecaster(
    directory: PathLike,
    command: str,
    minutes: float,
    device: str,
    into: PathLike = trained.DIRECTORY,
    dtype: str = "float16",
) -> trained.TrainedWeights:
    """Write NAME.safetensors and NAME.json for a trained forecaster of an entry, and return the record.

    Args:
        directory: Directory of `Forecaster.save`, for example of `deeprnn forecast NAME`.
        command: Command that has trained it.
        minutes: Wall-clock duration of the training in minutes.
        device: Device of the training.
        into: Directory for the two files. The zoo reads the default, `zoo/weights`.
        dtype: Data type that the weights are rounded to.

    Raises:
        ValueError: If the forecaster does not have the arguments of the unmodified entry, or has covariates.
    """
    from deeprnn_keras import Forecaster

    forecaster, into = Forecaster.load(directory), Path(into)
    model = forecaster.model
    config = info(str(getattr(model, "name", None)))
    seed = forecaster.arguments.seed
    entry = config.create_forecaster(seed=seed) if isinstance(config, ForecasterConfig) else None
    if entry is None or entry._settings() != forecaster._settings():
        raise ValueError(f"the forecaster in {str(directory)!r} does not have the arguments of {config.name}")
    if model is None or model.count_params() != config.count_params():
        raise ValueError(
            f"the forecaster in {str(directory)!r} was trained on series of another frequency or length than the entry "
            f"{config.name}, which has {config.inputs} inputs"
        )
    check_finite(model)
    model.set_weights([weight.astype(dtype).astype("float32") for weight in model.get_weights()])
    into.mkdir(parents=True, exist_ok=True)
    epochs = range(1, len(forecaster.history["loss"]) + 1)
    rounded = {name: [float(f"{value:.6g}") for value in values] for name, values in forecaster.history.items()}
    record = trained.TrainedWeights(
        name=config.name,
        sha256=write_weights(model, into / f"{config.name}.safetensors", dtype, _program(model)),
        dtype=dtype,
        architecture=trained.architecture(config),
        data=config.data,
        seed=seed,
        updates=len(epochs) * (forecaster.arguments.updates_per_epoch or 0),
        minutes=round(minutes, 1),
        device=device,
        versions={
            **{name: version(name) for name in ("deeprnn-keras", "keras", "tensorflow")},
            "python": platform.python_version(),
        },
        command=command,
        log=[{"epoch": epoch, **{name: rounded[name][epoch - 1] for name in rounded}} for epoch in epochs],
        golden=trained.golden_output(model, config),
        fitted=forecaster._describe(),
    )
    _save_record(record, into)
    return record


def _save_record(record: trained.TrainedWeights, into: Path) -> None:
    text = json.dumps(asdict(record), indent=1, ensure_ascii=False, allow_nan=False)
    save_text(text + "\n", into / f"{record.name}.json")
