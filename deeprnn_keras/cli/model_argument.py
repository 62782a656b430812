"""The argument MODEL of the commands that use a trained model, and functions that load the model or its program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deeprnn_keras._types import PathLike

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from deeprnn_keras.program import Program
    from deeprnn_keras.tasks import Family
    from deeprnn_keras.zoo import Configuration

PROGRAM_SUFFIX = ".safetensors"
MODEL_ARGUMENT = click.argument("model", metavar="MODEL")


def data_option(description: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option --text, alias --data, of a command.

    Args:
        description: Its help text.
    """
    path = click.Path(path_type=Path)
    return click.option("--text", "--data", "data", type=path, metavar="FILE", help=description)


VALID_OPTION, TEST_OPTION = (
    click.option(
        f"--{flag}",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"{part} text of a corpus with an official split; for language models only.",
    )
    for flag, part in (("valid", "Validation"), ("test", "Test"))
)
SKIP_UNKNOWN_OPTION = click.option(
    "--skip-unknown", is_flag=True, help="Skip symbols that are not in the model's vocabulary."
)


@dataclass(frozen=True)
class LoadedModel:
    """A trained model, its task family, and its configuration.

    Attributes:
        model: The Keras model.
        family: Its task family.
        config: The zoo's configuration of the same name, or None.
    """

    model: keras.Model
    family: Family
    config: Configuration | None


@dataclass(frozen=True)
class LoadedProgram:
    """The program of a trained model, its task family, and its configuration.

    Attributes:
        program: The program.
        family: Its task family.
        config: The zoo's configuration of the same name, or None.
    """

    program: Program
    family: Family
    config: Configuration | None


def load_program(model: str) -> LoadedProgram | None:
    """Load the program of a model, which takes no import of TensorFlow.

    Args:
        model: Name of a zoo model, path of a .keras file, path of the directory of a run, or path of a program.

    Returns:
        The program; None if there is none, if it is older than the .keras file beside it, or if no task family uses
        programs of its kind.

    Raises:
        ValueError: If the name is unknown, the zoo model has no trained weights, or the file is not a program.
    """
    from deeprnn_keras import zoo
    from deeprnn_keras.tasks import families

    if is_zoo_name(model):
        _check_pretrained(model)
        program = zoo.load_program(model)
    else:
        program = _stored_program(Path(model).expanduser())
    if program is None:
        return None
    config = zoo.info(program.name) if program.name in zoo.list_models() else None
    kind = program.attributes.get("kind")
    family = next((family for family in families() if kind in family.program_kinds), None)
    return None if family is None else LoadedProgram(program, family, config)


def _stored_program(path: Path) -> Program | None:
    """Return the program at a path, or beside a .keras file."""
    from deeprnn_keras.program import Program

    if path.suffix == PROGRAM_SUFFIX:
        return Program.load(path)
    keras_path = path / "model.keras" if path.is_dir() else path
    program_path = keras_path.with_suffix(f".program{PROGRAM_SUFFIX}")
    if not program_path.is_file():
        return None
    if keras_path.exists() and program_path.stat().st_mtime < keras_path.stat().st_mtime:
        return None  # the model was trained further
    return Program.load(program_path)


def _check_pretrained(name: str) -> None:
    from deeprnn_keras import zoo

    if name not in zoo.list_models(pretrained=True):
        zoo.info(name)  # if the name is unknown, raises an error that suggests similar names
        raise ValueError(f"{name} has no trained weights; train it, and pass the output directory of the run")


def load(model: str, console: Console) -> LoadedModel:
    """Load a model from the zoo with its trained weights, from a .keras file, or from the directory of a run.

    Args:
        model: Name of a zoo model, or path of the file or directory.
        console: A `rich.console.Console` for progress.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the name is unknown, the zoo model has no trained weights, or the file is not a model of a
            task family.
    """
    from deeprnn_keras import zoo

    keras_model = load_keras(model, console)
    config = zoo.info(keras_model.name) if keras_model.name in zoo.list_models() else None
    return LoadedModel(keras_model, _find_family(keras_model, config, model), config)


def load_keras(model: str, console: Console) -> keras.Model:
    """Load a Keras model as `load` does, also one that no task family supports."""
    from deeprnn_keras import zoo
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow
    from deeprnn_keras.model_file import model_file

    is_name = is_zoo_name(model)
    if is_name:
        _check_pretrained(model)
    else:
        model_file("model", model)  # reports a missing file before the slow import of TensorFlow
    start_tensorflow(console)
    return zoo.create_model(model, pretrained=True) if is_name else load_file(model)


def load_file(path: PathLike, compile: bool = True) -> keras.Model:
    """Load a model from a .keras file, or from model.keras in the directory of a run, by `models.load_model`.

    Args:
        path: Path of the file or of the directory.
        compile: If True, compile the model.
    """
    from deeprnn_keras.models import load_model
    from deeprnn_keras.tasks import families

    families()  # imports families of other packages, which register their classes
    return load_model(path, compile)


def _find_family(model: keras.Model, config: Configuration | None, argument: str) -> Family:
    from deeprnn_keras.tasks import families

    accepting = [family for family in families() if family.accepts(model)]
    if config is not None and (not accepting or config.family in accepting):
        return config.family
    if not accepting:
        raise ValueError(
            f"model {argument!r} is a {type(model).__name__}, which no task family supports "
            f"({', '.join(families().names())}), and its name {model.name!r} is not that of a zoo model"
        )
    return accepting[0]


def is_zoo_name(model: str) -> bool:
    """Return whether MODEL is the name of a zoo model, possibly misspelled, rather than a path."""
    from deeprnn_keras import zoo

    path = Path(model)
    return model in zoo.list_models() or not (path.exists() or path.suffix == ".keras" or path.name != model)
