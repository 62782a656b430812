"""State of callbacks in a checkpoint, that is, their attributes and the types of these; and settings of callbacks.

A class declares the types of its attributes in `resumable_state`: a JSON type as for `msgspec.convert`, `Arrays`, or
None for an attribute that is not state. The type of an attribute without a declaration is that of its value at the
start of training: a number is only replaced by a number, and a list by a list. Texts and paths are not state unless
declared, because they name files that the script has chosen. Methods, properties, and private attributes are never
state.

Settings are the arguments of a callback. They are not restored, but compared with those of the interrupted run.
"""

from __future__ import annotations

import inspect
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeAlias

import keras
import msgspec
import numpy as np

from deeprnn_keras._types import Config, Tensor

BASE_ATTRIBUTES = {"params", "model", "validation_data", "resumable_state"}  # attributes of every callback
SCALARS = (type(None), bool, int, float, str)
# functions that Keras' callbacks store as attributes, for example `monitor_op`
FUNCTIONS = {
    (module, name): getattr(namespace, name)
    for module, namespace in (("numpy", np), ("keras.ops", keras.ops))
    for name in ("less", "less_equal", "greater", "greater_equal")
}

NOT_SETTINGS = {"verbose"}  # arguments that do not affect the run
PATH_ENDINGS = (
    "path",
    "file",
    "filename",
    "dir",
    "directory",
    "folder",
)  # endings of the names of arguments that are paths
SIGNED = {"min_delta"}  # arguments of Keras' callbacks that change their sign when training begins

StateTypes: TypeAlias = Mapping[str, Any]
"""Types of the attributes of a callback, by name: a JSON type, `Arrays`, or None for an attribute that is not state."""


class Arrays:
    """Type of an attribute that holds an array, a list of arrays, a list of variables, or None."""


class Function:
    """Type of an attribute that holds a function in `FUNCTIONS`, or None."""


class Data:
    """Type of an attribute that is None when training begins: numbers, lists, dictionaries, arrays, or functions."""


MONITOR_STATE = {"best": float | None, "min_delta": float, "monitor_op": Function}
KERAS_STATE: Mapping[type, StateTypes] = {
    keras.callbacks.EarlyStopping: {
        **MONITOR_STATE,
        "wait": int,
        "stopped_epoch": int,
        "best_epoch": int,
        "best_weights": Arrays,
    },
    keras.callbacks.ReduceLROnPlateau: {**MONITOR_STATE, "wait": int, "cooldown_counter": int},
    keras.callbacks.ModelCheckpoint: MONITOR_STATE,
    keras.callbacks.CSVLogger: {"append_header": None, "keys": None},  # follow from the file that training finds
}


@dataclass
class CallbackState:
    """Attributes of a callback when training begins.

    Attributes:
        callback: The callback.
        types: Type of each attribute by name; None if it is not state.
        others: Encoded values of the attributes that are not state, by name.
    """

    callback: keras.callbacks.Callback
    types: dict[str, Any]
    others: Config

    # === Capture ===
    def capture(self, prefix: str, arrays: dict[str, np.ndarray]) -> Config:
        """Return the state as JSON values, and add the arrays in it to `arrays`, with names that begin with `prefix`.

        A warning names attributes that have changed and are not restored.
        """
        values: Config = {}
        for name, value in vars(self.callback).items():
            if not _is_public(self.callback, name):
                continue
            encoded, parts = _encode(value)
            if encoded is msgspec.UNSET:
                continue
            if _fits(encoded, self.types.get(name)):
                values[name] = encoded
                arrays |= {f"{prefix}/{name}/{k}": part for k, part in enumerate(parts)}
            elif name not in self.others or self.others[name] not in (encoded, msgspec.UNSET):
                self._warn(name)
        return values

    def _warn(self, name: str) -> None:
        self.others[name] = msgspec.UNSET  # one warning for each attribute
        cls = type(self.callback).__name__
        warnings.warn(
            f"Resume does not save {name!r} of {cls}, because its type is not known when training begins; set it to a "
            f"number, list, dictionary, or array in __init__, or declare its type: "
            f"class {cls}: resumable_state = {{{name!r}: str}}",
            stacklevel=2,
        )

    # === Restore ===
    def decode(self, prefix: str, values: Config, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Return the attributes in a checkpoint by name, without setting them.

        Raises:
            ValueError: If a name is not state of this callback, or a value has another type.
        """
        decoded = {}
        for name, encoded in values.items():
            if self.types.get(name) is None:
                raise ValueError(f"{prefix} ({type(self.callback).__name__}) has no state {name!r}")
            try:
                parts = find_arrays(f"{prefix}/{name}", encoded, arrays)
                decoded[name] = _decode(encoded, self.types[name], parts, getattr(self.callback, name, None))
            except ValueError as error:
                raise ValueError(f"{prefix} ({type(self.callback).__name__}), {name}: {error}") from error
        return decoded

    def restore(self, decoded: Mapping[str, Any]) -> None:
        """Set the attributes that `decode` returned; variables keep their identity."""
        for name, value in decoded.items():
            current = _as_list(getattr(self.callback, name, None))
            if current and isinstance(current[0], keras.Variable):
                for variable, array in zip(current, _as_list(value), strict=True):
                    variable.assign(array)
            else:
                setattr(self.callback, name, value)


def describe_state(callback: keras.callbacks.Callback) -> CallbackState:
    """Return the state of a callback; call this function when training begins."""
    declared = _declared(callback)
    types = {name: _kind(getattr(callback, name)) for name in _data_names(callback)} | declared
    others = {
        name: msgspec.UNSET if name in declared else _encode(getattr(callback, name))[0]
        for name, kind in types.items()
        if kind is None
    }
    return CallbackState(callback, types, others)


def describe_settings(callback: keras.callbacks.Callback) -> Config:
    """Return the settings of a callback: {name of an argument: value of the attribute of the same name}.

    Settings are numbers, texts, lists, dictionaries, dataclasses, and functions. Paths may differ between an
    interrupted run and its resumption, and are therefore not settings; nor are arguments that the class declares as
    state.
    """
    state = {name for name, kind in _declared(callback).items() if kind is not None} - SIGNED
    constructors = [vars(cls)["__init__"] for cls in type(callback).__mro__[:-1] if "__init__" in vars(cls)]
    arguments = {name for constructor in constructors for name in inspect.signature(constructor).parameters}
    return {
        name: _setting(name, value)
        for name, value in vars(callback).items()
        if name in arguments - state - NOT_SETTINGS and not name.endswith(PATH_ENDINGS) and _is_setting(value)
    }


def _is_setting(value: object) -> bool:
    return _is_json(value) or is_dataclass(value) or inspect.isroutine(value)


def _setting(name: str, value: Any) -> object:  # noqa: ANN401 - a setting
    """Return a setting as a JSON value that is the same in every process."""
    if inspect.isroutine(value):
        return value.__qualname__
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _setting(field.name, getattr(value, field.name)) for field in fields(value)}
        return {"class": type(value).__name__, **parts}
    if not _is_json(value):
        return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    return abs(value) if name in SIGNED and isinstance(value, (int, float)) else _to_json(value)


def check_form(callback: keras.callbacks.Callback, prefix: str, values: object, arrays: Mapping[str, object]) -> None:
    """Check the state of a callback in a checkpoint before training begins, when its attributes are not all set.

    Raises:
        ValueError: If a name can never be state, or a value is not in the form of `CallbackState.capture`.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{prefix} must be a dictionary, got {type(values).__name__}")
    for name, encoded in values.items():
        if not _is_public(callback, name):
            raise ValueError(f"{prefix} ({type(callback).__name__}) must not set {name!r}")
        find_arrays(f"{prefix}/{name}", encoded, arrays)
        if _is_function(encoded):
            _function(encoded)


def find_arrays(prefix: str, encoded: object, arrays: Mapping[str, Any]) -> list[Any]:
    """Return the arrays to which an encoded value refers.

    Raises:
        ValueError: If an array is missing, or the number of arrays is invalid.
    """
    if not isinstance(encoded, dict) or not _refers_to_arrays(encoded):
        return []
    count = encoded["arrays"]
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
        raise ValueError(f"{prefix} must have a number of arrays, got {count!r}")
    names = [f"{prefix}/{k}" for k in range(min(1 if count is None else count, len(arrays) + 1))]
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ValueError(f"the array {missing[0]!r} is missing")
    return [arrays[name] for name in names]


# === Attributes ===
def _declared(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return the declared types of all classes of a callback; those of a subclass take precedence."""
    declared: dict[str, Any] = {}
    for cls in reversed(type(callback).__mro__):
        declared |= {**KERAS_STATE.get(cls, {}), **vars(cls).get("resumable_state", {})}
    return declared


def _data_names(callback: keras.callbacks.Callback) -> set[str]:
    """Return the names of the public attributes of a callback, including the defaults that its classes define."""
    names = set(vars(callback)).union(*(vars(cls) for cls in type(callback).__mro__[:-1]))
    return {name for name in names if _is_public(callback, name)}


def _is_public(callback: keras.callbacks.Callback, name: str) -> bool:
    """Return True for the name of an attribute that is public, specific to the callback, and no method or property."""
    if name.startswith("_") or name in BASE_ATTRIBUTES:
        return False
    default = getattr(type(callback), name, None)
    return not callable(default) and not hasattr(type(default), "__get__")


def _kind(value: object) -> Any:  # noqa: ANN401 - a type
    """Return the type of the state in an attribute by its value when training begins; None if it is not state."""
    if isinstance(value, np.generic):
        value = value.item()
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return bool if kind is bool else int | float
    if value is None:
        return Data
    if any(value is function for function in FUNCTIONS.values()):
        return Function
    if _holds_arrays(value):
        return Arrays
    if isinstance(value, (list, tuple, dict)) and _is_json(value) and not _has_text(value):
        return type(value) if type(value) in (list, tuple, dict) else None
    return None


# === Values ===
def _encode(value: object) -> tuple[Any, list[np.ndarray]]:
    """Return a value as JSON, and its arrays; the JSON value of an unsupported object is UNSET."""
    if _is_json(value):
        return _to_json(value), []
    if _holds_arrays(value):
        count = len(value) if isinstance(value, (list, tuple)) else None
        return {"arrays": count}, [_to_array(part) for part in _as_list(value)]
    names = [key for key, function in FUNCTIONS.items() if value is function]
    return {"function": list(names[0])} if names else msgspec.UNSET, []


def _fits(encoded: object, kind: Any) -> bool:  # noqa: ANN401 - a type
    if kind is None:
        return False
    try:
        _decode(encoded, kind, [], None)
    except ValueError:
        return False
    return True


def _decode(encoded: Any, kind: Any, arrays: list[np.ndarray], current: object) -> Any:  # noqa: ANN401 - JSON
    """Return the value of an attribute from its encoded form, checked against its type and its current value."""
    if _refers_to_arrays(encoded) and kind in (Arrays, Data, list):
        _check_variables(arrays, current)
        return arrays[0] if encoded["arrays"] is None and arrays else arrays
    if _is_function(encoded) and kind in (Function, Data):
        return _function(encoded)
    if encoded is None and kind in (Arrays, Function, Data):
        return None
    if kind is Data and not isinstance(encoded, str) and not _has_text(encoded):
        return encoded
    if kind in (Arrays, Function, Data):
        raise ValueError(f"expected {kind.__name__.lower()}, got {encoded!r}"[:200])
    return msgspec.convert(encoded, kind)


def _check_variables(arrays: list[np.ndarray], current: object) -> None:
    """Raise a ValueError if the current value consists of variables whose shapes or dtypes differ from the arrays."""
    variables = [part for part in _as_list(current) if isinstance(part, keras.Variable)]
    expected = [(tuple(variable.shape), variable.dtype) for variable in variables]
    found = [(array.shape, array.dtype.name) for array in arrays]
    if expected and expected != found:
        raise ValueError(f"expected arrays {expected}, got {found}"[:200])


def _refers_to_arrays(encoded: object) -> bool:
    return isinstance(encoded, dict) and encoded.keys() == {"arrays"}


def _is_function(encoded: object) -> bool:
    return isinstance(encoded, dict) and encoded.keys() == {"function"}


def _function(encoded: Config) -> object:
    key = encoded["function"]
    if not isinstance(key, list) or not all(isinstance(part, str) for part in key) or tuple(key) not in FUNCTIONS:
        raise ValueError(f"unknown function {key!r}"[:200])
    return FUNCTIONS[tuple(key)]


def _is_json(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_json, value.values()))
    return isinstance(value, (*SCALARS, np.generic))


def _has_text(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_text, value))
    if isinstance(value, dict):
        return any(map(_has_text, value.values()))
    return isinstance(value, (str, os.PathLike))


def _holds_arrays(value: object) -> bool:
    parts = _as_list(value)
    return bool(parts) and all(isinstance(part, (np.ndarray, keras.Variable)) for part in parts)


def _as_list(value: object) -> Sequence[Tensor]:
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
