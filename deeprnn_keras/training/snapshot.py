"""State of a run at one update: captured as arrays and JSON values, and restored from them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import keras
import numpy as np

from deeprnn_keras import _compat
from deeprnn_keras._types import Config, Tensor

if TYPE_CHECKING:
    from deeprnn_keras.layers.deep_rnn import DeepRNN

BASE_ATTRIBUTES = {"params", "model", "validation_data"}  # attributes of every Keras callback
SCALARS = (type(None), bool, int, float, str)
# modules whose functions Keras' callbacks store as attributes, for example numpy.less
FUNCTION_MODULES: Mapping[str, ModuleType] = {"numpy": np, "keras.ops": keras.ops}


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


def capture(model: keras.Model, callbacks: Sequence[keras.callbacks.Callback]) -> tuple[dict[str, np.ndarray], Config]:
    """Return the state of a run as arrays by name and JSON values, for the `restore_` functions."""
    arrays: dict[str, np.ndarray] = {
        name: keras.ops.convert_to_numpy(variable) for name, variable in model_variables(model).items()
    }
    for number, layer in enumerate(stateful_layers(model)):
        arrays |= {f"carried/{number}/{k}": value for k, value in enumerate(layer.carried_state.to_arrays())}
    values: Config = {"python": _to_json(random.getstate()), "callbacks": []}
    generator, keys, *rest = np.random.get_state()  # noqa: NPY002 - user-defined callbacks may use the global generator
    arrays["numpy"] = np.asarray(keys)
    values["numpy"] = [generator, *rest]
    for number, callback in enumerate(callbacks):
        values["callbacks"].append(_capture_callback(f"callback/{number}", callback, arrays))
    return arrays, values


def _capture_callback(prefix: str, callback: keras.callbacks.Callback, arrays: dict[str, np.ndarray]) -> Config:
    """Return the attributes of a callback as JSON values, and add those that hold arrays to `arrays`."""
    values: Config = {}
    for name, value in vars(callback).items():
        if name in BASE_ATTRIBUTES or name.startswith("_"):
            continue
        if _is_json(value):
            values[name] = _to_json(value)
        elif module := _function_module(value):
            values[name] = {"function": [module, value.__name__]}
        elif _holds_arrays(value):
            arrays |= {f"{prefix}/{name}/{k}": _to_array(part) for k, part in enumerate(_as_list(value))}
            values[name] = {"arrays": len(_as_list(value))}
    return values


def restore_model(model: keras.Model, arrays: Mapping[str, np.ndarray], values: Config) -> None:
    """Restore weights, optimizer, metrics, and random states, but neither carried states nor callbacks."""
    for name, variable in model_variables(model).items():
        variable.assign(arrays[name])
    version, internal_state, gauss = values["python"]
    random.setstate((version, tuple(internal_state), gauss))
    generator, *rest = values["numpy"]
    np.random.set_state((generator, arrays["numpy"], *rest))  # noqa: NPY002


def restore_epoch(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Restore what Keras resets when an epoch begins: metrics and carried states."""
    for name, variable in model_variables(model).items():
        if name.startswith(("metric/", "state/")):
            variable.assign(arrays[name])
    for number, layer in enumerate(stateful_layers(model)):
        count = len(layer.carried_state.to_arrays())
        layer.carried_state.from_arrays([arrays[f"carried/{number}/{k}"] for k in range(count)])


def restore_callbacks(
    callbacks: Sequence[keras.callbacks.Callback], arrays: Mapping[str, np.ndarray], values: Config
) -> None:
    """Restore the attributes of callbacks."""
    for number, (callback, attributes) in enumerate(zip(callbacks, values["callbacks"], strict=True)):
        for name, value in attributes.items():
            if isinstance(value, dict) and value.keys() == {"arrays"}:
                parts = [arrays[f"callback/{number}/{name}/{k}"] for k in range(value["arrays"])]
                _restore_arrays(callback, name, parts)
            elif isinstance(value, dict) and value.keys() == {"function"}:
                module, function = value["function"]
                setattr(callback, name, getattr(FUNCTION_MODULES[module], function))
            else:
                setattr(callback, name, value)


def _restore_arrays(callback: keras.callbacks.Callback, name: str, arrays: list[np.ndarray]) -> None:
    current: Tensor = getattr(callback, name, None)
    if isinstance(current, keras.Variable):
        current.assign(arrays[0])
    elif isinstance(current, (list, tuple)) and current and isinstance(current[0], keras.Variable):
        for variable, value in zip(current, arrays, strict=True):
            variable.assign(value)
    else:
        setattr(callback, name, arrays[0] if isinstance(current, np.ndarray) else arrays)


def _function_module(value: object) -> str | None:
    """Return the name of the module in `FUNCTION_MODULES` that has this function, or None."""
    name = getattr(value, "__name__", "")
    return next(
        (module for module, namespace in FUNCTION_MODULES.items() if name and getattr(namespace, name, None) is value),
        None,
    )


def _is_json(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_json, value.values()))
    return isinstance(value, (*SCALARS, np.generic))


def _holds_arrays(value: object) -> bool:
    parts = _as_list(value)
    return bool(parts) and all(isinstance(part, (np.ndarray, keras.Variable)) for part in parts)


def _as_list(value: object) -> list[Tensor]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _to_array(value: Tensor) -> np.ndarray:
    return value if isinstance(value, np.ndarray) else keras.ops.convert_to_numpy(value)


def _to_json(value: object) -> object:
    """Return a value with NumPy scalars and tuples replaced by their JSON equivalents."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_to_json(part) for part in value]
    return {key: _to_json(part) for key, part in value.items()} if isinstance(value, dict) else value
