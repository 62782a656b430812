"""What is compared, by name."""

import importlib
import importlib.util
from typing import NamedTuple

from deeprnn_keras import checks


class Implementation(NamedTuple):
    """Where an implementation stands.

    Attributes:
        module: has `make_step(name, case, seed)`, which returns a function without arguments that runs one step.
        package: what must be installed.
        about: in words.
    """

    module: str
    package: str
    about: str


IMPLEMENTATIONS = {
    "keras": Implementation("with_keras", "keras", "keras.layers.LSTM, GRU or SimpleRNN, stacked"),
    "torch": Implementation("with_torch", "torch", "torch.nn.LSTM, GRU or RNN with num_layers=L"),
    "drop-ins": Implementation("with_keras", "keras", "deeprnn_keras.LSTM, GRU or SimpleRNN, stacked"),
    "DeepRNN": Implementation("with_keras", "keras", "deeprnn_keras.DeepRNN"),
    "DeepRNN lean": Implementation("with_keras", "keras", "deeprnn_keras.DeepRNN with remat=True"),
    "products": Implementation("with_products", "tensorflow", "the matrix products alone, by tf.matmul"),
}
COMPARED = ("keras", "torch", "drop-ins", "DeepRNN")
IN_MEMORY = ("keras", "torch", "DeepRNN", "DeepRNN lean")
FLOOR = "products"


def make_step(name, case, seed):
    """A function that runs one step of `case`, an update or a prediction, and returns when it is done."""
    checks.one_of("implementation", name, IMPLEMENTATIONS)
    module = importlib.import_module(f"deeprnn_keras.bench.{IMPLEMENTATIONS[name].module}")
    return module.make_step(name, case, seed)


def missing(names):
    """{name: what to install} of those that cannot run here."""
    return {
        name: f"{IMPLEMENTATIONS[name].package} is not installed: pip install 'deeprnn-keras[torch]'"
        for name in names
        if importlib.util.find_spec(IMPLEMENTATIONS[name].package) is None
    }
