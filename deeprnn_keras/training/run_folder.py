"""The folder of a training: a new one, or that of a training that was broken off."""

from pathlib import Path

from deeprnn_keras import checks
from deeprnn_keras.training.files import save_json

CHECKPOINTS, SETTINGS = "checkpoints", "run.json"


def run_folder(path, resume):
    """The folder as a Path, fit to begin in, or with `resume` to go on in.

    Raises:
        ValueError: if it is in use or, with `resume`, holds no training that was broken off.
    """
    if not resume:
        return checks.new_folder("output", path)
    path = Path(path).expanduser()
    if (path / CHECKPOINTS).is_dir():
        return path
    done = "its training has finished" if (path / "result.json").is_file() else "there is no training in it"
    raise ValueError(f"output {str(path)!r} cannot be resumed: {done}")


def open_folder(folder, settings):
    """Creates the folder, with `settings` in it for whoever resumes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"output {str(folder)!r} cannot be created: {error.strerror}; give another folder") from error
    if settings is not None:
        save_json(settings, folder / SETTINGS)
