"""The first and the last lines of a run on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from deeprnn_keras.cli.exit_codes import FAILED, INTERRUPTED

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from deeprnn_keras.tasks import Family, Run
    from deeprnn_keras.zoo import Configuration


def print_start(config: Configuration, model: keras.Model, data: Any, resumed: Path | None, console: Console) -> None:
    """Print what is trained on what data, and the directory of a run that is resumed."""
    words = escape(config.family.describe_data(data))
    console.print(f"[bold]{config.name}[/]: {config.architecture()}, {model.count_params():,} weights; {words}")
    if resumed is not None:
        console.print(f"Resuming the run in {escape(str(resumed))}", soft_wrap=True)


def print_end(family: Family, run: Run, model: keras.Model, console: Console) -> int:
    """Print score and files of a run, or why it ended early; return the exit code."""
    if run.ending == "interrupted":
        path, directory = escape(str(run.model_path)), escape(str(run.directory))
        console.print(f"[yellow]Interrupted.[/] The model so far is in {path}", soft_wrap=True)
        console.print(f"Resume with: deeprnn train {model.name} --resume --output {directory}", soft_wrap=True)
        return INTERRUPTED
    if run.ending == "not finite":
        console.print(f"[red]Stopped:[/] {run.advice}")
        console.print(f"The last good model is in {escape(str(run.model_path))}", soft_wrap=True)
        return FAILED
    family.report(run, model, console)
    print_files([(label, run.directory / file) for label, file in family.files], console)
    return 0


def print_files(files: list[tuple[str, Path]], console: Console) -> None:
    """Print (label, path), one per line."""
    for label, path in files:
        console.print(f"[bold]{label:>14}[/]  {escape(str(path))}", soft_wrap=True)
