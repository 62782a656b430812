"""Arguments of `DeepRNN` from and to what a configuration file can hold."""

import inspect

import keras

from deeprnn_keras import checks
from deeprnn_keras.specs import parse_cell


def activation(value, name="activation"):
    """Return an activation function, or None; `name` is that of the argument."""
    if value is None:
        return None
    try:
        return keras.activations.get(value)
    except ValueError:
        names = [known for known in dir(keras.activations) if not known.startswith("_")]
        raise ValueError(f"unknown {name} {value!r}{checks.nearest(value, names)}") from None


def dilation(value, num_layers, **options):
    """Return one rate per layer; options that need one state per layer are refused.

    Args:
        value: A rate, or a list with one per layer.
        num_layers: L.
        options: {name: whether it is set} of options that a dilated layer does not support.
    """
    rates = [checks.positive_int("dilation", rate) for rate in checks.per_layer("dilation", value, num_layers)]
    for option, is_set in options.items():
        if max(rates) > 1 and is_set:
            raise ValueError(
                f"{option}=True is not supported with dilation={rates}: a layer of dilation r keeps r interleaved "
                "states; use dilation=1"
            )
    return rates


def regularizer(name, value):
    """Return a Keras regularizer, or None; `name` is that of the argument."""
    return _from_keras(keras.regularizers, name, value)


def constraint(name, value):
    """Return a Keras constraint, or None; `name` is that of the argument."""
    return _from_keras(keras.constraints, name, value)


def initializer(name, value):
    """Return a Keras initializer, or None; `name` is that of the argument."""
    return _from_keras(keras.initializers, name, value)


def _from_keras(home, name, value):
    if value is None:
        return None
    try:
        return home.get(value)
    except ValueError:
        names = [known for known in dir(home) if known.islower() and not known.startswith("_")]
        raise ValueError(f"unknown {name} {value!r}{checks.nearest(value, names)}") from None


def cell(value):
    """Return the name of a cell, {"name": name, **options}, or a callable(units) that makes one."""
    if isinstance(value, dict) and "name" not in value:
        value = _cell_from_config(value)
    if callable(value):
        return value
    spec, options = parse_cell(value)
    return {"name": spec.name, **options} if options else spec.name


def cell_config(value):
    """Return what `cell` reads back: a name, or a dictionary for a cell class or a function registered with Keras."""
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
