"""The results file: what was measured, on what, and with which settings."""

import json
from datetime import date
from pathlib import Path

from deeprnn_keras.training.files import save_json

FILE = "results.json"
LENGTHS = ("seed", "rounds", "seconds", "epoch_updates")
SAME = ("device", "versions", "python", *LENGTHS)  # what measurements that stand side by side must share


def about_run(settings, environment):
    """What the record says of a run: device, versions and Python, seed and length, the date."""
    chosen = {name: getattr(settings, name) for name in LENGTHS}
    return {**environment, **chosen, "date": date.today().isoformat()}


def new_results(about):
    """Results that hold nothing yet. `about`: device, versions, settings, date."""
    return {"about": about, "cases": {}, "memory": {}, "epoch": {}, "notes": []}


def load_results(directory):
    """The results in a directory, or None."""
    path = Path(directory) / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def save_results(results, directory):
    """Writes `results` whole or not at all."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    save_json(results, directory / FILE)


def resumed(results, about):
    """`results` to go on with; a ValueError if they were taken on something else."""
    for name in SAME:
        if results["about"][name] != about[name]:
            raise ValueError(
                f"resume: the results there were taken with {name} {results['about'][name]!r}, here it is "
                f"{about[name]!r}; give another output directory, or leave out resume and measure all anew there"
            )
    return {**results, "about": about}


def complete(part, names):
    """Whether `part`, {name: figures}, has figures for all names and no errors."""
    return all(name in part and "error" not in part[name] for name in names)
