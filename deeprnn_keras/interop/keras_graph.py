"""Models built from the plans of `keras_config`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from deeprnn_keras import _compat, checks
from deeprnn_keras._types import Layer, Nested, Tensor
from deeprnn_keras.interop.keras2_layers import TimeMajor
from deeprnn_keras.interop.keras_config import CONSTANT, Call, LayerPlan, ModelPlan, is_reference

KERAS_TENSOR = "__keras_tensor__"  # class by which Keras 3 encodes references to outputs


@dataclass(frozen=True)
class BuiltModel:
    """Model built from a plan.

    Attributes:
        model: The model.
        layers: Its layers by name, in the order of the file; those without weights included.
        nested: Built models by the identity of nested models, in the order of the file.
        without_bias: Identities of the cells that have a bias, although those of the file have none.
    """

    model: keras.Model
    layers: dict[str, Layer]
    nested: dict[int, BuiltModel] = field(default_factory=dict)
    without_bias: set[int] = field(default_factory=set)


class _UnknownYetError(Exception):
    """A call refers to an output of a call that has not been built."""


def build_model(plan: ModelPlan, stateful: bool = True) -> BuiltModel:
    """Build the model of a plan.

    Args:
        plan: The plan.
        stateful: False to build stateful layers without state, for which only the shapes of the weights are of use.

    Raises:
        ValueError: If a layer rejects its arguments or its input, or the calls do not form a graph. The message names
            the layer.
    """
    _compat.reserve_names(_names(plan))
    built = _Builder(stateful).model(plan)
    if not built.model.built:
        raise ValueError(
            f"model {plan.name!r}: the shape of its input is not in the file; build the model with an input shape, and "
            "pass it as into="
        )
    return built


def _names(plan: ModelPlan) -> Iterator[str]:
    for layer in plan.layers:
        yield layer.name
        if layer.model is not None:
            yield from _names(layer.model)


class _Builder:
    """Builder of one model and of the models nested in it."""

    def __init__(self, stateful: bool) -> None:
        self.stateful = stateful
        self.nested: dict[int, BuiltModel] = {}
        self.without_bias: set[int] = set()

    def model(self, plan: ModelPlan) -> BuiltModel:
        names = [layer.name for layer in plan.layers]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise ValueError(f"model {plan.name!r} has several layers with the same name: {sorted(repeated)}")
        built = self._sequential(plan) if plan.sequential else self._functional(plan)
        self.nested[id(built.model)] = built
        return built

    def _sequential(self, plan: ModelPlan) -> BuiltModel:
        model = keras.Sequential(name=plan.name)
        layers: dict[str, Layer] = {}
        for index, layer in enumerate(plan.layers):
            with _named(layer):
                if index == 0:
                    self._add_input(model, plan, layer)
                if layer.layer_class is not keras.layers.InputLayer:
                    layers[layer.name] = self.layer(layer)
                    model.add(layers[layer.name])
        return BuiltModel(model, layers, self.nested, self.without_bias)

    def _add_input(self, model: keras.Sequential, plan: ModelPlan, first: LayerPlan) -> None:
        if first.layer_class is keras.layers.InputLayer:
            model.add(_input(first))
            return
        batch_shape = first.batch_shape or plan.batch_shape
        if batch_shape is not None:
            dtype = first.config.get("dtype")
            dtype = dtype if isinstance(dtype, str) and "_" not in dtype else "float32"
            model.add(keras.Input(batch_shape=batch_shape, dtype=dtype, name=f"{first.name}_input"))

    def _functional(self, plan: ModelPlan) -> BuiltModel:
        layers = {layer.name: self._unless_input(layer) for layer in plan.layers}
        graph = _Graph(plan)
        pending = [(layer, call) for layer in plan.layers for call in plan.calls[layer.name]]
        for layer in plan.layers:
            if layer.layer_class is keras.layers.InputLayer:
                graph.outputs[layer.name].append([layers[layer.name]])
                pending = [one for one in pending if one[0] is not layer]
        while pending:
            left = [one for one in pending if not graph.add(one[0], layers[one[0].name], one[1])]
            if len(left) == len(pending):
                names = sorted({layer.name for layer, _ in left})
                raise ValueError(f"model {plan.name!r}: the inputs of the layers {names} are not outputs of its layers")
            pending = left
        model = keras.Model(_single(graph.tensors(plan.inputs)), _single(graph.tensors(plan.outputs)), name=plan.name)
        layers = {
            layer.name: layers[layer.name] for layer in plan.layers if layer.layer_class is not keras.layers.InputLayer
        }
        return BuiltModel(model, layers, self.nested, self.without_bias)

    def _unless_input(self, plan: LayerPlan) -> Layer | Tensor:
        with _named(plan):
            return _input(plan) if plan.layer_class is keras.layers.InputLayer else self.layer(plan)

    def layer(self, plan: LayerPlan) -> Layer:
        """Return the layer of a plan."""
        if plan.time_major:
            return TimeMajor(self.layer(_batch_major(plan)), name=plan.name)
        if plan.model is not None:
            return self.model(plan.model).model
        config = dict(plan.config)
        if not self.stateful and config.get("stateful"):
            config["stateful"] = False
        children = {key: self._children(child) for key, child in plan.children.items()}
        layer_class: Any = plan.layer_class
        layer = layer_class(**config, **children) if children else layer_class.from_config(config)
        if not plan.has_bias:
            self.without_bias.add(id(layer))
        return layer

    def _children(self, child: LayerPlan | list[LayerPlan]) -> Layer | list[Layer]:
        return [self.layer(one) for one in child] if isinstance(child, list) else self.layer(child)


class _Graph:
    """Outputs of the calls in a functional model."""

    def __init__(self, plan: ModelPlan) -> None:
        self.outputs: dict[str, list[list[Tensor]]] = {layer.name: [] for layer in plan.layers}
        self.first_call = dict.fromkeys(self.outputs, 1)
        for name, index, _ in self._references([plan.inputs, plan.outputs, *map(_arguments, _all_calls(plan))]):
            # Keras 2 counts the calls of nested models from 1, since building such a model is a call, too
            self.first_call[name] = min(self.first_call[name], index)

    def add(self, plan: LayerPlan, layer: Layer, call: Call) -> bool:
        """Call a layer, and return True; False if an input does not exist yet."""
        try:
            args, kwargs = self.tensors(call.args), self.tensors(call.kwargs)
        except _UnknownYetError:
            return False
        with _named(plan):
            result = call_layer(layer, args, kwargs)
        self.outputs[plan.name].append(keras.tree.flatten(result))
        return True

    def tensors(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        """Return a structure with tensors in place of references.

        Raises:
            ValueError: If a layer does not exist.
        """
        reference = self._reference(value)
        if reference is not None:
            return self._tensor(*reference)
        if is_reference(value) and value[0] == CONSTANT:
            return np.asarray(value[2])
        if isinstance(value, dict):
            return {key: self.tensors(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.tensors(one) for one in value]
        return value

    def _tensor(self, name: str, index: int, output: int) -> Tensor:
        index -= self.first_call[name]
        outputs = self.outputs[name]
        if not 0 <= index < len(outputs):
            raise _UnknownYetError
        if not 0 <= output < len(outputs[index]):
            raise ValueError(f"layer {name!r} has {len(outputs[index])} outputs, but output {output} is used")
        return outputs[index][output]

    def _reference(self, value: Any) -> tuple[str, int, int] | None:  # noqa: ANN401 - JSON
        """Return (name of the layer, number of the call, number of the output) for a reference, else None."""
        if isinstance(value, dict) and value.get("class_name") == KERAS_TENSOR:
            history = value["config"]["keras_history"]
        elif is_reference(value) and value[0] != CONSTANT:
            history = value[:3]
        else:
            return None
        if history[0] not in self.outputs:
            raise ValueError(f"there is no layer {history[0]!r}{checks.suggestion(history[0], self.outputs)}")
        return history[0], int(history[1]), int(history[2])

    def _references(self, value: Any) -> Iterator[tuple[str, int, int]]:  # noqa: ANN401 - JSON
        reference = self._reference(value)
        if reference is not None:
            yield reference
        elif isinstance(value, (dict, list, tuple)):
            for one in value.values() if isinstance(value, dict) else value:
                yield from self._references(one)


def call_layer(layer: Layer, args: list[Nested], kwargs: dict[str, Any]) -> Nested:
    """Call a layer as Keras 2 does: the input of a recurrent layer may be a list of sequences and initial states."""
    kwargs = {key: value for key, value in kwargs.items() if value is not None}
    if _is_recurrent(layer) and len(args) == 1 and isinstance(args[0], list):
        sequences, *states = args[0]
        if states:
            kwargs["initial_state"] = states
        args = [sequences]
    if "initial_state" in kwargs:
        kwargs["initial_state"] = _structured(layer, keras.tree.flatten(kwargs["initial_state"]))
    return layer(*args, **kwargs)


def _is_recurrent(layer: Layer) -> bool:
    return isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional, TimeMajor))


def _structured(layer: Layer, states: list[Tensor]) -> Nested:
    """Return initial states in the structure of the layer's states: those of stacked cells are nested."""
    inner = layer.layer if isinstance(layer, TimeMajor) else layer
    state_size = getattr(inner, "state_size", None)
    if isinstance(state_size, (list, tuple)) and any(map(keras.tree.is_nested, state_size)):
        return keras.tree.pack_sequence_as(state_size, states)
    return states


def _input(plan: LayerPlan) -> Tensor:
    config = plan.config
    if config.get("batch_shape") is None:
        raise ValueError("the shape of the input is not in the file")
    return keras.Input(
        batch_shape=config["batch_shape"],
        dtype=config.get("dtype"),
        sparse=config.get("sparse") or None,
        name=plan.name,
    )


def _batch_major(plan: LayerPlan) -> LayerPlan:
    children = {
        key: replace(child, time_major=False) if isinstance(child, LayerPlan) else child
        for key, child in plan.children.items()
    }
    return replace(plan, time_major=False, children=children)


def _single(tensors: Nested) -> Nested:
    """Return the tensor in a list of one, since Keras 2 does not distinguish the two."""
    return tensors[0] if isinstance(tensors, list) and len(tensors) == 1 else tensors


def _all_calls(plan: ModelPlan) -> Iterator[Call]:
    for calls in plan.calls.values():
        yield from calls


def _arguments(call: Call) -> list[Any]:
    return [call.args, call.kwargs]


@contextmanager
def _named(plan: LayerPlan) -> Iterator[None]:
    """Name the layer in the errors that its class raises."""
    try:
        yield
    except Exception as error:  # Keras and TensorFlow raise errors of many classes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        if reason.startswith("layer "):
            raise
        raise ValueError(f"{plan.label}: {reason}") from error
