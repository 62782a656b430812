"""What a running search shows: trials done, the best so far, the time left; read from its records."""

import statistics
import threading
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deeprnn_keras.tuning.records import read_trials

POLL_SECONDS = 1.0


class SearchProgress:
    """A bar, and a line for each trial that ends.

    Args:
        console: a `rich.console.Console`.
        directory: of the search.
        results_of: [TrialRecord] -> `SearchResults`.
        objective: its name.
        total: trials, or None where the number is not known.
        workers: that run at once.
        deadline: time (as of `time.time`) at which the search ends, or None.
        on_poll: called at each look into the directory.

    Used as a context it watches the directory by itself.
    """

    def __init__(self, console, directory, results_of, objective, total=None, workers=1, deadline=None, on_poll=None):
        self.console, self.directory, self.objective = console, directory, objective
        self._results_of, self._total, self._workers, self._deadline = results_of, total, workers, deadline
        self._on_poll = on_poll or (lambda: None)
        self._shown, self._over = set(), threading.Event()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("trials"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[rest]}"),
            console=console,
            transient=True,
            refresh_per_second=2,
        )

    def __enter__(self):
        self._task = self._bar.add_task("searching", total=self._total, rest="")
        self._shown = {record.trial_id for record in self._ended(read_trials(self.directory, self.objective))}
        if self._shown:
            self.console.print(f"{len(self._shown)} trials are done already")
        self._bar.start()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        self._thread.join()
        self.poll()
        self._bar.stop()

    def _watch(self):
        while not self._over.wait(POLL_SECONDS):
            self.poll()

    @staticmethod
    def _ended(records):
        return [record for record in records if record.complete or record.status in ("FAILED", "INVALID")]

    def poll(self):
        """Shows what is new in the directory."""
        self._on_poll()
        records = read_trials(self.directory, self.objective)
        ended = self._ended(records)
        results = self._results_of([record for record in ended if record.complete])
        for record in ended:
            if record.trial_id not in self._shown:
                self._shown.add(record.trial_id)
                self._bar.console.print(self._line(record, results), highlight=False, soft_wrap=True)
        best = f"best {results.rows[0].value:.4f}" if results.rows else "no trial has ended yet"
        self._bar.update(self._task, completed=len(ended), rest=f"· {best}{self._left(records, ended)}")

    def _line(self, record, results):
        row = next((row for row in results.rows if row.trial_id == record.trial_id), None)
        time_taken = f"{record.seconds:.0f} s" if record.seconds is not None else ""
        if row is None:
            reason = (record.message or "went on in a later trial").strip().splitlines()[-1]
            return f"[dim]trial {record.trial_id}[/]  {record.status.lower()}: {reason}"
        mark = "[green]*[/]" if row is results.rows[0] else " "
        note = f" · [dim]{row.message}[/]" if row.status == "PRUNED" else ""
        size = "" if row.weights is None else f"{row.weights:,} weights, "
        return (
            f"[dim]trial {record.trial_id}[/] {mark} [bold]{row.value:.4f}[/]  {row.cell} {row.layers} x "
            f"{row.shown_units}  {row.others()}  [dim]{size}{time_taken}[/]{note}"
        )

    def _left(self, records, ended):
        seconds = [record.seconds for record in ended if record.seconds is not None]
        left = []
        if seconds and self._total:
            left.append((self._total - len(ended)) * statistics.median(seconds) / self._workers)
        if self._deadline is not None:
            left.append(max(0.0, self._deadline - time.time()))
        return f" · about {_clock(min(left))} left" if left else ""


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
