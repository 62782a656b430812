"""All that a training is made of at one moment, as arrays and plain values, and the way back."""

import random

import keras
import numpy as np

from deeprnn_keras import _compat

SKIPPED = {"params", "model", "validation_data"}  # attributes of every Keras callback
PLAIN = (type(None), bool, int, float, str)
HOMES = {"numpy": np, "keras.ops": keras.ops}  # of functions that Keras' callbacks choose in their first epoch


def model_variables(model):
    """{name: variable} of weights, random seeds, optimizer, metrics and the states of Keras' own stateful layers."""
    groups = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metric": metric_variables(model),
        "state": _stock_states(model),
        "seed": _global_seed(),
    }
    found, known = {}, set()
    for group, variables in groups.items():
        for number, variable in enumerate(variables):
            if id(variable) not in known:
                known.add(id(variable))
                found[f"{group}/{number}"] = variable
    return found


def metric_variables(model):
    """Of the metrics whose sums run over an epoch."""
    return [variable for metric in model.metrics for variable in metric.variables]


def _stock_states(model):
    layers = [
        layer for layer in _compat.flatten_layers(model) if isinstance(layer, keras.layers.RNN) and layer.stateful
    ]
    return [state for layer in layers if layer.states for state in keras.tree.flatten(layer.states)]


def _global_seed():
    return [_compat.global_seed_state()]


def carrying(model):
    """The layers of this library that carry a state from batch to batch."""
    return [layer for layer in _compat.flatten_layers(model) if hasattr(layer, "carried_state")]


def capture(model, callbacks):
    """-> ({name: array}, plain values): what `put_back` needs."""
    arrays = {name: keras.ops.convert_to_numpy(variable) for name, variable in model_variables(model).items()}
    for number, layer in enumerate(carrying(model)):
        arrays |= {f"carried/{number}/{k}": value for k, value in enumerate(layer.carried_state.to_arrays())}
    plain = {"python": _listed(random.getstate()), "callbacks": []}
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global one is what users' callbacks draw from
    arrays["numpy"] = keys
    plain["numpy"] = [kind, *rest]
    for number, callback in enumerate(callbacks):
        values = {}
        for name, value in vars(callback).items():
            if name in SKIPPED or name.startswith("_"):
                continue
            if _is_plain(value):
                values[name] = _listed(value)
            elif _home(value):
                values[name] = {"function": [_home(value), value.__name__]}
            elif _is_arrays(value):
                arrays |= {f"callback/{number}/{name}/{k}": _array(part) for k, part in enumerate(_parts(value))}
                values[name] = {"arrays": len(_parts(value))}
        plain["callbacks"].append(values)
    return arrays, plain


def restore_model(model, arrays, plain):
    """Weights, optimizer, metrics and random states; states carried and callbacks come apart."""
    for name, variable in model_variables(model).items():
        variable.assign(arrays[name])
    version, internal, gauss = plain["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, *rest = plain["numpy"]
    np.random.set_state((kind, arrays["numpy"], *rest))  # noqa: NPY002


def restore_epoch(model, arrays):
    """What Keras throws away as an epoch begins: sums of metrics, and the states carried."""
    for name, variable in model_variables(model).items():
        if name.startswith(("metric/", "state/")):
            variable.assign(arrays[name])
    for number, layer in enumerate(carrying(model)):
        count = len(layer.carried_state.to_arrays())
        layer.carried_state.from_arrays([arrays[f"carried/{number}/{k}"] for k in range(count)])


def restore_callbacks(callbacks, arrays, plain):
    """The attributes of callbacks."""
    for number, (callback, values) in enumerate(zip(callbacks, plain["callbacks"], strict=True)):
        for name, value in values.items():
            if isinstance(value, dict) and value.keys() == {"arrays"}:
                parts = [arrays[f"callback/{number}/{name}/{k}"] for k in range(value["arrays"])]
                _put_arrays(callback, name, parts)
            elif isinstance(value, dict) and value.keys() == {"function"}:
                home, function = value["function"]
                setattr(callback, name, getattr(HOMES[home], function))
            else:
                setattr(callback, name, value)


def _put_arrays(callback, name, parts):
    held = getattr(callback, name, None)
    if isinstance(held, keras.Variable):
        held.assign(parts[0])
    elif isinstance(held, (list, tuple)) and held and isinstance(held[0], keras.Variable):
        for variable, value in zip(held, parts, strict=True):
            variable.assign(value)
    else:
        setattr(callback, name, parts[0] if isinstance(held, np.ndarray) else parts)


def _home(value):
    """Where a function is found by its name, or None."""
    name = getattr(value, "__name__", "")
    return next((home for home, module in HOMES.items() if name and getattr(module, name, None) is value), None)


def _is_plain(value):
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_plain, value.values()))
    return isinstance(value, (*PLAIN, np.generic))


def _is_arrays(value):
    parts = _parts(value)
    return bool(parts) and all(isinstance(part, (np.ndarray, keras.Variable)) for part in parts)


def _parts(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _array(value):
    return value if isinstance(value, np.ndarray) else keras.ops.convert_to_numpy(value)


def _listed(value):
    """Plain values as JSON has them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_listed(part) for part in value]
    return {key: _listed(part) for key, part in value.items()} if isinstance(value, dict) else value
