"""Progress display of a running search, read from its records."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deeprnn_keras.tuning.trial_records import TrialRecord

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.tuning.results import SearchResults

POLL_SECONDS = 1.0


class SearchProgress:
    """Context manager that shows a progress bar and a line for each trial that ends.

    Args:
        console: Console for the output.
        read_records: Function that returns the records of the trials so far.
        results_of: Function from the records of trials to `SearchResults`.
        total: Number of trials, or None if it is unknown.
        workers: Number of trials that run in parallel.
        deadline: Time, as returned by `time.time`, at which the search ends, or None.
        on_poll: Called each time the records are read.
    """

    def __init__(
        self,
        console: Console,
        read_records: Callable[[], Sequence[TrialRecord]],
        results_of: Callable[[Sequence[TrialRecord]], SearchResults],
        total: int | None = None,
        workers: int = 1,
        deadline: float | None = None,
        on_poll: Callable[[], object] | None = None,
    ) -> None:
        self.console, self._read_records = console, read_records
        self._results_of, self._total, self._workers, self._deadline = results_of, total, workers, deadline
        self._on_poll = on_poll or (lambda: None)
        self._shown_trials: set[str] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("trials"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[status]}"),
            console=console,
            transient=True,
            refresh_per_second=2,
        )
        self._task = self._bar.add_task("Searching", total=total, status="", start=False)

    def __enter__(self) -> Self:
        self._shown_trials = {record.trial_id for record in _ended(self._read_records())}
        if self._shown_trials:
            count = len(self._shown_trials)
            self.console.print(f"Resuming after {count} completed trial{'s' * (count > 1)}")
        self._bar.start_task(self._task)
        self._bar.start()
        self._thread.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self.poll()
        self._bar.stop()

    def _watch(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            self.poll()

    def poll(self) -> None:
        """Read the records and show the trials that have ended."""
        self._on_poll()
        ended = _ended(self._read_records())
        results = self._results_of([record for record in ended if record.complete])
        for record in ended:
            if record.trial_id not in self._shown_trials:
                self._shown_trials.add(record.trial_id)
                self._bar.console.print(_trial_line(record, results), highlight=False, soft_wrap=True)
        best = f"best {results.rows[0].value:.4f}" if results.rows else "no completed trial yet"
        self._bar.update(self._task, completed=len(ended), status=f"· {best}{self._remaining_label(ended)}")

    def _remaining_label(self, ended: Sequence[TrialRecord]) -> str:
        durations = [record.seconds for record in ended if record.seconds is not None]
        estimates = []
        if durations and self._total:
            estimates.append((self._total - len(ended)) * statistics.median(durations) / self._workers)
        if self._deadline is not None:
            estimates.append(max(0.0, self._deadline - time.time()))
        return f" · remaining: about {_duration_label(min(estimates))}" if estimates else ""


def _ended(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [record for record in records if record.complete or record.failed]


def _trial_line(record: TrialRecord, results: SearchResults) -> str:
    row = next((row for row in results.rows if row.trial_id == record.trial_id), None)
    if row is None:
        reason = (record.message or "continued in a later trial").strip().splitlines()[-1]
        return f"[dim]trial {record.trial_id}[/]  {record.status.lower()}: {reason}"
    mark = "[green]*[/]" if row is results.rows[0] else " "
    note = f" · [dim]{row.message}[/]" if row.status == "PRUNED" else ""
    size = "" if row.num_params is None else f"{row.num_params:,} parameters, "
    duration = "" if record.seconds is None else f"{record.seconds:.0f} s"
    return (
        f"[dim]trial {record.trial_id}[/] {mark} [bold]{row.value:.4f}[/]  {row.cell} {row.layers} x "
        f"{row.units_label}  {row.other_values_label()}  [dim]{size}{duration}[/]{note}"
    )


def _duration_label(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
