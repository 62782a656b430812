"""Measurement of one case: the implementations alternate, each in a separate persistent process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from deeprnn_keras.bench.process import StartWorker, WorkerError, WorkerProcess
from deeprnn_keras.bench.results import CaseFigures, Figures

if TYPE_CHECKING:
    from deeprnn_keras.bench.case import Case
    from deeprnn_keras.bench.progress import ProgressListener
    from deeprnn_keras.bench.settings import Settings

# for estimates of the remaining time
PREPARE_SECONDS = 4.0  # average of a first call
FLOPS = 6e10  # floating-point operations per second


class WorkerPool:
    """Worker processes, one per implementation, started on first use.

    Only one worker computes at a time. A worker that has died is replaced at its next request. The pool is a context
    manager that ends all workers.

    Args:
        start: Function that starts the worker of an implementation.
    """

    def __init__(self, start: StartWorker = WorkerProcess) -> None:
        self._start = start
        self._processes: dict[str, WorkerProcess] = {}

    def request(self, name: str, operation: str, **arguments: object) -> Figures:
        """Return the response of the worker of implementation `name`.

        Raises:
            WorkerError: If the operation fails or the worker dies.
        """
        if name not in self._processes:
            self._processes[name] = self._start(name)
        try:
            return self._processes[name].request(operation, **arguments)
        except WorkerError as error:
            if not error.alive:
                self._processes.pop(name).close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._processes:
            self._processes.popitem()[1].close()


class CaseMeasurement:
    """Alternating measurement of all implementations on one case.

    All implementations are prepared first, one after another. In each round, every implementation then runs for about
    `settings.seconds`; each round starts with a different implementation. An implementation that fails is
    skipped from then on, and the others continue.

    Args:
        pool: Worker processes.
        case: Case to measure.
        names: Names of the implementations.
        settings: Settings; `rounds`, `seconds`, and `seed` are used.
        listener: Receiver of the progress.

    Attributes:
        figures: Per implementation {"first_call_s", …, "rounds_ms": median step time of each round, "least_ms": minimum
            step time of each round, "steps": number of steps of each round}, or {"error": message}.
    """

    def __init__(
        self, pool: WorkerPool, case: Case, names: Sequence[str], settings: Settings, listener: ProgressListener
    ) -> None:
        self._pool, self._case, self._settings, self._listener = pool, case, settings, listener
        self.figures: CaseFigures = {name: {} for name in names}

    def run(self) -> CaseFigures:
        """Measure all rounds, and return `figures`."""
        for name in self.figures:
            self._run_part(name, "first call", self._prepare, PREPARE_SECONDS)
        names, rounds = list(self.figures), self._settings.rounds
        seconds = estimate_turn_seconds(self._case, self._settings)
        for number in range(rounds):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                self._run_part(name, f"round {number + 1} of {rounds}", self._measure, seconds)
        return self.figures

    def _run_part(self, name: str, description: str, function: Callable[[str], None], seconds: float) -> None:
        if "error" in self.figures[name]:
            self._listener.skip(seconds)
            return
        self._listener.begin(f"{self._case.key}: {name}, {description}", seconds)
        try:
            function(name)
        except WorkerError as error:
            self.figures[name] = {"error": str(error)}

    def _prepare(self, name: str) -> None:
        first_calls = self._pool.request(name, "prepare", case=vars(self._case), seed=self._settings.seed)
        self.figures[name] = {**first_calls, "rounds_ms": [], "least_ms": [], "steps": []}

    def _measure(self, name: str) -> None:
        response = self._pool.request(name, "measure", seconds=self._settings.seconds)
        self.figures[name]["rounds_ms"].append(response["median_ms"])
        self.figures[name]["least_ms"].append(response["least_ms"])
        self.figures[name]["steps"].append(response["steps"])


def estimate_turn_seconds(case: Case, settings: Settings) -> float:
    """Return the expected duration of one turn, whose 3 steps may take longer than `settings.seconds`."""
    return max(settings.seconds, 3 * case.operations / FLOPS)


def estimate_case_seconds(case: Case, names: Sequence[str], settings: Settings) -> float:
    """Return the expected duration of all turns of a case."""
    return len(names) * (PREPARE_SECONDS + settings.rounds * estimate_turn_seconds(case, settings))
