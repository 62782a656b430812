"""Presets: a configuration and its weights in a directory. Loading a preset runs no code from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras import Recipe, checks
from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.reading import DamagedFileError, build_dataclass, damage_reported, read_json
from deeprnn_keras.registry import Registry
from deeprnn_keras.tasks import families
from deeprnn_keras.training import CosineDecay, GeometricDecay, PlateauDecay, StepDecay
from deeprnn_keras.writing import save_text
from deeprnn_keras.zoo.configuration import Configuration
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.weight_file import check_finite, read_arrays, set_weights, write_weights

if TYPE_CHECKING:
    import keras

    Schedule = CosineDecay | GeometricDecay | PlateauDecay | StepDecay

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FORMAT = 1
EXPECTED = "the configuration of a model"
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
    text = json.dumps(
        {"format": FORMAT, "sha256": digest, **_frozen(model), **_to_json(config)}, indent=2, ensure_ascii=False
    )
    save_text(text + "\n", directory / CONFIG)  # written last: a directory that has it is complete


def is_preset(name: PathLike) -> bool:
    """Return True if `name` is the directory of a preset."""
    return (Path(name).expanduser() / CONFIG).exists()


@dataclass(frozen=True)
class Preset:
    """Configuration in the directory of a preset.

    Attributes:
        directory: The directory.
        config: The configuration.
        sha256: SHA-256 of the weights.
        trainable: Value of the attribute `trainable` of the model.
        trainable_layers: Values of its layers that differ, by path.
    """

    directory: Path
    config: Configuration
    sha256: str
    trainable: bool = True
    trainable_layers: Mapping[str, bool] = field(default_factory=dict)

    def build(self, overrides: Config) -> keras.Model:
        """Return the model with its weights. The weights are read and counted before the model is built.

        Args:
            overrides: Other values for fields of the configuration that the weights do not depend on.

        Raises:
            FileNotFoundError: If the file of weights does not exist.
            DamagedFileError: If a file is damaged, or the weights do not fit the configuration.
            ValueError: If the weights do not fit the overrides.
        """
        from deeprnn_keras.freezing import set_trainable_flags  # lazy: cards must not wait for Keras

        path, weights_path = self.directory / CONFIG, self.directory / WEIGHTS
        arrays = read_arrays(weights_path, self.sha256)
        stored, described = sum(array.size for array in arrays.values()), self.config.count_params()
        if stored != described:
            raise DamagedFileError(
                path,
                f"describes a model of {described:,} parameters, but {WEIGHTS} holds {stored:,}; nothing was built",
            )
        config = self.config.replace(**overrides)
        if config.count_params() != described:
            raise ValueError(
                f"{WEIGHTS} in {str(self.directory)!r} does not fit the overrides {overrides}; remove them"
            )
        # without overrides, any error of Keras or TensorFlow is due to the file
        with nullcontext() if overrides else damage_reported(path, EXPECTED, Exception):
            model = config.build()
        set_weights(model, arrays, weights_path)
        with damage_reported(path, EXPECTED):
            if not self.trainable:
                model.trainable = False
            set_trainable_flags(model, self.trainable_layers)
        return model


def load_config(directory: PathLike) -> Configuration:
    """Return the configuration stored in the directory of a preset.

    Raises:
        FileNotFoundError: If the directory holds no preset.
        DamagedFileError: If the file is damaged or has another format.
    """
    return load_preset(directory).config


def load_preset(directory: PathLike) -> Preset:
    """Return the configuration stored in the directory of a preset, and the SHA-256 of its weights.

    Raises:
        FileNotFoundError: If the directory holds no preset.
        DamagedFileError: If the file is damaged or has another format.
    """
    directory = Path(directory).expanduser()
    path = directory / CONFIG
    stored = read_json(path)
    if stored.get("format") != FORMAT:
        raise DamagedFileError(path, f"has format {stored.get('format')!r}; this version reads format {FORMAT}")
    with damage_reported(path, EXPECTED):
        contents = build_dataclass(_Contents, {name: value for name, value in stored.items() if name != "format"})
        config = _config_from_json(contents)
        config.count_params()  # an error if the sizes do not describe a model
        return Preset(directory, config, contents.sha256, contents.trainable, contents.trainable_layers)


@dataclass(frozen=True)
class _Contents:
    """Fields of config.json other than its format."""

    sha256: str
    family: str
    config: dict[str, Any]
    trainable: bool = True
    trainable_layers: dict[str, bool] = field(default_factory=dict)


def _config_from_json(contents: _Contents) -> Configuration:
    values = dict(contents.config)
    config_class = configuration_classes()[contents.family]
    missing = {"recipe", "initialization"} - values.keys()
    if missing:
        raise ValueError(f"{' and '.join(sorted(missing))} missing")
    recipe = _object("recipe", values.pop("recipe"))
    initialization = _object("initialization", values.pop("initialization"))
    schedule = _schedule_from_json(recipe.pop("schedule", None))
    return build_dataclass(
        config_class,
        values,
        recipe=build_dataclass(Recipe, recipe, schedule=schedule),
        initialization=build_dataclass(Initialization, initialization),
    )


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


def _frozen(model: keras.Model) -> Config:
    """Return which layers of a model are frozen, for the configuration; empty if none is."""
    from deeprnn_keras.freezing import trainable_config

    return ({} if model.trainable else {"trainable": False}) | trainable_config(model)


def _to_json(config: Configuration) -> Config:
    recipe = {**asdict(config.recipe), "schedule": _schedule_to_json(config.recipe.schedule)}
    return {"family": _stored_name(type(config)), "config": {**asdict(config), "recipe": recipe}}


def _schedule_to_json(schedule: Schedule | None) -> Config | None:
    return schedule and {"kind": type(schedule).__name__, **asdict(schedule)}


def _schedule_from_json(stored: object) -> Schedule | None:
    if stored is None:
        return None
    arguments = _object("schedule", stored)
    schedule_class = SCHEDULES[checks.one_of("schedule", arguments.pop("kind", None), SCHEDULES)]
    return build_dataclass(schedule_class, arguments)


def _object(name: str, value: object) -> Config:
    """Return a copy of a JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a JSON object, got {value!r:.80}")
    return dict(value)


def _card(config: Configuration) -> str:
    rows = "\n".join(f"| {label} | {value.replace('|', '/')} |" for label, value in config.card())
    load = '```python\nfrom deeprnn_keras import zoo\n\nmodel = zoo.create_model("path/to/this/directory")\n```\n'
    return f"# {config.name}\n\n{config.title}\n\n| | |\n|---|---|\n{rows}\n\n{load}"
