"""Presets: a configuration and its weights in a directory, to keep and to share. Loading one runs none of its code."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras import Recipe, checks
from deeprnn_keras.registry import Registry
from deeprnn_keras.tasks import families
from deeprnn_keras.training import CosineDecay, GeometricDecay, PlateauDecay, StepDecay
from deeprnn_keras.training.files import save_text
from deeprnn_keras.zoo.configuration import Configuration
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.weight_file import read_weights, write_weights

if TYPE_CHECKING:
    import keras

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FORMAT = 1
SCHEDULES = {kind.__name__: kind for kind in (CosineDecay, GeometricDecay, PlateauDecay, StepDecay)}


def save_preset(model: keras.Model, directory: str | Path, config: Configuration | None = None) -> None:
    """Save a model's configuration (JSON), weights, and card in a directory that `create_model` loads.

    Args:
        model: A model built by `config.build()` or `create_model`.
        directory: A directory that does not exist or is empty.
        config: The configuration of the model, as returned by `info`; None for the one it was built from.

    Raises:
        ValueError: If the directory is in use, the weights are not those of the configuration, or there is none.

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
            f"model {model.name!r} was not built from a configuration of the zoo, or was loaded from a file that has "
            "none; give save_preset its configuration: config=zoo.info(name, ...)"
        )
    if model.count_params() != config.count_params():
        raise ValueError(
            f"the model has {model.count_params():,} weights, and its configuration describes "
            f"{config.count_params():,}; give the configuration it was built from"
        )
    directory = checks.new_directory("directory", directory)
    directory.mkdir(parents=True, exist_ok=True)
    digest = write_weights(model, directory / WEIGHTS)
    (directory / CARD).write_text(_card(config), encoding="utf-8")
    text = json.dumps({"format": FORMAT, "sha256": digest, **_plain(config)}, indent=2, ensure_ascii=False)
    save_text(text + "\n", directory / CONFIG)  # last: a directory that has it is complete


def is_preset(name: str | Path) -> bool:
    """Return whether `name` is the directory of a preset."""
    return (Path(name) / CONFIG).is_file()


def load_config(directory: str | Path) -> Configuration:
    """Return the configuration in a preset's directory.

    Raises:
        ValueError: If the file is damaged or has another format.
    """
    path = Path(directory) / CONFIG
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        values, kind = dict(stored["config"]), configuration_classes()[stored["family"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is not a configuration of a model: {error}") from error
    if stored.get("format") != FORMAT:
        raise ValueError(f"{str(path)!r} has format {stored.get('format')!r}; this version reads {FORMAT}")
    recipe = _known(Recipe, values.pop("recipe"), path)
    recipe["schedule"] = _schedule(recipe.get("schedule"), path)
    start = _known(Initialization, values.pop("initialization"), path)
    values = {name: _tuples(value) for name, value in _known(kind, values, path).items()}
    return kind(**values, recipe=Recipe(**recipe), initialization=Initialization(**start))


def configuration_classes() -> Registry:
    """Return the classes of configurations, those of task families in other packages included, by stored name."""
    families()  # imports them
    found, classes = {}, Configuration.__subclasses__()
    while classes:
        kind = classes.pop()
        found[_stored_name(kind)] = kind
        classes += kind.__subclasses__()
    return Registry("family", found)


def _stored_name(kind: type[Configuration]) -> str:
    return kind.stored_as or kind.__name__


def load_weights(model: keras.Model, directory: str | Path) -> None:
    """Load the weights of a preset into its model.

    Raises:
        ValueError: If the file is missing, damaged, or of another model; the model is then unchanged.
    """
    stored = json.loads((Path(directory) / CONFIG).read_text(encoding="utf-8"))
    read_weights(model, Path(directory) / WEIGHTS, stored["sha256"])


def _plain(config: Configuration) -> dict[str, Any]:
    values = {**asdict(config), "recipe": {**asdict(config.recipe), "schedule": _named(config.recipe.schedule)}}
    return {"family": _stored_name(type(config)), "config": values}


def _named(schedule: Any) -> dict[str, Any] | None:
    return schedule and {"kind": type(schedule).__name__, **asdict(schedule)}


def _schedule(stored: dict[str, Any] | None, path: Path) -> Any:
    if stored is None:
        return None
    kind = SCHEDULES[checks.one_of("schedule", stored.get("kind"), SCHEDULES)]
    return kind(**_known(kind, {name: value for name, value in stored.items() if name != "kind"}, path))


def _known(kind: type, values: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return `values` if a dataclass has such fields, else raise a ValueError."""
    names = {field.name for field in fields(kind)}
    for name in values:
        if name not in names:
            raise ValueError(f"{str(path)!r}: unknown field {name!r}{checks.nearest(name, names)}")
    return dict(values)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _card(config: Configuration) -> str:
    rows = "\n".join(f"| {what} | {str(value).replace('|', '/')} |" for what, value in config.card())
    load = '```python\nfrom deeprnn_keras import zoo\n\nmodel = zoo.create_model("path/to/this/directory")\n```\n'
    return f"# {config.name}\n\n{config.title}\n\n| | |\n|---|---|\n{rows}\n\n{load}"
