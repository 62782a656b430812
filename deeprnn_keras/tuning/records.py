"""The records of a search on disk: written whole, read by whoever looks on, damaged ones set aside."""

import json
import shutil
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deeprnn_keras.training.files import atomic_write, save_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

ORACLE, BEFORE, SEARCH, LOCK = "oracle.json", "oracle.before.json", "search.json", "lock"
EPOCH, LAST, SEED = "epoch/", "last/", "seed/"  # reports of a running trial begin with one of these
OUTSIDE = ("tuner/",)  # what Hyperband notes among the values


@dataclass
class TrialRecord:
    """What is known of one trial.

    Attributes:
        trial_id, status: as keras-tuner has them; "PRUNED" is a completed trial that was broken off.
        values: {hyper-parameter: value}, the active ones.
        score: of the objective, or None.
        epochs: [(epoch, value)] of the objective while it ran.
        seeds: [(seed, value)].
        metrics: {name: value} at the end: weights, ms per step, seconds.
        message: why it failed or was broken off.
        seconds: from its beginning to its end, or None.
        rung: the epochs of its round, with Hyperband.
    """

    trial_id: str
    status: str
    values: dict
    score: float | None = None
    epochs: list = field(default_factory=list)
    seeds: list = field(default_factory=list)
    metrics: dict = field(default_factory=dict)
    message: str | None = None
    seconds: float | None = None
    rung: int | None = None

    @property
    def complete(self):
        """Whether it has a score that counts."""
        return self.status in ("COMPLETED", "PRUNED") and self.score is not None


def save_oracle(state, directory):
    """Writes the oracle's state; the one before stays beside it."""
    path = Path(directory) / ORACLE
    if path.exists():
        with atomic_write(path.with_name(BEFORE)) as temporary_path:
            shutil.copyfile(path, temporary_path)
    save_plain(state, path)


def load_oracle(directory):
    """The oracle's state, or the one before where the newest is damaged.

    Raises:
        ValueError: if both are.
    """
    damaged = []
    for name in (ORACLE, BEFORE):
        path = Path(directory) / name
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            if damaged:
                warnings.warn(f"{damaged[0]} is damaged; the search goes on with the state before", stacklevel=2)
            return state
        except (OSError, ValueError):
            damaged.append(path)
    raise ValueError(f"the search in {str(directory)!r} cannot go on: {ORACLE} and the state before are damaged")


def save_plain(value, path):
    """JSON, whole or not at all; numbers that are not finite are allowed, as keras-tuner has them."""
    with atomic_write(path) as temporary_path:
        temporary_path.write_text(json.dumps(value), encoding="utf-8")


@contextmanager
def held(directory):
    """Holds a search for this process while the block runs, where the system has locks.

    Raises:
        ValueError: if another process holds it.
    """
    if fcntl is None:
        yield
        return
    with (Path(directory) / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(
                f"another process runs the search in {str(directory)!r}; wait for it, stop it, or pass another directory"
            ) from error
        yield


def set_aside(path):
    """Renames a damaged record; says so."""
    aside = path.with_name(f"{path.name}.damaged")
    if path.exists():
        path.replace(aside)
    warnings.warn(f"the record {path} is damaged; it is set aside, and the search goes on without it", stacklevel=3)


def check_search(directory, about):
    """Writes down what is searched, or compares it with what was.

    Raises:
        ValueError: if the directory holds another search, naming the difference.
    """
    from deeprnn_keras.training.run_description import differences

    path = Path(directory) / SEARCH
    about = json.loads(json.dumps(_flat(about)))
    if not path.exists():
        if (Path(directory) / ORACLE).exists():
            raise ValueError(
                f"{str(directory)!r} holds a search that was not begun with deeprnn_keras; give another directory"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        save_json(about, path)
        return
    found = differences(json.loads(path.read_text(encoding="utf-8")), about)
    if found:
        raise ValueError(
            f"{str(directory)!r} holds another search: {'; '.join(found)}. Give another directory, or overwrite=True"
        )


def _flat(value, name=""):
    if isinstance(value, dict) and value:
        parts = (_flat(part, f"{name}{', ' if name else ''}{key}") for key, part in value.items())
        return {key: part for found in parts for key, part in found.items()}
    return {name: value}


def read_trials(directory, objective):
    """[TrialRecord] of a search, in the order of their names; records being unreadable are left out."""
    found = []
    for path in sorted(Path(directory).glob("trial_*/trial.json")):
        try:
            found.append(_record(json.loads(path.read_text(encoding="utf-8")), objective))
        except (OSError, ValueError, KeyError):
            continue
    return found


def _record(state, objective):
    metrics = {
        name: [(point["step"], point["value"]) for point in history["observations"]]
        for name, history in state["metrics"]["metrics"].items()
    }
    values = state["hyperparameters"]["values"]
    own = {objective, EPOCH + objective, SEED + objective}
    pruned = state.get("pruned_after") is not None and state["status"] == "COMPLETED"
    return TrialRecord(
        state["trial_id"],
        "PRUNED" if pruned else state["status"],
        {name: value for name, value in values.items() if not name.startswith(OUTSIDE)},
        state["score"],
        [(step, _mean(value)) for step, value in metrics.get(EPOCH + objective, [])],
        [(step, _mean(value)) for step, value in metrics.get(SEED + objective, [])],
        {name: _mean(points[-1][1]) for name, points in metrics.items() if name not in own},
        state["message"],
        state.get("seconds"),
        values.get("tuner/epochs"),
    )


def _mean(values):
    return sum(values) / len(values)
