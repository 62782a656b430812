"""Flat description of a run, which is compared with that of the interrupted run when resuming."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from deeprnn_keras import _compat
from deeprnn_keras._types import Config
from deeprnn_keras.kernels.native import library
from deeprnn_keras.optimizers.clipping import unwrap_optimizer
from deeprnn_keras.processes import current_shard
from deeprnn_keras.training.callback_state import describe_settings

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.data.batches import Batches

_ABSENT = object()
_OMITTED = ("name", "registered_name", "module", "implementation")
"""Entries of configurations that are not compared: generated names, which differ between equal models (dense_1), and
implementations, which `describe_rounding` describes."""


def describe_run(
    model: keras.Model,
    data: Batches,
    callbacks: Sequence[keras.callbacks.Callback],
    params: Mapping[str, int],
    about: Mapping[str, object],
) -> Config:
    """Return a flat dictionary that describes model, optimizer, loss, data, callbacks, and `about`.

    Args:
        model: A compiled model before its first update.
        data: Training data; its attribute `about` is a dictionary of its settings.
        callbacks: Callbacks whose settings and state are part of the run.
        params: Parameters that Keras passes to callbacks: epochs and steps.
        about: Additional entries.

    Returns:
        A dictionary {setting: value}, whose values are bool, int, float, str, or None. It is the same in every process.
    """
    description: dict[str, object] = {"epochs": params["epochs"], "updates per epoch": params["steps"]}
    description["replicas"] = _num_replicas(model)
    description |= {f"data, {key}": value for key, value in data.about.items()}
    for number, layer in enumerate(_compat.flatten_layers(model, include_self=False)):
        description |= _flatten(f"layer {number} ({type(layer).__name__})", _config(layer))
    optimizer = unwrap_optimizer(model.optimizer)
    description |= _flatten(f"optimizer ({type(optimizer).__name__})", _config(optimizer))
    description["loss"] = _loss(model.loss)
    description["weights"] = " ".join("x".join(map(str, weight.shape)) or "1" for weight in model.weights)
    description["callbacks"] = " ".join(type(callback).__name__ for callback in callbacks)
    description |= {str(key): value for key, value in about.items()}
    for number, callback in enumerate(callbacks):
        description |= _flatten(f"callback {number} ({type(callback).__name__})", describe_settings(callback))
    return {
        key: value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)
        for key, value in description.items()
    }


def describe_rounding(model: keras.Model) -> dict[str, str]:
    """Return the versions and implementations on which the rounding of a run depends, and so whether bits are equal.

    "recurrent layers" is the implementation that runs the layers of this package, or one per layer if they differ;
    "devices" is the number of devices of a data-parallel run.
    """
    import keras

    names = ("deeprnn-keras", "keras", keras.backend.backend(), "numpy")
    found = {name: version(name) for name in names}
    devices = current_shard().devices
    found |= {"devices": str(devices)} if devices > 1 else {}
    selected = _implementations(model)
    return found | ({"recurrent layers": " ".join(selected)} if selected else {})


def _implementations(model: keras.Model) -> list[str]:
    """Return the implementation of each layer, or a single one if all are equal."""
    from deeprnn_keras.kernels.machine import this_machine

    machine = replace(this_machine(), compiled_by_xla=model.jit_compile is True)
    selected = [
        _with_instruction_set(layer.implementation_on(machine).implementation)
        for layer in _compat.flatten_layers(model)
        if hasattr(layer, "implementation_on")
    ]
    return selected[:1] if len(set(selected)) == 1 else selected


def _with_instruction_set(implementation: str) -> str:
    """Add the instruction set to "native", because the order of sums depends on it."""
    if implementation != "native":
        return implementation
    return f"native/{library.describe()['instruction_set']}"


def _num_replicas(model: keras.Model) -> int:
    """Return the number of replicas of `tf.distribute`; 1 on other Keras backends."""
    strategy = getattr(model, "distribute_strategy", None)
    return 1 if strategy is None else strategy.num_replicas_in_sync


def differences(before: Config, now: Config) -> list[str]:
    """Return the differences of two descriptions as texts: 'units: 64 before, 32 now'."""
    return [
        f"{key}: {_format(before.get(key, _ABSENT))} before, {_format(now.get(key, _ABSENT))} now"
        for key in dict.fromkeys([*before, *now])
        if before.get(key, _ABSENT) != now.get(key, _ABSENT)
    ]


def _format(value: object) -> str:
    text = "absent" if value is _ABSENT else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _config(instance: keras.layers.Layer | keras.optimizers.Optimizer) -> Config:
    try:
        config = instance.get_config()
    except NotImplementedError:  # a user-defined class without get_config is compared by its name alone
        return {"configuration": "not described by its class"}
    return {
        key: value for key, value in config.items() if key not in ("name", "layers", "input_layers", "output_layers")
    }


def _flatten(name: str, value: object) -> dict[str, object]:
    """Flatten nested dictionaries without the entries in `_OMITTED`."""
    if not isinstance(value, dict):
        return {name: value}
    flat: dict[str, object] = {}
    for key, part in value.items():
        if key not in _OMITTED:
            flat |= _flatten(f"{name} {key}", part)
    return flat


def _loss(loss: object) -> object:
    """Return the name of a loss, without its memory address, which differs between processes."""
    if isinstance(loss, dict):
        return {key: _loss(part) for key, part in loss.items()}
    if isinstance(loss, (list, tuple)):
        return [_loss(part) for part in loss]
    if isinstance(loss, str) or loss is None:
        return loss
    return getattr(loss, "__qualname__", type(loss).__qualname__)
