"""What a training is: a flat description by which a resumed run is compared with the one that was killed."""

from deeprnn_keras import _compat
from deeprnn_keras.optimizers.clipping import innermost


def describe_run(model, data, callbacks, params, about):
    """{what: value} of model, optimizer, loss, data, callbacks and `about`, plain values.

    Args:
        model: compiled, before its first update.
        data: with an attribute `about`.
        callbacks: those that go along.
        params: what Keras tells callbacks: epochs and steps.
        about: more, a flat dictionary.
    """
    found = {"epochs": params["epochs"], "updates per epoch": params["steps"]}
    found |= {f"data, {key}": value for key, value in data.about.items()}
    for number, layer in enumerate(_compat.flatten_layers(model, include_self=False)):
        found |= _flat(f"layer {number} ({type(layer).__name__})", _config(layer))
    optimizer = innermost(model.optimizer)
    found |= _flat(f"optimizer ({type(optimizer).__name__})", _config(optimizer))
    found["loss"] = _loss(model.loss)
    found["weights"] = " ".join("x".join(map(str, weight.shape)) or "1" for weight in model.weights)
    found["callbacks"] = " ".join(type(callback).__name__ for callback in callbacks)
    found |= {str(key): value for key, value in about.items()}
    return {
        key: value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)
        for key, value in found.items()
    }


def differences(one, other):
    """["what: value there, value here", ...] of two identities."""
    absent = object()
    return [
        f"{key}: {_shown(one.get(key, absent), absent)} before, {_shown(other.get(key, absent), absent)} now"
        for key in dict.fromkeys([*one, *other])
        if one.get(key, absent) != other.get(key, absent)
    ]


def _shown(value, absent):
    text = "absent" if value is absent else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _config(thing):
    try:
        config = thing.get_config()
    except NotImplementedError:  # of a class of one's own without get_config Keras knows nothing but its name
        return {"configuration": "not described by its class"}
    return {
        key: value for key, value in config.items() if key not in ("name", "layers", "input_layers", "output_layers")
    }


def _flat(name, value):
    """Nested dictionaries as one, without names that Keras counts up from model to model."""
    if isinstance(value, dict):
        parts = {key: part for key, part in value.items() if key not in ("name", "registered_name", "module")}
        return {
            key: part
            for inner, part_value in parts.items()
            for key, part in _flat(f"{name} {inner}", part_value).items()
        }
    return {name: value}


def _loss(loss):
    """Its name: what `repr` gives for a function or an object holds an address, another one in each process."""
    if isinstance(loss, dict):
        return {key: _loss(part) for key, part in loss.items()}
    if isinstance(loss, (list, tuple)):
        return [_loss(part) for part in loss]
    if isinstance(loss, str) or loss is None:
        return loss
    return getattr(loss, "__qualname__", type(loss).__qualname__)
