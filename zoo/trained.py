"""Trained weights in the package: NAME.safetensors and its record, NAME.json, in `zoo/weights`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras.zoo.weight_file import read_weights

if TYPE_CHECKING:
    import keras
    import numpy as np

    from deeprnn_keras.zoo.configuration import Configuration

DIRECTORY = Path(__file__).with_name("weights")
# fields that may differ under trained weights: neither their shapes nor their meaning depends on them
FREE = {
    *("name", "title", "paper", "url", "data", "corpus", "published", "differs", "limits", "task", "params"),
    *("recipe", "initialization", "input_dropout", "dropout", "output_dropout", "length"),
}


@dataclass(frozen=True)
class Trained:
    """The record of an entry's trained weights.

    Attributes:
        name: Name of the entry.
        sha256: SHA-256 of NAME.safetensors.
        dtype: Data type of the stored weights.
        architecture: Fields of the configuration that the weights belong to, as plain values.
        data: Training data.
        seed: Random seed of the training.
        updates: Updates of the training.
        minutes: Minutes of the training.
        device: Device of the training.
        versions: Versions of the packages.
        command: The command that reproduces the weights.
        log: One dictionary for each epoch.
        golden: The first outputs for `golden_input`.
    """

    name: str
    sha256: str
    dtype: str
    architecture: dict
    data: str
    seed: int
    updates: int
    minutes: float
    device: str
    versions: dict
    command: str
    log: list
    golden: list

    def __str__(self) -> str:
        return (
            f"{self.updates:,} updates on {self.data}, seed {self.seed}, {self.minutes:.0f} minutes on {self.device}; "
            f"{self.dtype}; again: {self.command}"
        )

    def contradictions(self, config: Configuration) -> list[tuple[str, Any, Any]]:
        """Return (field, value in `config`, value of the weights) for each field that differs."""
        mine = architecture(config)
        return [(key, mine.get(key), value) for key, value in self.architecture.items() if mine.get(key) != value]

    def load(self, model: keras.Model) -> None:
        """Verify the SHA-256 and load the weights into a model of this architecture."""
        read_weights(model, DIRECTORY / f"{self.name}.safetensors", self.sha256)


def read_record(name: str) -> Trained | None:
    """Return the record of an entry's trained weights, or None.

    Raises:
        ValueError: If its file is damaged.
    """
    path = DIRECTORY / f"{name}.json"
    if not path.is_file():
        return None
    try:
        return Trained(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}") from error


def architecture(config: Configuration) -> dict[str, Any]:
    """Return the fields of a configuration that its weights depend on, as plain values."""
    values = asdict(config)
    own = {field.name: values[field.name] for field in fields(config) if field.name not in FREE}
    return json.loads(json.dumps(own, default=str))  # a cell may be a function


def golden_input(config: Configuration) -> np.ndarray | list[np.ndarray]:
    """Return a fixed input for a configuration's model, whose outputs are stored with its weights."""
    import numpy as np

    steps = config.length or 24
    if config.embedding or config.one_hot:
        x = (7 * np.arange(steps, dtype="int32") % config.inputs)[None]
    else:
        waves = np.sin(np.arange(steps * config.inputs, dtype="float32")).reshape(1, steps, config.inputs)
        x = (waves / np.asarray(config.scale) - np.asarray(config.offset)).astype("float32")
    return [x, np.ones((1, steps), bool)] if config.masks else x


def golden_output(model: keras.Model, config: Configuration) -> list[float]:
    """Return the first eight outputs of a model for `golden_input`, at the last step."""
    import numpy as np

    output = np.asarray(model(golden_input(config), training=False), "float64")
    return [round(float(value), 5) for value in output.reshape(-1, output.shape[-1])[-1, :8]]
