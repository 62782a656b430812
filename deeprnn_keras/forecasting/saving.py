"""Files of a trained forecaster: its arguments (JSON), the Keras model, and the states of the series (safetensors)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.forecasting.arguments import recipe_from_json, recipe_to_json
from deeprnn_keras.forecasting.carried import RAW_FIELDS, Carried
from deeprnn_keras.forecasting.forecaster import NOT_FITTED, Fitted, Forecaster
from deeprnn_keras.forecasting.frames import FrameKind
from deeprnn_keras.forecasting.frequency import Frequency
from deeprnn_keras.forecasting.windows import RawWindow, Scales
from deeprnn_keras.keras_objects import check_config
from deeprnn_keras.reading import build_dataclass, damage_reported, read_json, read_safetensors
from deeprnn_keras.writing import save_bytes, save_json, save_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deeprnn_keras.models import SequenceModel

ARGUMENTS, MODEL, STATES = "forecaster.json", "model.keras", "states.safetensors"
FORMAT = 1
EXPECTED = "the arguments of a Forecaster"
PLAIN = ("season", "context", "lags", "cycles", "log_scale", "encoding", "spread")  # fields of JSON values
SCALES = ("y", "past", "known")
ForecasterT = TypeVar("ForecasterT", bound=Forecaster)


def save(forecaster: Forecaster, path: PathLike) -> None:
    """Save a trained forecaster in a directory, which must be empty or not exist."""
    import keras
    from safetensors import numpy as safetensors

    fitted = forecaster._fitted
    if fitted is None or forecaster.model is None:
        raise ValueError(NOT_FITTED)
    directory = checks.new_directory("path", path)
    directory.mkdir(parents=True, exist_ok=True)
    save_model(forecaster.model, directory / MODEL)
    arrays = {name: np.ascontiguousarray(array) for name, array in _arrays(fitted.carried).items()}
    save_bytes(safetensors.save(arrays), directory / STATES)
    values = {
        "format": FORMAT,
        "arguments": forecaster.arguments.to_json(),
        "recipe": recipe_to_json(forecaster.recipe),
        "likelihood": keras.losses.serialize(forecaster.likelihood),
        "history": forecaster.history,
        **describe(fitted),
        "ids": list(fitted.ids),
    }
    save_json(values, directory / ARGUMENTS)  # written last: a directory that has it is complete


def load(forecaster_class: type[ForecasterT], path: PathLike) -> ForecasterT:
    """Return the forecaster in a directory.

    Raises:
        FileNotFoundError: If a file does not exist.
        DamagedFileError: If a file is damaged.
        ValueError: If the directory holds a `ZeroShotForecaster`.
    """
    from deeprnn_keras.forecasting import zero_shot_saving
    from deeprnn_keras.models.loading import load_model

    directory = Path(path).expanduser()
    if (directory / zero_shot_saving.ARGUMENTS).exists():
        raise ValueError(f"{directory} holds a ZeroShotForecaster; load it with ZeroShotForecaster.load")
    values = read_json(directory / ARGUMENTS)
    with damage_reported(directory / ARGUMENTS, EXPECTED, KeyError, TypeError):
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']!r} is not supported, only {FORMAT}")
        forecaster = _forecaster(forecaster_class, values)
        fitted = _fitted(values, directory)
    forecaster.model = load_model(directory / MODEL, compile=False)
    forecaster.history = values["history"]
    forecaster._fitted = fitted
    return forecaster


def describe(fitted: Fitted) -> Config:
    """Return what follows from the training data, without the series, as JSON values."""
    plain = {name: getattr(fitted, name) for name in PLAIN}
    return {**plain, "frequency": asdict(fitted.frequency), "kind": asdict(fitted.kind)}


def restore(forecaster: Forecaster, model: SequenceModel, values: Config) -> None:
    """Give a trained network to a forecaster, which has then read no series.

    Args:
        forecaster: A forecaster that is not trained, with the arguments of the trained one.
        model: The network.
        values: Result of `describe`.
    """
    forecaster.model = model
    forecaster._fitted = Fitted(**_described(values), ids=(), carried=Carried.empty())


def _forecaster(forecaster_class: type[ForecasterT], values: Config) -> ForecasterT:
    import keras

    check_config(values["likelihood"], "likelihood")
    arguments: dict[str, Any] = dict(values["arguments"])
    arguments |= arguments.pop("network")
    likelihood = keras.losses.deserialize(values["likelihood"])
    return forecaster_class(likelihood=likelihood, recipe=recipe_from_json(values["recipe"]), **arguments)


def _fitted(values: Config, directory: Path) -> Fitted:
    arrays, _ = read_safetensors(directory / STATES)
    return Fitted(**_described(values), ids=tuple(values["ids"]), carried=_carried(arrays))


def _described(values: Config) -> dict[str, Any]:
    """Return the fields of `Fitted` in a result of `describe`."""
    encoding = {
        name: tuple(known) if known and isinstance(known[0], float) else known
        for name, known in values["encoding"].items()
    }
    return {
        **{name: values[name] for name in PLAIN},
        "lags": tuple(values["lags"]),
        "cycles": tuple(values["cycles"]),
        "log_scale": None if values["log_scale"] is None else tuple(values["log_scale"]),
        "encoding": encoding,
        "frequency": build_dataclass(Frequency, values["frequency"]),
        "kind": build_dataclass(FrameKind, values["kind"]),
    }


# === Arrays ===


def _arrays(carried: Carried) -> dict[str, np.ndarray]:
    arrays = {f"state/{name}": state for name, state in carried.states.items()}
    arrays |= {f"raw/{name}": array for name, array in zip(RAW_FIELDS, carried.raw.arrays, strict=True)}
    for name in SCALES:
        arrays[f"shift/{name}"], arrays[f"scale/{name}"] = getattr(carried.scales, name)
    return {**arrays, "scale/target": carried.scales.target, "static": carried.static, "future": carried.future}


def _carried(arrays: Mapping[str, np.ndarray]) -> Carried:
    states = {name.removeprefix("state/"): state for name, state in arrays.items() if name.startswith("state/")}
    raw = RawWindow(*(arrays[f"raw/{name}"] for name in RAW_FIELDS))
    y, past, known = ((arrays[f"shift/{name}"], arrays[f"scale/{name}"]) for name in SCALES)
    scales = Scales(y, past, known, arrays["scale/target"])
    return Carried(states, raw, scales, arrays["static"], arrays["future"])
