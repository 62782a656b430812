"""`publish`: save the weights of a finished run and the record of their training."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras.training.files import save_text
from deeprnn_keras.zoo import trained
from deeprnn_keras.zoo.registry import info
from deeprnn_keras.zoo.weight_file import write_weights

if TYPE_CHECKING:
    from deeprnn_keras.zoo.configuration import Configuration

SETTINGS = "run.json"


def publish(directory: str | Path, into: str | Path = trained.DIRECTORY, dtype: str = "float16") -> trained.Trained:
    """Write NAME.safetensors and NAME.json for a run of an entry, and return the record.

    Args:
        directory: Directory of a finished run of `deeprnn train NAME`.
        into: Directory for the weights; the zoo reads its own, `zoo/weights`.
        dtype: Data type that the weights are rounded to.

    Raises:
        ValueError: If the run has not finished, or is not that of the unmodified entry.
    """
    import keras

    from deeprnn_keras import LanguageModel, SequenceModel  # noqa: F401 - classes that Keras finds in the file

    directory, into = Path(directory), Path(into)
    result = read_finished_run(directory)
    config = info(result["model"])
    model = keras.models.load_model(directory / "model.keras", compile=False)
    into.mkdir(parents=True, exist_ok=True)
    sha256 = write_weights(model, into / f"{config.name}.safetensors", dtype)
    model.set_weights([weight.astype(dtype).astype("float32") for weight in model.get_weights()])
    record = trained.Trained(
        name=config.name,
        sha256=sha256,
        dtype=dtype,
        architecture=trained.architecture(config),
        data=config.data,
        seed=result["seed"],
        updates=result["updates"],
        minutes=round(result["seconds"] / 60, 1),
        device=result["device"],
        versions={**result["versions"], "python": result["python"]},
        command=f"deeprnn train {config.name} --seed {result['seed']} --publish zoo/weights",
        log=_log(directory / "history.csv"),
        golden=trained.golden_output(model, config),
    )
    text = json.dumps(asdict(record), indent=1, ensure_ascii=False, allow_nan=False)
    save_text(text + "\n", into / f"{config.name}.json")
    return record


def read_finished_run(directory: str | Path, config: Configuration | None = None) -> dict[str, Any]:
    """Return the content of a run's result.json.

    Raises:
        ValueError: If the run has not finished, or is not that of its unmodified entry, or of `config`.
    """
    directory = Path(directory)
    path = directory / "result.json"
    if not path.is_file():
        raise ValueError(f"{str(directory)!r} holds no finished run")
    result = json.loads(path.read_text(encoding="utf-8"))
    _check(result, config or info(result["model"]), directory)
    return result


def _check(result: dict[str, Any], config: Configuration, directory: Path) -> None:
    """Raise a ValueError if the run is not that of the unmodified entry."""
    if result["ending"] != "finished":
        raise ValueError(
            f"the run in {str(directory)!r} ended as {result['ending']!r}; only finished runs are published"
        )
    entry = {**asdict(config.recipe), "schedule": config.recipe.schedule and str(config.recipe.schedule)}
    entry = json.loads(json.dumps(entry))
    other = [key for key, value in entry.items() if result["recipe"].get(key) != value]
    settings = json.loads((directory / SETTINGS).read_text(encoding="utf-8"))
    if config.family.data_included(config) and settings.get("data"):
        other.append(f"its data, {settings['data']}")
    if result["weights"] != config.count_params():
        other.append("architecture")
    if result.get("quick") or other:
        what = "shortened by --quick" if result.get("quick") else f"different in {', '.join(other)}"
        raise ValueError(f"the run in {str(directory)!r} is not that of the unmodified {config.name}: {what}")


def _log(path: Path) -> list[dict[str, float]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: float(f"{float(value):.6g}") for key, value in row.items()} for row in rows]
