"""The command `deeprnn import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deeprnn_keras.cli.model_argument import PROGRAM_SUFFIX

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.interop import Certificate

SUFFIXES = (".keras", PROGRAM_SUFFIX)


@click.command("import")
@click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path))
@click.argument("target", metavar="TARGET", type=click.Path(path_type=Path))
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=".keras file of the model that receives the weights, if SOURCE contains weights only.",
)
@click.option(
    "--activation",
    type=click.Choice(["tanh", "relu"]),
    help="Activation of a recurrent layer whose SOURCE does not state it.  [default: tanh]",
)
@click.option(
    "--last-step", is_flag=True, help="Return the last step of a bare recurrent network instead of all steps."
)
@click.option("--keep-layers", is_flag=True, help="Keep recurrent layers of keras.layers instead of replacing them.")
@click.option(
    "--list", "list_only", is_flag=True, help="Print the mapping from SOURCE to the model, and write nothing."
)
@click.option("--no-verify", is_flag=True, help="Do not compare the model with SOURCE.")
@click.option("--overwrite", is_flag=True, help="Replace an existing TARGET.")
def import_model(
    source: Path,
    target: Path,
    into: Path | None,
    last_step: bool,
    keep_layers: bool,
    list_only: bool,
    no_verify: bool,
    overwrite: bool,
    **options: Any,
) -> None:
    """Load a trained network of another library and save it.

    SOURCE is a file of Keras 2 or 3 (.h5, .keras, or an archive of JSON and weights), a PyTorch state dict
    (.safetensors, .pt), an ONNX file, or a file of Neural Amp Modeler (.nam). TARGET is a .keras file, or a
    .safetensors file of a program, which runs without Keras. The model is compared with SOURCE on random input, and a
    certificate is written beside TARGET.
    """
    from rich.console import Console

    _check_target(target, overwrite)
    if not source.exists():
        raise FileNotFoundError(f"SOURCE {str(source)!r} does not exist")
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow

    start_tensorflow(Console(stderr=True))
    from deeprnn_keras import interop
    from deeprnn_keras.models import load_model

    options |= {"into": None if into is None else load_model(into, compile=False), "return_sequences": not last_step}
    click.echo(str(interop.inspect(source, **options)))
    if list_only:
        return
    model = _as_model(interop.load(source, **options))
    if not keep_layers:
        model = interop.convert(model)
        click.echo(f"\n{model.conversion_report}")  # pyright: ignore[reportAttributeAccessIssue] - set by `convert`
    certificate = None if no_verify else _certificate(model, source, options["activation"])
    _save(model, target)
    click.echo(f"\nSaved to {target}")
    if certificate is not None:
        click.echo(f"Saved to {certificate.save(target)}")


def _check_target(target: Path, overwrite: bool) -> None:
    """Raise an error if the target could not be written, before the model is loaded."""
    if target.suffix not in SUFFIXES:
        raise ValueError(f"TARGET must be a {' or a '.join(SUFFIXES)} file, got {str(target)!r}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"TARGET {str(target)!r}: the directory {str(target.parent)!r} does not exist")
    if target.exists() and not overwrite:
        raise FileExistsError(f"TARGET {str(target)!r} exists; pass another path or --overwrite")


def _as_model(loaded: keras.Layer) -> keras.Model:
    """Return what `interop.load` returned as a model: a bare recurrent network reads sequences (n, T, d)."""
    import keras

    if isinstance(loaded, keras.Model):
        return loaded
    return keras.Sequential([keras.Input((None, loaded.input_dim)), loaded], name=loaded.name)


def _certificate(model: keras.Model, source: Path, activation: str | None) -> Certificate:
    """Return the certificate of a model, printed.

    Raises:
        ValueError: If the model differs from its source, or if the source states no computation.
    """
    from deeprnn_keras import interop
    from deeprnn_keras.interop.verification import NoReferenceError

    try:
        certificate = interop.verify(model, source, activation=activation)
    except NoReferenceError as error:
        raise ValueError(
            f"SOURCE {str(source)!r} contains weights without the computation that uses them, so that nothing can be "
            "compared; pass --no-verify to save the model without a certificate"
        ) from error
    click.echo(f"\n{certificate}")
    if not certificate.passed:
        raise ValueError("the model differs from SOURCE, and nothing was written; please report this with SOURCE")
    return certificate


def _save(model: keras.Model, target: Path) -> None:
    from deeprnn_keras.program import lower
    from deeprnn_keras.writing import save_model

    if target.suffix == PROGRAM_SUFFIX:
        lower(model).save(target)
    else:
        save_model(model, target)
