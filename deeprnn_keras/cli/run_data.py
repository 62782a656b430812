"""Data that a run was trained on, for `deeprnn evaluate RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras.cli.model_argument import LoadedModel, is_zoo_name
from deeprnn_keras.cli.resume_options import TrainOptions
from deeprnn_keras.data.data_files import DataFiles

if TYPE_CHECKING:
    from deeprnn_keras._types import TaskData
    from deeprnn_keras.zoo import Configuration


def run_data(model: str, loaded: LoadedModel) -> tuple[Configuration, TaskData] | None:
    """Return the configuration and the data of the run that a model belongs to, as they were in training.

    Args:
        model: The argument MODEL: a name of the zoo, the output directory of a run, or a file in it.
        loaded: The model.

    Returns:
        None for a name of the zoo, a file that belongs to no run, and a model that is not in the zoo.

    Raises:
        FileNotFoundError: If a data file of the run does not exist.
        ValueError: If a data file has changed since the training, or run.json or result.json is damaged.
    """
    from deeprnn_keras import zoo
    from deeprnn_keras.reading import damage_reported, read_json
    from deeprnn_keras.tasks.run import RESULT, SETTINGS

    path = Path(model).expanduser()
    directory = path if path.is_dir() else path.parent
    records = {name: read_json(directory / name) for name in (SETTINGS, RESULT) if (directory / name).is_file()}
    if is_zoo_name(model) or loaded.config is None or not records:
        return None
    if SETTINGS in records:
        with damage_reported(directory / SETTINGS, "the options of a run"):
            options = TrainOptions.from_settings(directory, records[SETTINGS])
            config = zoo.info(loaded.config.name, **options.configuration_overrides())
        files = options.files
    else:  # a run from Python, whose data files are unknown
        config, files = loaded.config, DataFiles()
    data = loaded.family.load_files(config, files)
    _check_unchanged(loaded.family.data_record(data), records.get(RESULT, {}), directory)
    return config, data


def _check_unchanged(record: dict[str, Any], result: dict[str, Any], directory: Path) -> None:
    """Raise a ValueError if the data differ from those in the result.json of a run."""
    changed = [name for name, value in record.items() if name in result and result[name] != value]
    if changed:
        raise ValueError(
            f"the data of the run in {str(directory)!r} differ from those it was trained on in {', '.join(changed)}; "
            "pass the data to score with --text or --data"
        )
