"""`publish`: write the weights of a finished training and the record of how they came about."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

from deeprnn_keras.training.files import save_text
from deeprnn_keras.zoo import trained
from deeprnn_keras.zoo.registry import info
from deeprnn_keras.zoo.weight_file import write_weights

SETTINGS = "run.json"


def publish(folder, into=trained.FOLDER, dtype="float16"):
    """Writes NAME.safetensors and NAME.json for the training of an entry; -> its `Trained`.

    Args:
        folder: of a training by `deeprnn train NAME`, which has finished.
        into: the folder of weights; the zoo reads its own, `zoo/weights`.
        dtype: what the weights are rounded to.

    Raises:
        ValueError: if the training has not finished, or is not that of the entry as it stands.
    """
    import keras

    from deeprnn_keras import LanguageModel, SequenceModel  # noqa: F401 - by which Keras finds them in the file

    folder, into = Path(folder), Path(into)
    result = finished_training(folder)
    config = info(result["model"])
    model = keras.models.load_model(folder / "model.keras", compile=False)
    into.mkdir(parents=True, exist_ok=True)
    sha256 = write_weights(model, into / f"{config.name}.safetensors", dtype)
    model.set_weights([weight.astype(dtype).astype("float32") for weight in model.get_weights()])
    made = trained.Trained(
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
        log=_log(folder / "history.csv"),
        golden=trained.golden_output(model, config),
    )
    text = json.dumps(asdict(made), indent=1, ensure_ascii=False, allow_nan=False)
    save_text(text + "\n", into / f"{config.name}.json")
    return made


def finished_training(folder, config=None):
    """The result.json of a training, as a dictionary.

    Raises:
        ValueError: if the training has not finished, or is not that of its entry, or of `config`, as it stands.
    """
    folder = Path(folder)
    path = folder / "result.json"
    if not path.is_file():
        raise ValueError(f"{str(folder)!r} holds no training that has finished")
    result = json.loads(path.read_text(encoding="utf-8"))
    _check(result, config or info(result["model"]), folder)
    return result


def _check(result, config, folder):
    """Refuses a training that is not the entry's own."""
    if result["ending"] != "finished":
        raise ValueError(
            f"the training in {str(folder)!r} ended as {result['ending']!r}; weights come from a whole one"
        )
    entry = {**asdict(config.recipe), "schedule": config.recipe.schedule and str(config.recipe.schedule)}
    entry = json.loads(json.dumps(entry))
    other = [key for key, value in entry.items() if result["recipe"].get(key) != value]
    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    if config.family.data_included(config) and settings.get("data"):
        other.append(f"its data, {settings['data']}")
    if result["weights"] != config.count_params():
        other.append("architecture")
    if result.get("quick") or other:
        what = "shortened by --quick" if result.get("quick") else f"another in {', '.join(other)}"
        raise ValueError(f"the training in {str(folder)!r} is not that of {config.name} as it stands: {what}")


def _log(path):
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: float(f"{float(value):.6g}") for key, value in row.items()} for row in rows]
