"""Arguments of `DeepRNN` from and to what a configuration file can hold."""

import inspect

import keras

from deeprnn_keras import checks
from deeprnn_keras.cells import cell_spec


def activation(value):
    """An activation function, or None."""
    if value is None:
        return None
    try:
        return keras.activations.get(value)
    except ValueError:
        names = [name for name in dir(keras.activations) if not name.startswith("_")]
        raise ValueError(f"unknown activation {value!r}{checks.nearest(value, names)}") from None


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
    """The name of a cell, or a callable(units) that makes one."""
    if isinstance(value, dict):
        value = _cell_from_config(value)
    return value if callable(value) else cell_spec(value).name


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
