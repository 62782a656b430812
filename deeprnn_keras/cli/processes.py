"""Option --processes of `deeprnn train`: one run in several processes of this machine, or of a launcher."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple

import click

from deeprnn_keras.cli.exit_codes import FAILED, INTERRUPTED
from deeprnn_keras.processes import is_first, process_count

if TYPE_CHECKING:
    from rich.console import Console

POLL_SECONDS = 0.1
GRACE_SECONDS = 60.0  # from Ctrl-C until processes that have not ended are killed
MAX_OUTPUT = 4000  # characters of the output of a process in a message


def start_processes(count: int | None) -> None:
    """Run this command in `count` processes and exit, unless this process is one of a launcher or `count` is 1.

    Raises:
        ValueError: If the Keras backend does not support several processes.
    """
    from deeprnn_keras.training.cluster import find_launcher
    from deeprnn_keras.training.distribution import check_backend

    if count is None or count == 1:
        return
    check_backend(f"--processes {count}")
    if find_launcher(os.environ) is None:
        sys.exit(run_processes([sys.executable, "-m", "deeprnn_keras.cli", *sys.argv[1:]], count))


class _Process(NamedTuple):
    """A process of the run.

    Attributes:
        child: The process.
        output: Its output, or None if it writes to the terminal.
    """

    child: subprocess.Popen[bytes]
    output: IO[bytes] | None


def run_processes(command: Sequence[str], count: int) -> int:
    """Run a command in several processes of this machine, which connect through the loopback interface.

    The first process writes to the terminal. The output of another one is shown if it fails; all others are then
    stopped. Ctrl-C and SIGTERM are passed to the processes, which save the run and end.

    Args:
        command: The command, which calls `deeprnn_keras.training.distribute`.
        count: Number of processes.

    Returns:
        The exit code: 0, that of the first process that has failed, or that of an interrupted command.
    """
    address, processes = f"127.0.0.1:{_free_port()}", []
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for index in range(count):
            processes.append(_start(command, index, count, address))
        return _wait(processes)
    except KeyboardInterrupt:
        return _interrupt(processes)
    finally:
        signal.signal(signal.SIGTERM, previous)
        _kill(processes)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(command: Sequence[str], index: int, count: int, address: str) -> _Process:
    from deeprnn_keras.training.cluster import ADDRESS, COUNT, INDEX

    place = {ADDRESS: address, COUNT: str(count), INDEX: str(index)}
    output = None if index == 0 else tempfile.TemporaryFile()  # noqa: SIM115 - closed by `_kill`
    child = subprocess.Popen(
        list(command),
        env={**os.environ, **place},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,  # so that the terminal sends Ctrl-C to this process only
    )
    return _Process(child, output)


def _wait(processes: Sequence[_Process]) -> int:
    """Wait for all processes, or for one that fails; return the exit code."""
    while True:
        codes = [process.child.poll() for process in processes]
        failed = [index for index, code in enumerate(codes) if code not in (None, 0, INTERRUPTED)]
        if failed:
            return _report_failure(processes, failed[0])
        if None not in codes:
            return INTERRUPTED if INTERRUPTED in codes else 0
        time.sleep(POLL_SECONDS)


def _report_failure(processes: Sequence[_Process], index: int) -> int:
    """Print how a process has ended, with its output; return its exit code."""
    child, output = processes[index]
    code = child.returncode
    ending = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    click.echo(f"Process {index} of {len(processes)} {ending}; the others are stopped.", err=True)
    if output is not None:
        output.seek(0)
        text = output.read().decode("utf-8", "replace")[-MAX_OUTPUT:].strip()
        click.echo(f"Its output:\n{text}" if text else "It has printed nothing.", err=True)
    return FAILED if code < 0 else code


def _interrupt(processes: Sequence[_Process]) -> int:
    """Pass an interruption to the processes, and wait until they have saved the run."""
    for process in processes:
        process.child.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        while any(process.child.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:  # a second Ctrl-C does not wait
        click.echo("Stopped without saving; --resume continues from the last checkpoint.", err=True)
    return INTERRUPTED


def _kill(processes: Sequence[_Process]) -> None:
    for process in processes:
        if process.child.poll() is None:
            process.child.kill()
        process.child.wait()
        if process.output is not None:
            process.output.close()


def join_run(count: int | None, console: Console) -> None:
    """Connect this process with the others of --processes, if there are several; all but the first print nothing."""
    from deeprnn_keras.training.distribution import distribute

    if count is not None and count > 1:
        distribute(num_processes=count)
        console.quiet = not is_first()


@contextmanager
def end_at_once_if_failed() -> Iterator[None]:
    """End a process of several without waiting for the others, which wait for it in their next update, if it fails."""
    from deeprnn_keras.training.distribution import end_process

    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        if process_count() == 1:
            raise
        click.ClickException(str(error)).show()
        end_process(FAILED)
