"""Validation of Keras configurations: the objects that they name must be on fixed lists or registered with Keras.

A configuration may come from an untrusted file. Keras resolves every name `keras.*` in it and calls the result with
arguments from the file. `check_config` therefore rejects all names except those of activations, of classes that a layer
may contain, and of registered objects.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache

import keras

from deeprnn_keras import checks

NOT_ACTIVATIONS = {"deserialize", "get", "serialize"}
# layers that run code, or load files, specified in their configuration
CODE_LAYERS = {"FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper"}
# classes by which Keras encodes values that are not JSON
ENCODINGS = {"__tuple__", "__numpy__", "__tensor__", "__bytes__", "__ellipsis__", "__slice__"}
SUPPORTED = "activations, initializers, regularizers, constraints, layers, and cells"


def check_config(config: object, where: str = "config") -> None:
    """Raise a ValueError if a configuration names an object that is not supported.

    Supported are Keras' activations, initializers, regularizers, constraints, layers (without those that run code), and
    dtype policies, and everything that was registered by `keras.saving.register_keras_serializable`.

    Args:
        config: A configuration, or a part of one.
        where: Name of the configuration in the error message.

    >>> import keras
    >>> from deeprnn_keras.keras_objects import check_config
    >>> check_config(keras.layers.LSTM(3).get_config())
    >>> check_config({"cell": {"module": "keras.utils", "class_name": "function", "config": "set_random_seed"}})
    Traceback (most recent call last):
        ...
    ValueError: config['cell'] names 'keras.utils.set_random_seed', which is not supported: a configuration may contain
        activations, initializers, regularizers, constraints, layers, and cells
    """
    for place, reference in _references(config, where):
        name = _unsupported_name(reference)
        if name is not None:
            raise ValueError(f"{place} names {name}, which is not supported: a configuration may contain {SUPPORTED}")


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
    name = reference.get("config") if class_name == "function" else class_name
    if isinstance(name, str) and (module is None or isinstance(module, str)):
        if class_name == "function":  # Keras finds a registered function by its name, a class by its registered name
            supported = name in activations() and module in (None, "builtins", "keras.activations")
            registered_name: object = name
        else:
            supported = (module, name) in keras_classes() or name in ENCODINGS
            registered_name = reference.get("registered_name")
        if supported or _is_registered(registered_name):
            return None
    return repr(f"{module}.{name}" if module else name)


def _is_registered(name: object) -> bool:
    """Return True if imported code has registered `name` with Keras."""
    return isinstance(name, str) and name in keras.saving.get_custom_objects()


@cache
def activations() -> frozenset[str]:
    """Return the names of Keras' activations."""
    return frozenset(name for name in dir(keras.activations) if not name.startswith("_")) - NOT_ACTIVATIONS


@cache
def keras_classes() -> frozenset[tuple[str | None, str]]:
    """Return (module, name) of Keras' classes that a configuration may name."""
    bases = {
        "initializers": keras.initializers.Initializer,
        "regularizers": keras.regularizers.Regularizer,
        "constraints": keras.constraints.Constraint,
        "layers": keras.layers.Layer,
        "dtype_policies": keras.dtype_policies.DTypePolicy,
    }
    names = {
        (f"keras.{module}", name)
        for module, base in bases.items()
        for name, found in vars(getattr(keras, module)).items()
        if inspect.isclass(found) and issubclass(found, base) and name not in CODE_LAYERS
    }
    names |= {("keras", name) for name in ("DTypePolicy", "FloatDTypePolicy", "Sequential", "Model", "Functional")}
    names |= {(None, name) for _, name in names}  # files written by Keras 2 omit the module
    return frozenset(names | {("keras.src.models.functional", "Functional"), ("keras.random", "SeedGenerator")})


def unknown_activation(argument: str, value: object) -> ValueError:
    """Return the error for an activation that Keras does not know."""
    return ValueError(f"unknown {argument} {value!r}{checks.suggestion(value, activations())}")
