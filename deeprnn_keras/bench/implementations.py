"""Implementations that are compared, by name."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from deeprnn_keras import checks

if TYPE_CHECKING:
    from deeprnn_keras.bench.case import Case

Step: TypeAlias = "Callable[[], object]"
"""A function that runs one training update or one prediction and returns after it has finished."""


class Implementation(NamedTuple):
    """Module and package of an implementation.

    Attributes:
        module: Module with a function `make_step(name, case, seed)` that returns a `Step`.
        package: Required package.
        description: One-line description.
    """

    module: str
    package: str
    description: str


IMPLEMENTATIONS = {
    "keras": Implementation("with_keras", "keras", "keras.layers.LSTM, GRU, or SimpleRNN, stacked"),
    "torch": Implementation("with_torch", "torch", "torch.nn.LSTM, GRU, or RNN with num_layers=L"),
    "drop-ins": Implementation("with_keras", "keras", "deeprnn_keras.LSTM, GRU, or SimpleRNN, stacked"),
    "DeepRNN": Implementation("with_keras", "keras", "deeprnn_keras.DeepRNN"),
    "DeepRNN XLA": Implementation("with_keras", "keras", "deeprnn_keras.DeepRNN with implementation='xla'"),
    "DeepRNN remat": Implementation("with_keras", "keras", "deeprnn_keras.DeepRNN with remat=True"),
    "DeepRNN right-padded": Implementation("with_keras", "keras", "DeepRNN with a mask at the end of the rows"),
    "DeepRNN with gaps": Implementation("with_keras", "keras", "DeepRNN with a mask at random steps"),
    "DeepRNN mixed_float16": Implementation("with_keras", "keras", "DeepRNN with the dtype policy mixed_float16"),
    "DeepRNN mixed_bfloat16": Implementation("with_keras", "keras", "DeepRNN with the dtype policy mixed_bfloat16"),
    "products": Implementation("with_products", "tensorflow", "the matrix products alone, with tf.matmul"),
}
COMPARED = ("keras", "torch", "drop-ins", "DeepRNN XLA", "DeepRNN")
MEMORY_COMPARED = ("keras", "torch", "DeepRNN", "DeepRNN remat")
MASKED = ("DeepRNN", "DeepRNN right-padded", "DeepRNN with gaps")
MIXED = ("DeepRNN", "DeepRNN mixed_float16", "DeepRNN mixed_bfloat16")
LOWER_BOUND = "products"


def make_step(name: str, case: Case, seed: int) -> Step:
    """Return a function that runs one step of `case` with implementation `name`."""
    checks.one_of("implementation", name, IMPLEMENTATIONS)
    module = importlib.import_module(f"deeprnn_keras.bench.{IMPLEMENTATIONS[name].module}")
    return module.make_step(name, case, seed)


def missing_packages(names: Iterable[str]) -> dict[str, str]:
    """Return {name: message} of the implementations whose package is not installed."""
    return {
        name: f"{IMPLEMENTATIONS[name].package} is not installed: pip install 'deeprnn-keras[torch]'"
        for name in names
        if importlib.util.find_spec(IMPLEMENTATIONS[name].package) is None
    }
