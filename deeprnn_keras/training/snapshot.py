"""State of a run at one update: captured as arrays and JSON values, and restored from them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import keras
import msgspec
import numpy as np

from deeprnn_keras import _compat
from deeprnn_keras._types import Config
from deeprnn_keras.layers.carried_state import replica_copies

if TYPE_CHECKING:
    from deeprnn_keras.layers.deep_rnn import DeepRNN
    from deeprnn_keras.training.callback_state import CallbackState


class ModelState(TypedDict):
    """JSON values of the state of a model and its callbacks.

    Attributes:
        python: State of the module `random`.
        numpy: State of NumPy's global generator, without its array.
        callbacks: State of each callback.
    """

    python: tuple[int, list[int], float | None]
    numpy: tuple[str, int, int, float]
    callbacks: list[dict[str, Any]]


def model_variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Return the variables of a compiled model by name.

    These are its weights and random seeds, the variables of the optimizer and metrics, the states of stateful Keras
    layers, and Keras' global random seed.
    """
    groups: dict[str, Sequence[keras.Variable]] = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metric": metric_variables(model),
        "state": _keras_rnn_states(model),
        "seed": [_compat.global_seed_state()],
    }
    named: dict[str, keras.Variable] = {}
    known: set[int] = set()
    for group, variables in groups.items():
        for number, variable in enumerate(variables):
            if id(variable) not in known:
                known.add(id(variable))
                named[f"{group}/{number}"] = variable
    return named


def metric_variables(model: keras.Model) -> list[keras.Variable]:
    """Return the variables of the metrics, which accumulate over an epoch."""
    return [variable for metric in model.metrics for variable in metric.variables]


def _keras_rnn_states(model: keras.Model) -> list[keras.Variable]:
    layers = [
        layer for layer in _compat.flatten_layers(model) if isinstance(layer, keras.layers.RNN) and layer.stateful
    ]
    return [state for layer in layers if layer.states for state in keras.tree.flatten(layer.states)]


def stateful_layers(model: keras.Model) -> list[DeepRNN]:
    """Return the layers of this library that carry states from batch to batch."""
    return [layer for layer in _compat.flatten_layers(model) if hasattr(layer, "carried_state")]


def capture(model: keras.Model, callbacks: Sequence[CallbackState]) -> tuple[dict[str, np.ndarray], Config]:
    """Return the state of a run as arrays by name and JSON values, for the `restore_` functions."""
    arrays: dict[str, np.ndarray] = {}
    for name, variable in model_variables(model).items():
        arrays |= _variable_arrays(name, variable)
    for number, layer in enumerate(stateful_layers(model)):
        arrays |= {f"carried/{number}/{k}": value for k, value in enumerate(layer.carried_state.to_arrays())}
    generator, keys, *rest = np.random.get_state()  # noqa: NPY002 - user-defined callbacks may use the global generator
    arrays["numpy"] = np.asarray(keys)
    states = [callback.capture(f"callback/{number}", arrays) for number, callback in enumerate(callbacks)]
    return arrays, {"python": random.getstate(), "numpy": [generator, *rest], "callbacks": states}


def _variable_arrays(name: str, variable: keras.Variable) -> dict[str, np.ndarray]:
    """Return the value of a variable; if it differs between the replicas of `tf.distribute`, that of each replica."""
    copies = [keras.ops.convert_to_numpy(copy) for copy in _independent_copies(name, variable)]
    if all(np.array_equal(copy, copies[0], equal_nan=copy.dtype.kind == "f") for copy in copies):
        return {name: keras.ops.convert_to_numpy(variable)}
    return {f"{name}/{k}": copy for k, copy in enumerate(copies)}


def _independent_copies(name: str, variable: keras.Variable) -> Sequence[Any]:
    """Return the copies of a variable on the replicas, unless TensorFlow keeps them equal."""
    return () if variable.trainable or name.startswith("optimizer/") else replica_copies(variable.value)


def _stored_names(name: str, variable: keras.Variable, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of the arrays that `_variable_arrays` has created for a variable."""
    copies = _independent_copies(name, variable)
    return [f"{name}/{k}" for k in range(len(copies))] if copies and name not in arrays else [name]


def _assign(name: str, variable: keras.Variable, arrays: Mapping[str, np.ndarray]) -> None:
    names = _stored_names(name, variable, arrays)
    targets = [variable] if names == [name] else _independent_copies(name, variable)
    for target, stored in zip(targets, names, strict=True):
        target.assign(arrays[stored])


def check_model_state(model: keras.Model, arrays: Mapping[str, np.ndarray], values: Config) -> None:
    """Check that `restore_model` and `restore_epoch` can restore a state, without changing anything.

    Raises:
        ValueError: If values are missing or have another type, or arrays are missing or have another shape or dtype.
    """
    state = msgspec.convert(values, ModelState)
    random.Random().setstate(_python_state(state))
    np.random.RandomState().set_state(_numpy_state(state, arrays))
    for name, variable in model_variables(model).items():
        for part in _stored_names(name, variable, arrays):
            _check_array(part, arrays, tuple(variable.shape), variable.dtype)
    for number, layer in enumerate(stateful_layers(model)):
        for k, current in enumerate(layer.carried_state.to_arrays()):
            name = f"carried/{number}/{k}"
            rows = arrays[name].shape[:1] if name in arrays else ()  # of the last batch
            _check_array(name, arrays, (*rows, *current.shape[1:]), current.dtype.name)


def _check_array(name: str, arrays: Mapping[str, np.ndarray], shape: tuple[int, ...], dtype: str) -> None:
    if name not in arrays:
        raise ValueError(f"the array {name!r} is missing")
    array = arrays[name]
    if array.shape != shape or array.dtype.name != dtype:
        raise ValueError(f"{name!r} must be {dtype} {shape}, got {array.dtype.name} {array.shape}")


def restore_model(model: keras.Model, arrays: Mapping[str, np.ndarray], values: Config) -> None:
    """Restore weights, optimizer, metrics, and random states, but neither carried states nor callbacks."""
    for name, variable in model_variables(model).items():
        _assign(name, variable, arrays)
    state = msgspec.convert(values, ModelState)
    random.setstate(_python_state(state))
    np.random.set_state(_numpy_state(state, arrays))  # noqa: NPY002


def _python_state(state: ModelState) -> tuple[int, tuple[int, ...], float | None]:
    version, numbers, gauss = state["python"]
    return version, tuple(numbers), gauss


def _numpy_state(state: ModelState, arrays: Mapping[str, np.ndarray]) -> tuple[str, np.ndarray, int, int, float]:
    if "numpy" not in arrays:
        raise ValueError("the array 'numpy' is missing")
    generator, position, has_gauss, gauss = state["numpy"]
    if not 0 <= position <= len(arrays["numpy"]):  # NumPy does not check it
        raise ValueError(f"position {position} is not in the state of NumPy's generator")
    return generator, arrays["numpy"], position, has_gauss, gauss


def restore_epoch(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Restore what Keras resets when an epoch begins: metrics and carried states."""
    for name, variable in model_variables(model).items():
        if name.startswith(("metric/", "state/")):
            _assign(name, variable, arrays)
    for number, layer in enumerate(stateful_layers(model)):
        count = len(layer.carried_state.to_arrays())
        layer.carried_state.from_arrays([arrays[f"carried/{number}/{k}"] for k in range(count)])
