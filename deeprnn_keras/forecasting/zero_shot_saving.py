"""Files of a zero-shot forecaster: arguments (JSON), the Keras model, and the states of the series (safetensors)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.forecasting.frames import FrameKind
from deeprnn_keras.forecasting.frequency import Frequency
from deeprnn_keras.forecasting.smoothing_bank import Records
from deeprnn_keras.forecasting.zero_shot import OPTIONS, Read, ZeroShotForecaster
from deeprnn_keras.forecasting.zero_shot_states import SeriesStates
from deeprnn_keras.reading import build_dataclass, damage_reported, read_json, read_safetensors
from deeprnn_keras.writing import save_bytes, save_json, save_model

ARGUMENTS, MODEL, STATES = "zero_shot_forecaster.json", "model.keras", "states.safetensors"
FORMAT = 1
EXPECTED = "the arguments of a ZeroShotForecaster"
ZeroShotForecasterT = TypeVar("ZeroShotForecasterT", bound=ZeroShotForecaster)


def save(forecaster: ZeroShotForecaster, path: PathLike) -> None:
    """Save a forecaster in a directory, which must be empty or not exist."""
    from safetensors import numpy as safetensors

    directory, read = checks.new_directory("path", path), forecaster._read
    directory.mkdir(parents=True, exist_ok=True)
    save_model(forecaster.model, directory / MODEL)
    values: Config = {"format": FORMAT, "arguments": {name: getattr(forecaster, name) for name in OPTIONS}}
    if read is not None:
        save_bytes(safetensors.save(_arrays(read)), directory / STATES)
        values["read"] = {
            "ids": list(read.ids),
            "frequency": asdict(read.frequency),
            "kind": asdict(read.kind),
            "season": read.states.season,
            "second_season": read.states.second_season,
        }
    save_json(values, directory / ARGUMENTS)  # written last: a directory that has it is complete


def load(forecaster_class: type[ZeroShotForecasterT], path: PathLike) -> ZeroShotForecasterT:
    """Return the forecaster in a directory.

    Raises:
        FileNotFoundError: If a file does not exist.
        DamagedFileError: If a file is damaged.
    """
    from deeprnn_keras.models.loading import load_model

    directory = Path(path).expanduser()
    values = read_json(directory / ARGUMENTS)
    model = load_model(directory / MODEL, compile=False)
    with damage_reported(directory / ARGUMENTS, EXPECTED, KeyError, TypeError):
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']!r} is not supported, only {FORMAT}")
        forecaster = forecaster_class(model, **values["arguments"])
        if "read" in values:
            arrays, _ = read_safetensors(directory / STATES)
            forecaster._read = _read(forecaster, values["read"], arrays)
    return forecaster


def _arrays(read: Read) -> dict[str, np.ndarray]:
    states, inputs = read.states, read.states.inputs
    arrays = {f"state/{name}": state for name, state in states.states.items()}
    arrays |= {f"record/{name}": array for name, array in inputs.bank.records.arrays.items()}
    arrays |= {"errors": inputs.errors, "counts": inputs.counts, "outputs": states.outputs, "next": read.next_steps}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _read(forecaster: ZeroShotForecaster, values: Config, arrays: Mapping[str, np.ndarray]) -> Read:
    states = SeriesStates(forecaster._require_program(), values["season"], values["second_season"], len(values["ids"]))
    states.states = {name: arrays[f"state/{name}"].copy() for name in states.states}
    records = states.inputs.bank.records.arrays
    states.inputs.bank.records = Records({name: arrays[f"record/{name}"].copy() for name in records})
    states.inputs.errors, states.inputs.counts = arrays["errors"].copy(), arrays["counts"].copy()
    states.outputs = arrays["outputs"].copy()
    frequency, kind = build_dataclass(Frequency, values["frequency"]), build_dataclass(FrameKind, values["kind"])
    return Read(tuple(values["ids"]), frequency, kind, arrays["next"].copy(), states)
