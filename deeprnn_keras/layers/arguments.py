"""Conversion of layer arguments to Keras objects, and of cells to and from configurations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import ModuleType

import keras

from deeprnn_keras import checks
from deeprnn_keras._types import Activation, CellSpec, Config, Constraint, Initializer, Regularizer, Tensor
from deeprnn_keras.keras_objects import check_config, is_registered, keras_classes
from deeprnn_keras.specs import parse_cell


def activation(name: str, value: Activation) -> Callable[[Tensor], Tensor] | None:
    """Return the activation function for `value`, or None; error messages call the argument `name`."""
    if value is None:
        return None
    if isinstance(value, dict):
        check_config(value, name)
    try:
        return keras.activations.get(value)
    except ValueError:
        names = [known for known in dir(keras.activations) if not known.startswith("_")]
        raise ValueError(f"unknown {name} {value!r}{checks.suggestion(value, names)}") from None


def dilation(value: int | Sequence[int], num_layers: int, **unsupported: bool) -> list[int]:
    """Return one dilation rate per layer.

    Args:
        value: Rate of all layers, or a list with one rate per layer.
        num_layers: L.
        unsupported: Values of the options that a dilated layer does not support; True if the option is set.

    Raises:
        ValueError: If a rate is not a positive integer, or if an unsupported option is set and a rate is above 1.
    """
    rates = [checks.positive_int("dilation", rate) for rate in checks.per_layer("dilation", value, num_layers)]
    for option, is_set in unsupported.items():
        if max(rates) > 1 and is_set:
            raise ValueError(
                f"{option}=True is not supported with dilation={rates}: a layer with dilation r keeps r interleaved "
                "states; use dilation=1"
            )
    return rates


def regularizer(name: str, value: Regularizer) -> keras.Regularizer | None:
    """Return the Keras regularizer for `value`, or None; error messages call the argument `name`."""
    return _keras_object(keras.regularizers, name, value)


def constraint(name: str, value: Constraint) -> keras.constraints.Constraint | None:
    """Return the Keras constraint for `value`, or None; error messages call the argument `name`."""
    return _keras_object(keras.constraints, name, value)


def initializer(name: str, value: Initializer) -> keras.Initializer | None:
    """Return the Keras initializer for `value`, or None; error messages call the argument `name`."""
    return _keras_object(keras.initializers, name, value)


def _keras_object(module: ModuleType, name: str, value: object) -> Callable[..., Tensor] | None:
    if value is None:
        return None
    if isinstance(value, dict):
        check_config(value, name)
    try:
        return module.get(value)
    except ValueError:
        names = [known for known in dir(module) if known.islower() and not known.startswith("_")]
        raise ValueError(f"unknown {name} {value!r}{checks.suggestion(value, names)}") from None


def cell(value: CellSpec) -> CellSpec:
    """Check a cell and return it as a name, {"name": name, **options}, or a callable(units) that returns a Keras cell.

    Args:
        value: A cell in one of these forms, or a result of `cell_config`.

    Raises:
        ValueError: If the name or an option is unknown, or if the configuration refers to an unregistered object.
    """
    if isinstance(value, dict):
        check_config(value, "cell")
        value = value if "name" in value else _cell_from_config(value)
    if callable(value):
        return value
    spec, options = parse_cell(value)
    return {"name": spec.name, **options} if options else spec.name


def cell_config(value: CellSpec) -> str | Config:
    """Return a JSON value that the function `cell` converts back to this cell.

    Names and dictionaries are returned with the same content, and tuples in them as lists, as JSON stores them. A
    callable can be converted back only if it is registered with Keras.
    """
    if isinstance(value, str):
        return value
    if not callable(value):
        return {name: list(option) if isinstance(option, tuple) else option for name, option in value.items()}
    if inspect.isclass(value):
        return {"cell_class": keras.saving.get_registered_name(value)}
    return keras.saving.serialize_keras_object(value)


def _cell_from_config(config: Config) -> CellSpec:
    name = config.get("cell_class")
    if name is None:
        if config.get("class_name") == "function" and not is_registered(config.get("config")):
            raise _unregistered_cell(config.get("config"))
        try:
            return keras.saving.deserialize_keras_object(config)
        except (TypeError, ValueError) as error:
            raise _unregistered_cell(config.get("config")) from error
    if is_registered(name):
        return keras.saving.get_registered_object(name)
    if isinstance(name, str) and ("keras.layers", name) in keras_classes():
        return getattr(keras.layers, name)
    raise _unregistered_cell(name)


def _unregistered_cell(name: object) -> ValueError:
    return ValueError(
        f"cell {name!r} is not registered; decorate it with keras.saving.register_keras_serializable, and import its "
        "module before loading"
    )
