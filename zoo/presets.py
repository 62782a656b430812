"""Presets: a configuration and its weights in a directory. Loading a preset runs no code from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras import Recipe, checks
from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.registry import Registry
from deeprnn_keras.tasks import families
from deeprnn_keras.training import CosineDecay, GeometricDecay, PlateauDecay, StepDecay
from deeprnn_keras.training.files import save_text
from deeprnn_keras.zoo.configuration import Configuration
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.weight_file import check_finite, read_weights, write_weights

if TYPE_CHECKING:
    import keras

    Schedule = CosineDecay | GeometricDecay | PlateauDecay | StepDecay

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FORMAT = 1
SCHEDULES = {
    schedule_class.__name__: schedule_class for schedule_class in (CosineDecay, GeometricDecay, PlateauDecay, StepDecay)
}


def save_preset(model: keras.Model, directory: PathLike, config: Configuration | None = None) -> None:
    """Save the configuration (JSON), weights, and card of a model in a directory that `create_model` loads.

    Args:
        model: Model built by `config.build()` or `create_model`.
        directory: Output directory; must be empty or not exist.
        config: Configuration of the model, as returned by `info`; None for the one it was built from.

    Raises:
        ValueError: If the directory is not empty, if the model has no configuration, or if its weights are not finite
            or do not belong to the configuration.

    >>> import tempfile
    >>> from deeprnn_keras import zoo
    >>> model, directory = zoo.create_model("d2l_rnn_2x32", units=4), tempfile.mkdtemp()
    >>> zoo.save_preset(model, directory)
    >>> zoo.create_model(directory).count_params() == model.count_params()
    True
    """
    config = config or getattr(model, "configuration", None)
    if config is None:
        raise ValueError(
            f"model {model.name!r} has no configuration: it was not built from the zoo, or was loaded from a file; "
            "pass save_preset the configuration: config=zoo.info(name, ...)"
        )
    if model.count_params() != config.count_params():
        raise ValueError(
            f"model {model.name!r} has {model.count_params():,} parameters, but its configuration describes "
            f"{config.count_params():,}; pass the configuration that the model was built from"
        )
    check_finite(model)
    directory = checks.new_directory("directory", directory)
    directory.mkdir(parents=True, exist_ok=True)
    digest = write_weights(model, directory / WEIGHTS)
    (directory / CARD).write_text(_card(config), encoding="utf-8")
    text = json.dumps({"format": FORMAT, "sha256": digest, **_to_json(config)}, indent=2, ensure_ascii=False)
    save_text(text + "\n", directory / CONFIG)  # written last: a directory that has it is complete


def is_preset(name: PathLike) -> bool:
    """Return True if `name` is the directory of a preset."""
    return (Path(name) / CONFIG).is_file()


def load_config(directory: PathLike) -> Configuration:
    """Return the configuration stored in the directory of a preset.

    Raises:
        ValueError: If the file is damaged or has another format.
    """
    path = Path(directory) / CONFIG
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        values, config_class = dict(stored["config"]), configuration_classes()[stored["family"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is not the configuration of a model: {error}") from error
    if stored.get("format") != FORMAT:
        raise ValueError(f"{str(path)!r} has format {stored.get('format')!r}; this version reads format {FORMAT}")
    recipe = _known_fields(Recipe, values.pop("recipe"), path)
    recipe["schedule"] = _schedule_from_json(recipe.get("schedule"), path)
    initialization = _known_fields(Initialization, values.pop("initialization"), path)
    fields_of_config: Config = {
        name: _to_tuple(value) for name, value in _known_fields(config_class, values, path).items()
    }
    return config_class(**fields_of_config, recipe=Recipe(**recipe), initialization=Initialization(**initialization))


def configuration_classes() -> Registry[type[Configuration]]:
    """Return the configuration classes by stored name, including those of task families in other packages."""
    families()  # imports them
    by_name: dict[str, type[Configuration]] = {}
    remaining = Configuration.__subclasses__()
    while remaining:
        config_class = remaining.pop()
        by_name[_stored_name(config_class)] = config_class
        remaining += config_class.__subclasses__()
    return Registry("family", by_name)


def _stored_name(config_class: type[Configuration]) -> str:
    return config_class.stored_as or config_class.__name__


def load_weights(model: keras.Model, directory: PathLike) -> None:
    """Load the weights of a preset into its model.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If the file is damaged or belongs to another model. The model is then unchanged.
    """
    stored = json.loads((Path(directory) / CONFIG).read_text(encoding="utf-8"))
    read_weights(model, Path(directory) / WEIGHTS, stored["sha256"])


def _to_json(config: Configuration) -> Config:
    recipe = {**asdict(config.recipe), "schedule": _schedule_to_json(config.recipe.schedule)}
    return {"family": _stored_name(type(config)), "config": {**asdict(config), "recipe": recipe}}


def _schedule_to_json(schedule: Schedule | None) -> Config | None:
    return schedule and {"kind": type(schedule).__name__, **asdict(schedule)}


def _schedule_from_json(stored: Config | None, path: Path) -> Schedule | None:
    if stored is None:
        return None
    schedule_class = SCHEDULES[checks.one_of("schedule", stored.get("kind"), SCHEDULES)]
    arguments = {name: value for name, value in stored.items() if name != "kind"}
    return schedule_class(**_known_fields(schedule_class, arguments, path))


def _known_fields(dataclass_type: type[Any], values: Mapping[str, Any], path: Path) -> Config:
    """Return `values` if the dataclass has all these fields; otherwise raise a ValueError."""
    names = {field.name for field in fields(dataclass_type)}
    for name in values:
        if name not in names:
            raise ValueError(f"{str(path)!r}: unknown field {name!r}{checks.suggestion(name, names)}")
    return dict(values)


def _to_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _card(config: Configuration) -> str:
    rows = "\n".join(f"| {label} | {value.replace('|', '/')} |" for label, value in config.card())
    load = '```python\nfrom deeprnn_keras import zoo\n\nmodel = zoo.create_model("path/to/this/directory")\n```\n'
    return f"# {config.name}\n\n{config.title}\n\n| | |\n|---|---|\n{rows}\n\n{load}"
