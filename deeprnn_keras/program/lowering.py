"""`lower`: turn a trained Keras model into a `Program`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deeprnn_keras import _compat, checks
from deeprnn_keras.program import layer_rules, recurrence_rules  # noqa: F401 - registers the rules
from deeprnn_keras.program.builder import (
    MODEL_KINDS,
    Builder,
    KerasLayer,
    Value,
    flat,
    is_of_keras,
    rule,
    supported_class,
)
from deeprnn_keras.program.operations import Input, Recurrence
from deeprnn_keras.program.program import Program
from deeprnn_keras.program.refusal import refuse

if TYPE_CHECKING:
    import keras

AUTOMATIC_NAME = re.compile(r"(input_layer|keras_tensor)(_\d+)?")


def lower(model: keras.Model, batch_size: int | None = None) -> Program:
    """Return a trained model as a `Program`, a flat list of operations that runs without Keras.

    Sequential and functional models are supported, nested and with branches, of the recurrent layers of Keras and of
    this package and of layers that act on each step. Dropout is removed. Weights are copied as float32: a program does
    not change when the model is trained further. Sequences are read without padding: masks of padding and of resets are
    removed from the inputs, and stateful layers start from their initial states. A removed input is recorded in
    `attributes["dropped_inputs"]`, and `attributes["masked"]` contains the names of the recurrences that read a mask of
    steps.

    Args:
        model: The model, built.
        batch_size: Batch size of the program, or None for any.

    Raises:
        ValueError: If a layer is not supported; the message names it and the reason. If a weight is not finite.

    >>> from deeprnn_keras import LanguageModel, lower
    >>> program = lower(LanguageModel("abc", units=4, num_layers=2, name="small"))
    >>> print(program)
    small: 287 weights
    tokens              ids below 3
    one_hot             OneHot(tokens), width 3
    deep_rnn/forward_1  Recurrent(one_hot), width 4: cell=lstm
    deep_rnn/forward_2  Recurrent(deep_rnn/forward_1), width 4: cell=lstm
    head                Dense(deep_rnn/forward_2), width 3
    outputs: head
    """
    batch_size = checks.positive_int_or_none("batch_size", batch_size)
    if model_kind(model) is None:
        kind = type(model).__name__
        remedy = "a subclass with its own `call` is Python code" if hasattr(model, "layers") else "pass a model"
        raise ValueError(f"model must be a Sequential or functional Keras model, got {kind}; {remedy}")
    if not model.built:
        raise ValueError(f"model {model.name!r} must be built before it is lowered; begin it with keras.Input")
    b = Builder()
    outputs = _run_model(b, model, _input_values(b, model), prefix="")
    for value in outputs:
        if value.kind == "state":
            raise ValueError(
                f"model {model.name!r} returns {value.name}; lower a model without it: a program returns all final "
                "states besides its outputs"
            )
    attributes = dict(model.program_attributes()) if hasattr(model, "program_attributes") else {}
    if b.dropped_inputs:
        attributes["dropped_inputs"] = b.dropped_inputs
    if b.masked:
        attributes["masked"] = b.masked
    inputs = tuple(_complete(model, name, one) for name, one in b.inputs.items())
    names = tuple(value.name for value in outputs)
    return Program(model.name, inputs, tuple(b.operations), names, b.weights, attributes, batch_size)


def model_kind(model: KerasLayer) -> str | None:
    """Return "Sequential" or "Functional", or None for any other object."""
    for one in type(model).__mro__:
        if one.__name__ in MODEL_KINDS and is_of_keras(one):
            return one.__name__ if type(model).call is one.call else None  # pyright: ignore[reportAttributeAccessIssue]
    return None


# === Inputs ===


def _input_values(b: Builder, model: keras.Model) -> list[Value]:
    """Return the inputs of a model as values."""
    names = [_input_name(tensor.name, number, len(model.inputs)) for number, tensor in enumerate(model.inputs, start=1)]
    return [_input_value(b, model, b.unique(name), tensor) for name, tensor in zip(names, model.inputs, strict=True)]


def _input_name(name: str, number: int, count: int) -> str:
    if not AUTOMATIC_NAME.fullmatch(name):
        return name
    return "input" if count == 1 else f"input_{number}"


def _input_value(b: Builder, model: keras.Model, name: str, tensor: Any) -> Value:  # noqa: ANN401 - a KerasTensor
    shape = tuple(tensor.shape)
    if len(shape) == 1 or (len(shape) == 2 and tensor.dtype == "bool"):
        b.dropped_inputs.append(name)
        return Value(name, kind="mask")
    if len(shape) == 2:
        b.inputs[name] = None
        return Value(name, kind="ids")
    if len(shape) != 3 or shape[2] is None:
        raise ValueError(
            f"input {name!r} of model {model.name!r} must have shape (n, T, d), or (n, T) for ids, got {shape}"
        )
    b.inputs[name] = Input(name, shape[2])
    return Value(name, shape[2])


def _complete(model: keras.Model, name: str, one: Input | None) -> Input:
    if one is None:
        raise ValueError(
            f"input {name!r} of model {model.name!r} has shape (n, T), but no Embedding or OneHot layer reads it; "
            "features have shape (n, T, d)"
        )
    return one


# === Models ===


@rule(*MODEL_KINDS)
def _nested(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> list[Value]:
    return _run_model(b, layer, inputs, f"{name}/")


def _run_model(b: Builder, model: KerasLayer, inputs: list[Value], prefix: str) -> list[Value]:
    """Append the operations of a model and return its outputs."""
    if model_kind(model) == "Sequential":
        for layer in model.layers:
            inputs = b.apply(layer, inputs, f"{prefix}{layer.name}")
        return inputs
    values = {id(tensor): value for tensor, value in zip(model.inputs, inputs, strict=True)}
    for node in _compat.functional_nodes(model):
        arguments, options = replace_tensors(node.args, values), replace_tensors(node.kwargs, values)
        name = f"{prefix}{node.operation.name}"
        if _is_layer(node.operation):
            first = len(b.operations)
            results = b.apply(node.operation, _layer_inputs(node.operation, arguments, options), name)
            _record_mask(b, node.operation, options.get("mask"), first)
            results += _final_states(name, len(node.outputs) - len(results))
        else:
            constants = {key: value for key, value in options.items() if value is not None}
            results = layer_rules.apply_operation(b, node.operation, arguments, constants, name)
        values |= {id(tensor): value for tensor, value in zip(node.outputs, results, strict=True)}
    return [values[id(tensor)] for tensor in model.outputs]


def _record_mask(b: Builder, layer: KerasLayer, mask: Any, first: int) -> None:  # noqa: ANN401 - an argument of a call
    """Record the recurrences of a layer that reads a mask of steps, those from operation `first` on."""
    if isinstance(mask, Value) and model_kind(layer) is None:
        names = [one.name for one in b.operations[first:] if isinstance(one, Recurrence)]
        b.masked.setdefault(mask.name, []).extend(names)


def _final_states(name: str, count: int) -> list[Value]:
    """Return stand-ins for the final states of a layer, which later layers and the outputs must not read."""
    return [Value(f"{name}, final state {number}", kind="state") for number in range(1, count + 1)]


def _is_layer(operation: KerasLayer) -> bool:
    return hasattr(operation, "trainable_weights")


def replace_tensors(structure: Any, values: Mapping[int, Any]) -> Any:  # noqa: ANN401 - arguments of a call
    """Return arguments of a call with values in place of tensors; {id of a tensor: value}."""
    if isinstance(structure, Mapping):
        return {key: replace_tensors(one, values) for key, one in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(replace_tensors(one, values) for one in structure)
    return values.get(id(structure), structure)


def _layer_inputs(layer: KerasLayer, arguments: Sequence[Any], options: Mapping[str, Any]) -> list[Value]:
    """Return the inputs of the call of a supported layer; masks are left out, other arguments are refused."""
    supported_class(layer)
    bound = inspect.signature(layer.call).bind_partial(*arguments, **options).arguments
    bound |= bound.pop("kwargs", {})
    first = next(iter(bound))
    for name, value in bound.items():
        is_mask = name in ("mask", "reset_mask") and all(getattr(one, "kind", "mask") == "mask" for one in flat(value))
        if name == first or value is None or is_mask or (name == "training" and not value):
            continue
        if name == "initial_state":
            refuse(
                layer, "it is called with initial_state; a program starts from its initial states or from given ones"
            )
        refuse(layer, f"it is called with {name}={value!r}")
    values = list(flat(bound[first]))
    for value in values:
        if not isinstance(value, Value):
            refuse(layer, f"it reads a constant, {type(value).__name__}")
    return values  # pyright: ignore[reportReturnType]
