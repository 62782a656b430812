"""The argument MODEL: a trained model of the zoo, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from deeprnn_keras.tasks import Family
    from deeprnn_keras.zoo import Configuration

MODEL = click.argument("model", metavar="MODEL")
SKIP = click.option("--skip-unknown", is_flag=True, help="Leave out characters that the model does not know.")


@dataclass(frozen=True)
class LoadedModel:
    """A trained model and what is known about it.

    Attributes:
        model: The Keras model.
        family: Its task family.
        config: The zoo's configuration of that name, or None.
    """

    model: keras.Model
    family: Family
    config: Configuration | None


def load(model: str, console: Console) -> LoadedModel:
    """Load the model of that name from the zoo with its trained weights, or from a .keras file or a run's directory.

    Raises:
        ValueError: For an unknown name, an entry without weights, a missing file, or one that holds something else.
    """
    from deeprnn_keras import checks, zoo
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow

    named = names_an_entry(model)
    if named:
        if model not in zoo.list_models(pretrained=True):
            zoo.info(model)  # an unknown name is an error that suggests the nearest
            raise ValueError(f"{model} has no trained weights; train it, and pass the directory of the run")
    else:
        checks.model_file("model", model)  # before TensorFlow, which takes seconds
    start_tensorflow(console)
    found = zoo.create_model(model, pretrained=True) if named else load_file(model)
    config = zoo.info(found.name) if found.name in zoo.list_models() else None
    return LoadedModel(found, _family_of(found, config, model), config)


def load_file(path: str | Path) -> keras.Model:
    """Load a model from a .keras file, or from model.keras of a run's directory.

    Keras' safe mode stays on: a file that contains code is refused.
    """
    import keras

    from deeprnn_keras import checks, models  # noqa: F401 - classes that Keras finds in the file
    from deeprnn_keras.tasks import families

    families()  # imports the classes of other packages
    return keras.models.load_model(checks.model_file("model", path))


def _family_of(model: keras.Model, config: Configuration | None, argument: str) -> Family:
    from deeprnn_keras.tasks import families

    accepting = [family for family in families() if family.accepts(model)]
    if config is not None and (not accepting or config.family in accepting):
        return config.family
    if not accepting:
        raise ValueError(
            f"model {argument!r} holds a {type(model).__name__}, which belongs to no task family "
            f"({', '.join(families().names())}) and is not named after a model of the zoo"
        )
    return accepting[0]


def names_an_entry(model: str) -> bool:
    """Return whether MODEL is a name, correct or mistyped, rather than a path."""
    from deeprnn_keras import zoo

    path = Path(model)
    return model in zoo.list_models() or not (path.exists() or path.suffix == ".keras" or path.name != model)
