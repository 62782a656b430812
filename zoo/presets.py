"""Presets: a configuration and its weights in a folder, to be kept and shared. Loading one runs no code of it."""

import json
from dataclasses import asdict, fields
from pathlib import Path

from deeprnn_keras import CosineDecay, GeometricDecay, PlateauDecay, Recipe, Registry, StepDecay, checks
from deeprnn_keras.tasks import families
from deeprnn_keras.training.files import save_text
from deeprnn_keras.zoo.configuration import Configuration
from deeprnn_keras.zoo.initialization import Initialization
from deeprnn_keras.zoo.weight_file import read_weights, write_weights

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FORMAT = 1
SCHEDULES = {kind.__name__: kind for kind in (CosineDecay, GeometricDecay, PlateauDecay, StepDecay)}


def save_preset(model, folder, config=None):
    """Writes a model's configuration (JSON), its weights and a card into a folder, which `create_model` loads.

    Args:
        model: built by `config.build()`, or by `create_model`.
        folder: does not exist yet, or is empty.
        config: the model's configuration, of the kind that `info` gives; None: the one it was built from.

    Raises:
        ValueError: if the folder is in use, the weights are not those of the configuration, or there is none.

    >>> import tempfile
    >>> from deeprnn_keras import zoo
    >>> model, folder = zoo.create_model("d2l_rnn_2x32", units=4), tempfile.mkdtemp()
    >>> zoo.save_preset(model, folder)
    >>> zoo.create_model(folder).count_params() == model.count_params()
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
    folder = checks.new_folder("folder", folder)
    folder.mkdir(parents=True, exist_ok=True)
    digest = write_weights(model, folder / WEIGHTS)
    (folder / CARD).write_text(_card(config), encoding="utf-8")
    text = json.dumps({"format": FORMAT, "sha256": digest, **_plain(config)}, indent=2, ensure_ascii=False)
    save_text(text + "\n", folder / CONFIG)  # last: a folder that has it is complete


def is_preset(name):
    """Whether `name` is the folder of a preset."""
    return (Path(name) / CONFIG).is_file()


def load_config(folder):
    """The configuration in a preset's folder.

    Raises:
        ValueError: for a file that is damaged or of another format, naming what is wrong.
    """
    path = Path(folder) / CONFIG
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        values, kind = dict(stored["config"]), configuration_classes()[stored["family"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is no configuration of a model: {error}") from error
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


def load_weights(model, folder):
    """Puts the weights of a preset into its model.

    Raises:
        ValueError: if the file is missing, damaged or of another model; the model is then left as it is.
    """
    stored = json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))
    read_weights(model, Path(folder) / WEIGHTS, stored["sha256"])


def _plain(config):
    values = {**asdict(config), "recipe": {**asdict(config.recipe), "schedule": _named(config.recipe.schedule)}}
    return {"family": _stored_name(type(config)), "config": values}


def _named(schedule):
    return schedule and {"kind": type(schedule).__name__, **asdict(schedule)}


def _schedule(stored, path):
    if stored is None:
        return None
    kind = SCHEDULES[checks.one_of("schedule", stored.get("kind"), SCHEDULES)]
    return kind(**_known(kind, {name: value for name, value in stored.items() if name != "kind"}, path))


def _known(kind, values, path):
    """`values`, if a class has such fields."""
    names = {field.name for field in fields(kind)}
    for name in values:
        if name not in names:
            raise ValueError(f"{str(path)!r}: unknown field {name!r}{checks.nearest(name, names)}")
    return dict(values)


def _tuples(value):
    return tuple(value) if isinstance(value, list) else value


def _card(config):
    rows = "\n".join(f"| {what} | {str(value).replace('|', '/')} |" for what, value in config.card())
    load = '```python\nfrom deeprnn_keras import zoo\n\nmodel = zoo.create_model("path/to/this/folder")\n```\n'
    return f"# {config.name}\n\n{config.title}\n\n| | |\n|---|---|\n{rows}\n\n{load}"
