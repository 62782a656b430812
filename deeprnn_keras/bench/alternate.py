"""One case, measured side by side: the implementations take turns, each in its own lasting process."""

from deeprnn_keras.bench.process import Process, WorkerError

PREPARE_SECONDS = 4.0  # of a first call, on average
OPERATIONS_PER_SECOND = 6e10  # for guesses at the time left


class Team:
    """The processes, one per implementation, started when first asked; a context manager that ends them.

    Only one of them works at a time. One that has died is started anew when asked again.
    """

    def __init__(self, start=Process):
        self._start, self._processes = start, {}

    def ask(self, name, operation, **arguments):
        """The answer of `name`; raises `WorkerError`."""
        if name not in self._processes:
            self._processes[name] = self._start(name)
        try:
            return self._processes[name].ask(operation, **arguments)
        except WorkerError as error:
            if not error.alive:
                self._processes.pop(name).close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        while self._processes:
            self._processes.popitem()[1].close()


class Turns:
    """The turns of all implementations on one case.

    All prepare first, one after another; then each round gives every implementation a turn of about `seconds`, and
    begins with another one than the round before. One that fails has no more turns; the others go on.

    Args:
        team: a `Team`.
        case: a `Case`.
        names: of the implementations.
        settings: with `rounds`, `seconds` and `seed`.
        watcher: a `Watcher`.

    Attributes:
        found: {name: {"first_call_s", ..., "rounds_ms": medians of the turns, "least_ms", "steps": how many each
            had}}, or {name: {"error": words}}.
    """

    def __init__(self, team, case, names, settings, watcher):
        self._team, self._case, self._settings, self._watcher = team, case, settings, watcher
        self.found = {name: {} for name in names}

    def run(self):
        """All turns; returns `found`."""
        for name in self.found:
            self._turn(name, "first call", self._prepare, PREPARE_SECONDS)
        names, rounds = list(self.found), self._settings.rounds
        for turn in range(rounds):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                self._turn(
                    name, f"round {turn + 1} of {rounds}", self._measure, turn_seconds(self._case, self._settings)
                )
        return self.found

    def _turn(self, name, what, act, worth):
        if "error" in self.found[name]:
            self._watcher.skip(worth)
            return
        self._watcher.begin(f"{self._case.key}: {name}, {what}", worth)
        try:
            act(name)
        except WorkerError as error:
            self.found[name] = {"error": str(error)}

    def _prepare(self, name):
        first = self._team.ask(name, "prepare", case=vars(self._case), seed=self._settings.seed)
        self.found[name] = {**first, "rounds_ms": [], "least_ms": [], "steps": []}

    def _measure(self, name):
        answer = self._team.ask(name, "measure", seconds=self._settings.seconds)
        self.found[name]["rounds_ms"].append(answer["median_ms"])
        self.found[name]["least_ms"].append(answer["least_ms"])
        self.found[name]["steps"].append(answer["steps"])


def turn_seconds(case, settings):
    """A guess at the length of a turn: three steps may take longer than `settings.seconds`."""
    return max(settings.seconds, 3 * case.operations / OPERATIONS_PER_SECOND)


def case_seconds(case, names, settings):
    """A guess at the time that a case takes."""
    return len(names) * (PREPARE_SECONDS + settings.rounds * turn_seconds(case, settings))
