"""Progress of a run: the interface of its listeners, and a progress bar with the remaining time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typing_extensions import override

from deeprnn_keras.bench.results import CaseFigures
from deeprnn_keras.bench.summary import median_ms, ratio

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.bench.case import Case

SPEED_PERIOD = 300.0  # seconds over which the speed is estimated


class ProgressListener:
    """Base class of progress listeners, which ignores all events.

    A run consists of parts. Each part is announced with its expected duration in seconds.
    """

    def begin(self, description: str, seconds: float) -> None:
        """Handle the start of a part, which ends the previous one."""

    def skip(self, seconds: float) -> None:
        """Handle a skipped part: it was measured before, or its implementation has failed."""

    def case(self, case: Case, figures: CaseFigures) -> None:
        """Handle the figures of a measured case."""


class ProgressBar(ProgressListener):
    """Progress bar with the current part, the remaining time, and one line per measured case.

    Args:
        console: Console to print to.
        total: Expected duration of the run in seconds.
    """

    def __init__(self, console: Console, total: float) -> None:
        self._progress = Progress(
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("· remaining"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            speed_estimate_period=SPEED_PERIOD,
            refresh_per_second=2,
        )
        self._task = self._progress.add_task("", total=total)
        self._current_seconds = 0.0

    @override
    def begin(self, description: str, seconds: float) -> None:
        self._progress.update(self._task, advance=self._current_seconds, description=description)
        self._current_seconds = seconds

    @override
    def skip(self, seconds: float) -> None:
        self._progress.update(self._task, advance=seconds)

    @override
    def case(self, case: Case, figures: CaseFigures) -> None:
        self._progress.console.print(format_case(case, figures), highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def shown(self) -> Iterator[Self]:
        """Show the bar while the block runs."""
        with self._progress:
            yield self


def format_case(case: Case, figures: CaseFigures) -> str:
    """Return one line with the milliseconds of a case and the ratios of DeepRNN to the other implementations."""
    times = [(name, median_ms(values)) for name, values in figures.items()]
    parts = [f"{name} {'failed' if time is None else f'{time:.2f}'}" for name, time in times]
    ratios = [(baseline, ratio(figures, "DeepRNN", baseline)) for baseline in ("keras", "torch", "drop-ins")]
    parts += [f"DeepRNN/{baseline} {value:.2f}" for baseline, value in ratios if value is not None]
    return f"{case.key:<26} ms: {' · '.join(parts)}"
