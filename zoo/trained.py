"""Trained weights that come with the zoo: NAME.safetensors beside its record, NAME.json, in `zoo/weights`."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from deeprnn_keras.zoo.weight_file import read_weights

FOLDER = Path(__file__).with_name("weights")
# what may be changed under trained weights: it says nothing of their shapes, nor of what they mean
FREE = {
    *("name", "title", "paper", "url", "data", "corpus", "published", "differs", "limits", "task", "params"),
    *("recipe", "initialization", "input_dropout", "dropout", "output_dropout", "length"),
}


@dataclass(frozen=True)
class Trained:
    """What is known of an entry's trained weights.

    Attributes:
        name: of the entry.
        sha256: of NAME.safetensors.
        dtype: that the weights are kept in.
        architecture: the configuration's fields that the weights belong to, as plain values.
        data: what they were trained on.
        seed, updates, minutes, device, versions: how they were trained.
        command: the one that makes them again.
        log: [one dictionary for each epoch].
        golden: the first outputs for `golden_input`.
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

    def __str__(self):
        return (
            f"{self.updates:,} updates on {self.data}, seed {self.seed}, {self.minutes:.0f} minutes on {self.device}; "
            f"{self.dtype}; again: {self.command}"
        )

    def contradictions(self, config):
        """[(field, its value in a configuration, that of the weights)] where they differ."""
        mine = architecture(config)
        return [(key, mine.get(key), value) for key, value in self.architecture.items() if mine.get(key) != value]

    def load(self, model):
        """Puts the weights into a model of this architecture, after a look at their SHA-256."""
        read_weights(model, FOLDER / f"{self.name}.safetensors", self.sha256)


def record(name):
    """The `Trained` of the entry called `name`, or None.

    Raises:
        ValueError: if its file is damaged.
    """
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        return None
    try:
        return Trained(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}") from error


def architecture(config):
    """The fields of a configuration that its weights depend on, as plain values."""
    values = asdict(config)
    kept = {field.name: values[field.name] for field in fields(config) if field.name not in FREE}
    return json.loads(json.dumps(kept, default=str))  # a cell may be a function


def golden_input(config):
    """A fixed input for a configuration's model, whose outputs are kept with its weights."""
    import numpy as np

    steps = config.length or 24
    if config.embedding or config.one_hot:
        x = (7 * np.arange(steps, dtype="int32") % config.inputs)[None]
    else:
        waves = np.sin(np.arange(steps * config.inputs, dtype="float32")).reshape(1, steps, config.inputs)
        x = (waves / np.asarray(config.scale) - np.asarray(config.offset)).astype("float32")
    return [x, np.ones((1, steps), bool)] if config.masks else x


def golden_output(model, config):
    """The first eight numbers that a model answers `golden_input` with, at the last step."""
    import numpy as np

    output = np.asarray(model(golden_input(config), training=False), "float64")
    return [round(float(value), 5) for value in output.reshape(-1, output.shape[-1])[-1, :8]]
