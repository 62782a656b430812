"""Arguments of `DeepRNN` from and to what a configuration file can hold."""

import inspect

import keras

from deeprnn_keras import checks
from deeprnn_keras.specs import named


def activation(value):
    """An activation function, or None."""
    if value is None:
        return None
    try:
        return keras.activations.get(value)
    except ValueError:
        names = [name for name in dir(keras.activations) if not name.startswith("_")]
        raise ValueError(f"unknown activation {value!r}{checks.nearest(value, names)}") from None


def dilation(value, stack):
    """One rate per layer; states are refused, since a dilated layer has several in turn."""
    rates = [checks.positive_int("dilation", rate) for rate in checks.per_layer("dilation", value, stack.num_layers)]
    for option in ("return_state", "stateful"):
        if max(rates) > 1 and getattr(stack, option):
            raise ValueError(
                f"{option}=True cannot be with dilation={rates}: a layer of dilation r has r states that take turns; "
                "use dilation=1"
            )
    return rates


def initializer(name, value):
    """A Keras initializer, or None; `name` is the argument's."""
    if value is None:
        return None
    try:
        return keras.initializers.get(value)
    except ValueError:
        names = [known for known in dir(keras.initializers) if known.islower() and not known.startswith("_")]
        raise ValueError(f"unknown {name} {value!r}{checks.nearest(value, names)}") from None


def cell(value):
    """The name of a cell, {"name": name, **options}, or a callable(units) that makes one."""
    if isinstance(value, dict) and "name" not in value:
        value = _cell_from_config(value)
    if callable(value):
        return value
    spec, options = named(value)
    return {"name": spec.name, **options} if options else spec.name


def cell_config(value):
    """What `cell` reads back: a name, or a dictionary for a cell class or a function registered with Keras."""
    if not callable(value):
        return value
    if inspect.isclass(value):
        return {"cell_class": keras.saving.get_registered_name(value)}
    return keras.saving.serialize_keras_object(value)


def _cell_from_config(config):
    name = config.get("cell_class")
    if name is None:
        try:
            return keras.saving.deserialize_keras_object(config)
        except (TypeError, ValueError) as error:
            raise _unknown_cell(config.get("config")) from error
    found = keras.saving.get_registered_object(name) or getattr(keras.layers, name, None)
    if found is None:
        raise _unknown_cell(name)
    return found


def _unknown_cell(name):
    return ValueError(
        f"cell {name!r} is not known here; decorate it with keras.saving.register_keras_serializable "
        "and import it before loading"
    )
