"""What `deeprnn train --resume` goes on with: the folder, and the options the training was begun with."""

import json
from pathlib import Path

from deeprnn_keras.training.run_folder import CHECKPOINTS, SETTINGS


def resumed(name, output, data, quick, seed, overrides):
    """-> (folder, data, quick, seed, overrides) of the training to go on with.

    Raises:
        ValueError: if there is none, or an option given now is another than it was then.
    """
    folder = Path(output) if output else _last(name)
    path = folder / SETTINGS
    if not path.is_file() or not (folder / CHECKPOINTS).is_dir():
        done = "its training has finished" if (folder / "result.json").is_file() else "there is no training in it"
        raise ValueError(f"--output {str(folder)!r} cannot be resumed: {done}")
    then = json.loads(path.read_text(encoding="utf-8"))
    given = {"model": name, **overrides, **({"quick": True} if quick else {})}
    given |= {} if data is None else {"data": str(data.absolute())}
    given |= {} if seed is None else {"seed": seed}
    for option, value in given.items():
        value = list(value) if isinstance(value, tuple) else value
        if then.get(option) != value:
            raise ValueError(
                f"the training in {str(folder)!r} was begun with {option} = {then.get(option)!r}, and --resume is "
                f"given {option} = {value!r}; leave the option out, or train anew in another folder"
            )
    fixed = {key: then.pop(key) for key in ("model", "data", "quick", "seed")}
    overrides = {key: tuple(value) if isinstance(value, list) else value for key, value in then.items()}
    return folder, fixed["data"] and Path(fixed["data"]), fixed["quick"], fixed["seed"], overrides


def _last(name):
    """The folder of the last training of NAME that can be resumed, where none is named."""
    runs = Path("runs")
    folders = [path.parent for path in runs.glob(f"{name}*/{CHECKPOINTS}") if _begun_with(path.parent) == name]
    if not folders:
        raise ValueError(
            f"--resume: no training of {name} that was broken off in {str(runs)!r}; name its folder by --output"
        )
    return max(folders, key=lambda folder: (folder / CHECKPOINTS).stat().st_mtime)


def _begun_with(folder):
    path = folder / SETTINGS
    return json.loads(path.read_text(encoding="utf-8")).get("model") if path.is_file() else None
