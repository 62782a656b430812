"""`build_model`: the Keras model of a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from deeprnn_keras import _compat
from deeprnn_keras._types import Config, Tensor
from deeprnn_keras.interop.onnx_file.plan import LAST, RECURRENT, Plan, Step
from deeprnn_keras.layers import DeepRNN, OneHot


def build_model(plan: Plan, name: str) -> keras.Model:
    """Return the functional model of a plan with its weights.

    Args:
        plan: The plan.
        name: Name of the model.
    """
    _compat.reserve_names(plan.steps)
    values: dict[str, Tensor] = {}
    inputs = []
    for step in plan.steps.values():
        if step.kind == "input":
            shape, dtype = ((None,), "int32") if step.width is None else ((None, step.width), "float32")
            values[step.name] = keras.Input(shape, name=step.name, dtype=dtype)
            inputs.append(values[step.name])
        else:
            read = [values[one] for one in step.inputs]
            values[step.name] = _last(plan, step, read) if step.kind == LAST else _call(step, read)
    outputs = [values[step] for _, step, _ in plan.outputs]
    return keras.Model(_single(inputs), _single(outputs), name=name)


def _single(tensors: list[Tensor]) -> Any:  # noqa: ANN401 - a tensor or a list
    return tensors[0] if len(tensors) == 1 else tensors


def _call(step: Step, inputs: list[Tensor]) -> Tensor:
    if step.kind in OPERATIONS:
        return OPERATIONS[step.kind](step, inputs)
    layer = LAYERS[step.kind](name=step.name, **layer_config(step))
    value = layer(inputs[0] if len(inputs) == 1 else inputs)
    if step.weights:
        layer.set_weights([weight.array for weight in step.weights])
    if step.kind == RECURRENT and step.config["go_backwards"] and step.config["return_sequences"]:
        return ops.flip(value, axis=1)  # Keras returns the steps in the order in which they were read
    return value


def layer_config(step: Step) -> Config:
    """Return the arguments of the layer of a step."""
    if step.kind != RECURRENT:
        return step.config
    config = dict(step.config)
    for key in ("activation", "recurrent_activation"):
        if isinstance(config.get(key), list) and len(set(config[key])) == 1:
            config[key] = config[key][0]
    if len(set(config["units"])) == 1:
        config |= {"units": config["units"][0], "num_layers": len(config["units"])}
    return config


def describe(step: Step) -> str:
    """Return the layer of a step as text, "lstm: DeepRNN(units=8, cell='lstm')"; arguments with many numbers short."""
    kind = LAYERS[step.kind].__name__ if step.kind in LAYERS else step.kind
    arguments = [f"{key}={_short(value)}" for key, value in layer_config(step).items() if value is not False]
    return f"{step.name}: {kind}({', '.join(arguments)})"


def _short(value: object) -> str:
    return f"{len(value)} numbers" if isinstance(value, list) and len(value) > 8 else repr(value)


# === Operations without a layer ===


def _last(plan: Plan, step: Step, inputs: Sequence[Tensor]) -> Tensor:
    """Return the state after the last step that a recurrence reads; its sequence is read by other layers, too."""
    source, (sequence,) = plan.steps[step.inputs[0]], inputs
    if source.config["bidirectional"]:
        half = source.config["units"][-1]
        return ops.concatenate([sequence[:, -1, :half], sequence[:, 0, half:]], axis=-1)
    return sequence[:, 0] if source.config["go_backwards"] else sequence[:, -1]


def _direction(step: Step, inputs: list[Tensor]) -> Tensor:
    start = step.config["index"] * (step.width or 0)
    return inputs[0][..., start : start + (step.width or 0)]


LAYERS: dict[str, Any] = {
    RECURRENT: DeepRNN,
    "activation": keras.layers.Activation,
    "add": keras.layers.Add,
    "concatenate": keras.layers.Concatenate,
    "dense": keras.layers.Dense,
    "embedding": keras.layers.Embedding,
    "layer_normalization": keras.layers.LayerNormalization,
    "leaky_relu": keras.layers.LeakyReLU,
    "max": keras.layers.GlobalMaxPooling1D,
    "mean": keras.layers.GlobalAveragePooling1D,
    "multiply": keras.layers.Multiply,
    "one_hot": OneHot,
    "rescaling": keras.layers.Rescaling,
    "subtract": keras.layers.Subtract,
}
OPERATIONS: dict[str, Callable[[Step, list[Tensor]], Tensor]] = {
    "direction": _direction,
    "reverse": lambda step, inputs: ops.flip(inputs[0], axis=1),
    "time_step": lambda step, inputs: inputs[0][:, step.config["index"]],
}
