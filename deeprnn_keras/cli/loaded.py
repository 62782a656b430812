"""The model that a command works on: one of the zoo with its trained weights, or a file."""

from pathlib import Path

import click

MODEL = click.argument("model", metavar="MODEL")
SKIP = click.option("--skip-unknown", is_flag=True, help="Leave out characters that the model does not know.")


def load(model, console):
    """The model called so in the zoo, with its trained weights; else that in a .keras file or a training's folder.

    Raises:
        ValueError: for an unknown name, an entry without weights, no such file, or one that holds something else.
    """
    from deeprnn_keras import checks, zoo
    from deeprnn_keras.cli.quiet import load_tensorflow

    named = names_an_entry(model)
    if named:
        if model not in zoo.list_models(pretrained=True):
            zoo.info(model)  # an unknown name is an error that suggests the nearest
            raise ValueError(f"{model} has no trained weights: train it, and give the folder of its training")
    else:
        checks.model_file("model", model)  # before TensorFlow, which takes seconds
    load_tensorflow(console)
    from deeprnn_keras.models.loading import load_model_of

    return zoo.create_model(model, pretrained=True) if named else load_model_of(model)


def names_an_entry(model):
    """Whether MODEL is a name, right or mistyped, rather than a path."""
    from deeprnn_keras import zoo

    path = Path(model)
    return model in zoo.list_models() or not (path.exists() or path.suffix == ".keras" or path.name != model)
