"""Who is told what is measured now: nobody, or a bar with the time left."""

from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deeprnn_keras.bench.summary import milliseconds, ratio

PERIOD = 300.0  # seconds over which the speed is taken that tells the time left


class Watcher:
    """Hears all and says nothing.

    A measurement is made of pieces; each is worth the seconds that it is expected to take.
    """

    def begin(self, words, worth):
        """A piece begins; the one before it is over."""

    def skip(self, worth):
        """What is left out: it is there already, or failed before its turn came."""

    def case(self, case, found):
        """The figures of a case."""


class Bar(Watcher):
    """Shows the piece at work and the time left, and a line for each case."""

    def __init__(self, console, total):
        self._bar = Progress(
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("· left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            speed_estimate_period=PERIOD,
            refresh_per_second=2,
        )
        self._task, self._worth = self._bar.add_task("", total=total), 0.0

    def begin(self, words, worth):
        self._bar.update(self._task, advance=self._worth, description=words)
        self._worth = worth

    def skip(self, worth):
        self._bar.update(self._task, advance=worth)

    def case(self, case, found):
        self._bar.console.print(line(case, found), highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def shown(self):
        """On the screen while the block runs."""
        with self._bar:
            yield self


def line(case, found):
    """One line on a case: milliseconds, and our time over that of the others."""
    times = [(name, milliseconds(figures)) for name, figures in found.items()]
    words = [f"{name} {'failed' if time is None else f'{time:.2f}'}" for name, time in times]
    ratios = [(other, ratio(found, "DeepRNN", other)) for other in ("keras", "torch", "drop-ins")]
    words += [f"DeepRNN/{other} {value:.2f}" for other, value in ratios if value is not None]
    return f"{case.key:<26} ms: {' · '.join(words)}"
