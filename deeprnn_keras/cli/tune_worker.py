"""The command `deeprnn tune-worker`."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
import msgspec

from deeprnn_keras.cli.model_argument import TEST_OPTION, VALID_OPTION, data_option
from deeprnn_keras.cli.tune import MINUTES, create_search
from deeprnn_keras.cli.tune_options import from_json
from deeprnn_keras.data.data_files import DataFiles

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras._types import Config
    from deeprnn_keras.tuning.shared_search import SharedSearch, SharedSettings

POLL_SECONDS = 5.0


@click.command("tune-worker")
@click.option(
    "--storage", metavar="URL", required=True, help="URL of a database, or path of a journal file, as for deeprnn tune."
)
@click.option("--study", metavar="NAME", required=True, help="Name of the search in --storage.")
@data_option("Training data, if the file is in another directory on this machine.")
@VALID_OPTION
@TEST_OPTION
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Directory of checkpoints; a lost trial continues on any machine that shares it.  [default: runs/NAME]",
)
@click.option(
    "--retry-stale",
    is_flag=True,
    help="Declare the workers whose trials are running dead, and return these trials to the queue; for journal files.",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0.0),
    metavar="SECONDS",
    default=0.0,
    help="Time to wait for deeprnn tune to start the search.  [default: 0]",
)
@click.option("--minutes", type=MINUTES, metavar="FLOAT", help="Time after which this worker starts no trial.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    help="Directory to write the table and the plots of the results to.",
)
def tune_worker(
    storage: str,
    study: str,
    data: Path | None,
    valid: Path | None,
    test: Path | None,
    checkpoints: Path | None,
    retry_stale: bool,
    wait: float,
    minutes: float | None,
    report: Path | None,
) -> None:
    """Run trials of a search on several machines.

    deeprnn tune --storage URL --study NAME starts the search; the worker may run on any machine. It ends when all
    trials have ended, and prints the results. With a database, it also runs the trials of workers that were killed. If
    it is stopped by Ctrl-C or SIGTERM, its trial returns to the queue.
    """
    from rich.console import Console

    from deeprnn_keras.cli.exit_codes import INTERRUPTED

    console = Console()
    stored = _read_settings(storage, study, wait, console)
    try:
        settings = from_json(stored["settings"])
    except msgspec.ValidationError as error:
        raise ValueError(f"study {study!r} was not created by deeprnn tune: {error}") from error
    files = DataFiles(data, valid, test).settings()
    settings |= {"text": files.pop("data", settings["text"]), **files}
    search = _create_search(storage, study, settings, stored, checkpoints, minutes, console)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if retry_stale:
            console.print(f"Returned to the queue: {search.tuner().retry_stale()} trials", highlight=False)
        results = search.run_worker(console)
    except RuntimeError as error:  # raised if trials fail repeatedly
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        console.print("[yellow]Stopped.[/] The trial of this worker has returned to the queue.")
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, previous)
    console.print(results.table())
    if report is not None:
        from deeprnn_keras.cli.run_report import print_files

        print_files([(path.stem.replace("_", " "), path) for path in results.save(report)], console)


def _read_settings(storage: str, study: str, wait: float, console: Console) -> SharedSettings:
    """Return the settings of the study, which may be created within `wait` seconds."""
    from deeprnn_keras import extras

    extras.import_optional("optuna", "optuna", "A search with a storage")
    from deeprnn_keras.tuning.shared_search import read_settings
    from deeprnn_keras.tuning.storages import shown

    waited_until, stored = time.monotonic() + wait, read_settings(storage, study)
    if stored is None and wait:
        console.print(f"Waiting for study {study!r}", highlight=False)
    while stored is None:
        if time.monotonic() >= waited_until:
            raise ValueError(
                f"storage {shown(storage)!r} has no study {study!r}; start it with: "
                f"deeprnn tune MODEL --storage URL --study {study}, or wait for it with --wait SECONDS"
            )
        time.sleep(min(POLL_SECONDS, wait))
        stored = read_settings(storage, study)
    return stored


def _create_search(
    storage: str,
    study: str,
    settings: Config,
    stored: SharedSettings,
    checkpoints: Path | None,
    minutes: float | None,
    console: Console,
) -> SharedSearch:
    """Return the search, with the number of updates and the settings of its creator, and its own time limit."""
    own = {**settings, "search": {**settings["search"], "updates": stored["updates"], "minutes": None}}
    directory = checkpoints or Path("runs") / study
    shared = {"storage": storage, "study_settings": stored["settings"], "checkpoints": checkpoints}
    search = cast("SharedSearch", create_search(settings["model"], directory, own, 1, console, **shared)[0])
    search.tuner().deadline = None if minutes is None else time.time() + 60 * minutes
    return search
