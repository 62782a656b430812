"""Trained weights in the package: NAME.safetensors and the record NAME.json in `zoo/weights`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras import Program
from deeprnn_keras._types import Config
from deeprnn_keras.reading import build_dataclass, damage_reported, read_json
from deeprnn_keras.zoo.weight_file import read_arrays, set_weights

if TYPE_CHECKING:
    import keras
    import numpy as np

    from deeprnn_keras.zoo.configuration import Configuration

DIRECTORY = Path(__file__).with_name("weights")
# fields that may be overridden with pretrained=True: neither the shapes nor the meaning of the weights depends on them
INDEPENDENT_FIELDS = {
    *("name", "title", "paper", "url", "data", "corpus", "published", "differs", "limits", "task", "params"),
    *("recipe", "initialization", "input_dropout", "dropout", "output_dropout", "length"),
    *("weights_dtype", "embedding_dropout", "weight_dropout", "variational"),
}


@dataclass(frozen=True)
class TrainedWeights:
    """Record of the trained weights of an entry.

    Attributes:
        name: Name of the entry.
        sha256: SHA-256 of NAME.safetensors.
        dtype: Data type of the stored weights.
        architecture: Fields of the configuration that the weights depend on, as JSON values.
        data: Description of the training data.
        seed: Random seed of the run.
        updates: Number of updates of the run.
        minutes: Wall-clock duration of the run in minutes; the only source of the training time of the entry.
        device: Device of the run.
        versions: Package versions of the run.
        command: Command that reproduces the weights.
        log: Metrics of each epoch.
        golden: First outputs for `golden_input`.
        fitted: Values that a forecaster has determined from the training data, for example its calibration; empty for
            a model.
    """

    name: str
    sha256: str
    dtype: str
    architecture: Config
    data: str
    seed: int
    updates: int
    minutes: float
    device: str
    versions: dict[str, str]
    command: str
    log: list[dict[str, float]]
    golden: list[float]
    fitted: Config = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"{self.updates:,} updates in {self.minutes:.1f} min on {self.device} (wall-clock time of the run that "
            f"produced them), seed {self.seed}; stored as {self.dtype}; reproduce with: "
            f"{self.command}; trained on: {self.data}"
        )

    def differences(self, config: Configuration) -> list[tuple[str, Any, Any]]:
        """Return (field, value in `config`, value of the trained weights) for each field that differs."""
        values = architecture(config)
        return [
            (key, values.get(key), stored) for key, stored in self.architecture.items() if values.get(key) != stored
        ]

    def load(self, model: keras.Model) -> None:
        """Verify the SHA-256 and load the weights into a model of this architecture."""
        path = DIRECTORY / f"{self.name}.safetensors"
        set_weights(model, read_arrays(path, self.sha256), path)

    def load_program(self) -> Program:
        """Verify the SHA-256 and return the program of the model.

        Raises:
            DamagedFileError: If the file is damaged, or contains no program.
        """
        path = DIRECTORY / f"{self.name}.safetensors"
        read_arrays(path, self.sha256)
        return Program.load(path)


def read_record(name: str) -> TrainedWeights | None:
    """Return the record of the trained weights of an entry, or None if it has none.

    Raises:
        DamagedFileError: If the file of the record is damaged.
    """
    path = DIRECTORY / f"{name}.json"
    if not path.is_file():
        return None
    with damage_reported(path, "a record of trained weights"):
        return build_dataclass(TrainedWeights, read_json(path))


def architecture(config: Configuration) -> Config:
    """Return the fields of a configuration that its weights depend on, as JSON values."""
    values = asdict(config)
    dependent = {one.name: values[one.name] for one in fields(config) if one.name not in INDEPENDENT_FIELDS}
    return json.loads(json.dumps(dependent, default=str))  # a cell may be a function


def golden_input(config: Configuration) -> np.ndarray | list[np.ndarray]:
    """Return a fixed input for the model of a configuration. Its outputs are stored in the record."""
    import numpy as np

    steps = config.length or 24
    if config.embedding or config.one_hot:
        x = (7 * np.arange(steps, dtype="int32") % config.inputs)[None]
    else:
        waves = np.sin(np.arange(steps * config.inputs, dtype="float32")).reshape(1, steps, config.inputs)
        x = (waves / np.asarray(config.scale) - np.asarray(config.offset)).astype("float32")
    return [x, np.ones((1, steps), bool)] if config.masks else x


def golden_output(model: keras.Model, config: Configuration) -> list[float]:
    """Return the first 8 outputs of a model for `golden_input`, at the last time step."""
    import numpy as np

    output = np.asarray(model(golden_input(config), training=False), "float64")
    return [round(float(value), 5) for value in output.reshape(-1, output.shape[-1])[-1, :8]]
