"""What `deeprnn tune` is given: its options sorted, and on --resume those that the search was begun with."""

import json
from pathlib import Path

from deeprnn_keras import checks
from deeprnn_keras.cli.ranges import OWN, text_of
from deeprnn_keras.cli.train import fresh_folder

SETTINGS = "tune.json"
BUDGET = ("params", "max_params", "max_step_ms")
SEARCH = ("algorithm", "trials", "minutes", "updates", "seed")
DEFAULTS = {"algorithm": "bayesian", "seed": 0}
TRIALS = 20


def settle(name, output, text, given, resume, child):
    """-> (folder, settings) of a search.

    Args:
        name: of the model.
        output, text: as given.
        given: the other options that were.
        resume: whether the search is there already.
        child: whether this is a chief or a worker; it does not ask for an empty folder.

    Raises:
        ValueError: if there is no search to go on with, or it was begun with another option.
    """
    asked = {"model": name, "text": text and str(text.absolute()), **_sorted(given)}
    if resume:
        folder = Path(output) if output else _last(name)
        return folder, _resumed(folder, asked, given)
    folder = Path("runs") / f"tune_{name}"
    if output:
        folder = Path(output) if child else checks.new_folder("--output", output)
    elif not child:
        folder = fresh_folder(folder)
    search = {**DEFAULTS, **asked["search"]}
    if search["algorithm"] in ("bayesian", "random"):
        search.setdefault("trials", TRIALS)
    return folder, {**asked, "search": {"trials": None, **search}}


def _sorted(given):
    groups = {"ranges": {}, "budget": {}, "search": {}}
    for key, value in given.items():
        groups["budget" if key in BUDGET else "search" if key in SEARCH else "ranges"][key] = value
    return groups


def settings_of(settings):
    """Settings as JSON has them."""
    ranges = {key: _packed(value) for key, value in settings["ranges"].items()}
    return {**settings, "ranges": ranges}


def _packed(value):
    if value is OWN:
        return {"own": True}
    return {"between": list(value)} if isinstance(value, tuple) else value


def _unpacked(value):
    if isinstance(value, dict):
        return OWN if "own" in value else tuple(value["between"])
    return value


def _resumed(folder, asked, given):
    path = folder / SETTINGS
    if not path.is_file():
        raise ValueError(f"--output {str(folder)!r} cannot be resumed: there is no search in it")
    if (folder / "preset").exists():
        raise ValueError(f"--output {str(folder)!r} cannot be resumed: its search has finished")
    then = json.loads(path.read_text(encoding="utf-8"))
    then["ranges"] = {key: _unpacked(value) for key, value in then["ranges"].items()}
    before = {"model": then["model"], "text": then["text"]}
    now = {"model": asked["model"], **({"text": asked["text"]} if asked["text"] else {})}
    for group in ("ranges", "budget", "search"):
        before |= then[group]
        now |= asked[group]
    for key, value in now.items():
        if before.get(key) != value:
            raise ValueError(
                f"the search in {str(folder)!r} was begun with {key} = {text_of(before.get(key))}, and --resume is "
                f"given {key} = {text_of(value)}; leave the option out, or search anew in another folder"
            )
    return then


def _last(name):
    """The folder of the last search for NAME that has not finished, where none is named."""
    found = [path.parent for path in Path("runs").glob(f"*/{SETTINGS}") if not (path.parent / "preset").exists()]
    found = [folder for folder in found if json.loads((folder / SETTINGS).read_text())["model"] == name]
    if not found:
        raise ValueError(f"--resume: no search for {name} that was broken off in 'runs'; name its folder by --output")
    return max(found, key=lambda folder: (folder / SETTINGS).stat().st_mtime)
