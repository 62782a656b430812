"""Conversion of layer arguments to Keras objects, and of cells to and from configurations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import ModuleType

import keras

from deeprnn_keras import checks
from deeprnn_keras._types import Activation, CellSpec, Config, Constraint, Initializer, Regularizer, Tensor
from deeprnn_keras.specs import parse_cell


def activation(name: str, value: Activation) -> Callable[[Tensor], Tensor] | None:
    """Return an activation function, or None; `name` is the name of the argument, for the error message."""
    if value is None:
        return None
    try:
        return keras.activations.get(value)
    except ValueError:
        names = [known for known in dir(keras.activations) if not known.startswith("_")]
        raise ValueError(f"unknown {name} {value!r}{checks.nearest(value, names)}") from None


def dilation(value: int | Sequence[int], num_layers: int, **unsupported: bool) -> list[int]:
    """Return one dilation rate per layer.

    Args:
        value: Rate of all layers, or a list with one rate per layer.
        num_layers: L.
        unsupported: Options that are not supported by a dilated layer, as {name: True if it is set}.

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
    """Return a Keras regularizer, or None; `name` is the name of the argument, for the error message."""
    return _keras_object(keras.regularizers, name, value)


def constraint(name: str, value: Constraint) -> keras.constraints.Constraint | None:
    """Return a Keras constraint, or None; `name` is the name of the argument, for the error message."""
    return _keras_object(keras.constraints, name, value)


def initializer(name: str, value: Initializer) -> keras.Initializer | None:
    """Return a Keras initializer, or None; `name` is the name of the argument, for the error message."""
    return _keras_object(keras.initializers, name, value)


def _keras_object(module: ModuleType, name: str, value: object) -> Callable[..., Tensor] | None:
    if value is None:
        return None
    try:
        return module.get(value)
    except ValueError:
        names = [known for known in dir(module) if known.islower() and not known.startswith("_")]
        raise ValueError(f"unknown {name} {value!r}{checks.nearest(value, names)}") from None


def cell(value: CellSpec) -> CellSpec:
    """Return a cell as its name, as {"name": name, **options}, or as a callable(units) that returns a Keras cell.

    Args:
        value: One of these, or a configuration that `cell_config` returned.

    Raises:
        ValueError: If the name or an option is unknown, or if the configuration refers to an unregistered object.
    """
    if isinstance(value, dict) and "name" not in value:
        value = _cell_from_config(value)
    if callable(value):
        return value
    spec, options = parse_cell(value)
    return {"name": spec.name, **options} if options else spec.name


def cell_config(value: CellSpec) -> str | Config:
    """Return the JSON value from which `cell` restores a cell.

    Names and dictionaries are returned unchanged. A callable must be registered with Keras for `cell` to restore it.
    """
    if not callable(value):
        return value if isinstance(value, str) else dict(value)
    if inspect.isclass(value):
        return {"cell_class": keras.saving.get_registered_name(value)}
    return keras.saving.serialize_keras_object(value)


def _cell_from_config(config: Config) -> CellSpec:
    name = config.get("cell_class")
    if name is None:
        try:
            return keras.saving.deserialize_keras_object(config)
        except (TypeError, ValueError) as error:
            raise _unregistered_cell(config.get("config")) from error
    cell_class = keras.saving.get_registered_object(name) or getattr(keras.layers, name, None)
    if cell_class is None:
        raise _unregistered_cell(name)
    return cell_class


def _unregistered_cell(name: object) -> ValueError:
    return ValueError(
        f"cell {name!r} is not registered; decorate it with keras.saving.register_keras_serializable, and import its "
        "module before loading"
    )
