"""First and last lines that a training run prints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from deeprnn_keras._types import TaskData
from deeprnn_keras.cli.exit_codes import FAILED, INTERRUPTED

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from deeprnn_keras.tasks import Family, Run
    from deeprnn_keras.zoo import Configuration


def print_start(
    config: Configuration, model: keras.Model, data: TaskData, resumed: Path | None, console: Console
) -> None:
    """Print the model, its data, and, if a run is resumed, its directory.

    Args:
        config: Configuration of the model.
        model: The model.
        data: The data of its task family.
        resumed: Directory of the run to resume, or None for a new run.
        console: A `rich.console.Console`.
    """
    description = escape(config.family.describe_data(data))
    console.print(
        f"[bold]{config.name}[/]: {config.architecture()}, {model.count_params():,} parameters; {description}"
    )
    if resumed is not None:
        console.print(f"Resuming the run in {escape(str(resumed))}", soft_wrap=True)


def exit_code(run: Run) -> int:
    """Return the exit code of a run."""
    return {"finished": 0, "interrupted": INTERRUPTED, "not finite": FAILED}[run.ending]


def print_end(family: Family, run: Run, model: keras.Model, console: Console) -> int:
    """Print the score and files of a run, or the reason why it stopped early; return the exit code."""
    path = escape(str(run.model_path))
    if run.ending == "interrupted":
        directory = escape(str(run.directory))
        console.print(f"[yellow]Interrupted.[/] The current model is saved in {path}", soft_wrap=True)
        console.print(f"Resume with: deeprnn train {model.name} --resume --output {directory}", soft_wrap=True)
        return exit_code(run)
    if run.ending == "not finite":
        console.print(f"[red]Stopped:[/] {run.advice}")
        console.print(f"The last model with finite weights is saved in {path}", soft_wrap=True)
        return exit_code(run)
    family.report(run, model, console)
    paths = [(label, run.directory / file) for label, file in family.files]
    print_files([(label, path) for label, path in paths if path.exists()], console)
    return exit_code(run)


def print_files(files: Iterable[tuple[str, Path]], console: Console) -> None:
    """Print (label, path) of each file, one per line."""
    for label, path in files:
        console.print(f"[bold]{label:>14}[/]  {escape(str(path))}", soft_wrap=True)
