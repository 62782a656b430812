"""Validation of Keras configurations: the objects that they name must be on fixed lists or registered with Keras.

A configuration may come from an untrusted file. Keras resolves every name `keras.*` in it and calls the result with
arguments from the file. `check_config` therefore rejects all names except those of activations, of classes that a layer
may contain, and of registered objects.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from types import FunctionType, ModuleType
from typing import Any, Self

import keras
import numpy as np

from deeprnn_keras import _compat, checks
from deeprnn_keras._types import Config

NOT_IN_REGISTRIES = {"deserialize", "get", "serialize"}
# layers that run code or load files named in their configuration
CODE_LAYERS = {"FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper"}
# classes by which Keras encodes values that are not JSON
ENCODINGS = {"__tuple__", "__numpy__", "__tensor__", "__keras_tensor__", "__bytes__", "__ellipsis__", "__slice__"}
SHARED = "shared_object_id"
PLAIN_TYPES = (str, int, float, bool, type(None))
SUPPORTED = (
    "Keras' activations, initializers, regularizers, constraints, layers, operations, optimizers, losses, and metrics, "
    "and objects registered by keras.saving.register_keras_serializable in a module that has been imported"
)


def check_config(config: object, where: str = "config") -> None:
    """Raise a ValueError if a configuration names an object that is not supported.

    The supported objects are Keras' activations, initializers, regularizers, constraints, layers (without those that
    run code), operations, dtype policies, optimizers, losses, and metrics, and everything that was registered by
    `keras.saving.register_keras_serializable`. Keras' unsafe mode, for example `load_model(..., safe_mode=False)`,
    disables the check.

    Args:
        config: A configuration, or a part of one.
        where: Name of the configuration in the error message.

    Raises:
        ValueError: If a name is not supported.

    >>> import keras
    >>> from deeprnn_keras.keras_objects import check_config
    >>> check_config(keras.layers.LSTM(3).get_config())
    >>> check_config({"cell": {"module": "keras.utils", "class_name": "function", "config": "set_random_seed"}})
    Traceback (most recent call last):
        ...
    ValueError: config['cell'] names 'keras.utils.set_random_seed', which is not supported: ...
    """
    if _compat.is_unsafe_mode():
        return
    for place, reference in _references(config, where):
        name = _unsupported_name(reference)
        if name is not None:
            raise ValueError(f"{place} names {name}, which is not supported: a configuration may contain {SUPPORTED}")


def plain_config(config: Config) -> Config:
    """Return a deep copy of a configuration that consists of values of Python's built-in types only.

    Keras replaces lists that are attributes of layers by lists that refer to the layer, which can neither be copied nor
    written as JSON. Objects and functions are replaced by their own configurations. Marks of shared objects are left
    out: while a file is saved or loaded, Keras recognizes objects by their addresses in memory, and a temporary object
    may have that of an earlier one.
    """
    return {name: _plain(value) for name, value in config.items()}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items() if name != SHARED}
    if isinstance(value, tuple):
        return tuple(_plain(part) for part in value)
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return value if isinstance(value, PLAIN_TYPES) else _plain(keras.saving.serialize_keras_object(value))


def _references(config: object, where: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield (place, dictionary) for every dictionary in a configuration that names an object, outermost first."""
    pending = [(where, config)]
    while pending:
        place, value = pending.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield place, value
            pending += [(f"{place}[{key!r}]", part) for key, part in value.items()]
        elif isinstance(value, (list, tuple)):
            pending += [(f"{place}[{number}]", part) for number, part in enumerate(value)]


def _unsupported_name(reference: dict[str, object]) -> str | None:
    """Return the name that is not supported, or None."""
    class_name, module = reference["class_name"], reference.get("module")
    is_function = class_name == "function"
    name = reference.get("config") if is_function else class_name
    if isinstance(name, str) and (module is None or isinstance(module, str)):
        # Keras finds a registered function by its name, and a class by its registered name
        if is_registered(name if is_function else reference.get("registered_name", class_name)):
            return None
        if (module, name) in (keras_functions() if is_function else keras_classes()):
            return None
        if not is_function and name in ENCODINGS:
            return None
    return repr(f"{module}.{name}" if module else name)


def is_registered(name: object) -> bool:
    """Return whether `name` is registered with Keras, by code that has been imported or by a custom object scope."""
    return isinstance(name, str) and keras.saving.get_registered_object(name) is not None


@cache
def activations() -> frozenset[str]:
    """Return the names of Keras' activations."""
    return frozenset(name for name in dir(keras.activations) if not name.startswith("_")) - NOT_IN_REGISTRIES


@cache
def keras_functions() -> frozenset[tuple[str | None, str]]:
    """Return (module, name) of Keras' functions that a configuration may name: activations, losses, and metrics."""
    names = {("keras.activations", name) for name in activations()}
    for module in ("losses", "metrics"):
        names |= {(f"keras.{module}", name) for name in _functions(getattr(keras, module))}
    return frozenset(names | {(module, name) for module in (None, "builtins") for _, name in names})


def _functions(module: ModuleType) -> set[str]:
    return {name for name, found in vars(module).items() if isinstance(found, FunctionType)} - NOT_IN_REGISTRIES


@cache
def keras_classes() -> frozenset[tuple[str | None, str]]:
    """Return (module, name) of Keras' classes that a configuration may name."""
    bases = {
        "initializers": (keras.initializers, keras.initializers.Initializer),
        "regularizers": (keras.regularizers, keras.regularizers.Regularizer),
        "constraints": (keras.constraints, keras.constraints.Constraint),
        "layers": (keras.layers, keras.layers.Layer),
        "dtype_policies": (keras.dtype_policies, keras.dtype_policies.DTypePolicy),
        "losses": (keras.losses, keras.losses.Loss),
        "metrics": (keras.metrics, keras.metrics.Metric),
        "optimizers": (keras.optimizers, keras.optimizers.Optimizer),
        "optimizers.schedules": (keras.optimizers.schedules, keras.optimizers.schedules.LearningRateSchedule),
    }
    names = {
        (f"keras.{path}", name)
        for path, (module, base) in bases.items()
        for name, found in vars(module).items()
        if inspect.isclass(found) and issubclass(found, base) and name not in CODE_LAYERS
    }
    names |= {("keras", name) for name in ("DTypePolicy", "FloatDTypePolicy", "Sequential", "Model", "Functional")}
    names |= {(None, name) for _, name in names}  # files written by Keras 2 omit the module
    names |= {("keras.random", "SeedGenerator")}
    return frozenset(names | _compat.classes_named_by_private_modules())


class ChecksConfig:
    """Mixin whose `from_config` refuses names outside the registries; it precedes the Keras class among the bases."""

    @classmethod
    def from_config(cls, config: Config, *args: Any, **kwargs: Any) -> Self:
        """Return the object of a configuration.

        Args:
            config: The configuration.
            *args: Further arguments of the method of the Keras class.
            **kwargs: Further arguments of the method of the Keras class.

        Raises:
            ValueError: If the configuration names an object that is not supported.
        """
        check_config(config, f"{cls.__name__} config")
        return super().from_config(config, *args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]  # mixin


def unknown_activation(argument: str, value: object) -> ValueError:
    """Return the error for an activation that Keras does not know."""
    return ValueError(f"unknown {argument} {value!r}{checks.suggestion(value, activations())}")
