"""`convert`: a Keras model with its recurrent layers replaced by those of this package, or by those of Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from deeprnn_keras import _compat, checks
from deeprnn_keras._compat import FunctionalNode
from deeprnn_keras._types import Layer, Nested
from deeprnn_keras.interop.conversion.copies import (
    copy_carried_states,
    copy_compilation,
    copy_operation,
    copy_state,
    copy_weights,
)
from deeprnn_keras.interop.conversion.equality import require_equal, require_equal_models
from deeprnn_keras.interop.conversion.graph import Graph, model_graph
from deeprnn_keras.interop.conversion.report import ConversionReport, Replacement
from deeprnn_keras.interop.conversion.substitution import Direction, KeptError, Substitute, layers_inside
from deeprnn_keras.interop.conversion.to_deeprnn import ToDeepRNN
from deeprnn_keras.interop.conversion.to_keras import ToKeras
from deeprnn_keras.interop.keras2_layers import TimeMajor
from deeprnn_keras.layers import DeepRNN
from deeprnn_keras.layers.tied_head import TiedHead
from deeprnn_keras.program.lowering import model_kind, replace_tensors

DIRECTIONS: dict[str, type[Direction]] = {one.to: one for one in (ToDeepRNN, ToKeras)}
WRAPPERS = (keras.layers.TimeDistributed, TimeMajor)
IN_PYTHON = "its class {} calls recurrent layers in Python code; replace them there"


def convert(model: keras.Model, to: str = "deeprnn_keras", *, x: Nested = None) -> keras.Model:
    """Return a model with its recurrent layers replaced with equivalent ones of this package, or of `keras.layers`.

    Each LSTM, GRU, SimpleRNN, and RNN of `keras.layers` becomes the drop-in of this package, also inside
    `Bidirectional`, `TimeDistributed`, and nested models. Stacked layers that are equivalent to one `DeepRNN`, also
    with dropout layers of the same rate between them, and an `RNN` of `StackedRNNCells` become a `DeepRNN`, which runs
    in a single call. `to="keras"` converts back. The model itself does not change; the weights are copied.

    Equality is verified before the model is returned: the replaced layers and the whole models are compared on random
    inputs, the layers also with masks. `model.conversion_report` of the new model contains the replacements with their
    errors, each recurrent layer that was not replaced with the reason, and whether the state of the optimizer was
    copied.

    Args:
        model: A built Sequential or functional model. A part of it whose class overrides `call` is copied without a
            change.
        to: "deeprnn_keras" or "keras".
        x: Inputs on which the models are compared. Defaults to random ones, which models of text do not support.

    Returns:
        A Sequential or functional model. It is compiled if `model` is, and has the states that `model` carries.

    Raises:
        ValueError: If `model` is not a built Sequential or functional model, or does not run on random inputs. If the
            outputs differ.

    >>> import keras
    >>> from deeprnn_keras import convert
    >>> layers = [keras.layers.LSTM(8, return_sequences=True), keras.layers.LSTM(8), keras.layers.Dense(1)]
    >>> model = keras.Sequential([keras.Input((None, 3)), *layers], name="sensor")
    >>> ours = convert(model)
    >>> [type(layer).__name__ for layer in ours.layers]
    ['DeepRNN', 'Dense']
    >>> [type(layer).__name__ for layer in convert(ours, to="keras").layers]
    ['LSTM', 'LSTM', 'Dense']
    """
    direction = DIRECTIONS[checks.one_of("to", to, DIRECTIONS)]()
    _check_model(model)
    converter = Converter(direction)
    converted = converter.convert(model)
    return converter.finish(model, converted, x)


def _check_model(model: Any) -> None:  # noqa: ANN401 - an argument
    if not isinstance(model, keras.Model):
        remedy = "; use interop.to_keras for a layer" if isinstance(model, keras.layers.Layer) else ""
        raise ValueError(f"model must be a Keras model, got {type(model).__name__}{remedy}")
    if model_kind(model) is None:
        raise ValueError(
            f"model must be a Sequential or functional Keras model, got {type(model).__name__}, whose `call` is Python "
            "code; use deeprnn_keras.LSTM in it instead of keras.layers.LSTM, which has the same arguments and weights"
        )
    if not model.built or not hasattr(model, "inputs"):
        raise ValueError(f"model {model.name!r} must be built before it is converted; begin it with keras.Input")


@dataclass(frozen=True)
class Group:
    """Calls of a model, and what is called in their place.

    Attributes:
        calls: The calls; each reads the output of the one before.
        substitute: Layer or model that is called in their place.
    """

    calls: Sequence[FunctionalNode]
    substitute: Substitute


class Converter:
    """Construction of a model with substitutes for layers of another one.

    Args:
        direction: Rules of the conversion.
    """

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._replaced: list[tuple[str, Substitute]] = []  # with the path of the model that contains them
        self._copied: list[tuple[Layer, Layer]] = []
        self._kept: dict[str, str] = {}
        self._notes: list[str] = []
        self._known: dict[int, Substitute] = {}  # {id of a layer: its substitute}, for layers with several calls

    # === Models ===

    def convert(self, model: keras.Model, path: str = "") -> keras.Model:
        """Return a model with the structure of a Sequential or functional model, whose weights are not copied yet."""
        kind = _kept_class(model)
        if kind is not type(model) and not self._concerns_any(model):
            copy, reason = copy_operation(model)
            if reason is None:
                self._copied.append((model, copy))
                return copy
        _compat.reserve_names(layer.name for layer in layers_inside(model))
        graph = model_graph(model)
        groups = self._groups(graph, path)
        if kind is not type(model):
            self._notes.append(
                f"Model {model.name!r} is no longer a {type(model).__name__}, whose constructor has other arguments."
            )
        if model_kind(model) == "Sequential" and all(group.substitute.call is None for group in groups):
            layers = [layer for group in groups for layer in group.substitute.layers]
            converted = kind([_input(model, 0), *layers], name=model.name)
        else:
            converted = _functional(model, graph, groups, keras.Model if model_kind(model) == "Sequential" else kind)
        _freeze_like(model, converted)
        return converted

    def _groups(self, graph: Graph, path: str) -> list[Group]:
        chains = {id(calls[0]): (calls, make) for calls, make in self._direction.chains(graph)}
        in_chains = {id(call) for calls, _ in chains.values() for call in calls}
        groups: list[Group] = []
        for call in graph.calls:
            if id(call) in chains:
                calls, make = chains[id(call)]
                groups.append(Group(calls, self._replacement(make(), path)))
            elif id(call) not in in_chains:
                groups.append(Group([call], self._operation(call.operation, graph.calls_of(call.operation), path)))
        return groups

    # === Layers ===

    def _operation(self, operation: Layer, calls: Sequence[FunctionalNode], path: str) -> Substitute:
        """Return the substitute of a layer or operation: the same one for each of its calls."""
        if id(operation) not in self._known:
            self._known[id(operation)] = self._new_substitute(operation, calls, path)
        return self._known[id(operation)]

    def _new_substitute(self, operation: Layer, calls: Sequence[FunctionalNode], path: str) -> Substitute:
        name = f"{path}{operation.name}"
        if model_kind(operation) is not None and self._concerns_any(operation):
            return Substitute((operation,), (self.convert(operation, f"{name}/"),))
        if type(operation) in WRAPPERS and self._concerns_any(operation):
            return self._wrapper(operation, name)
        try:
            substitute = self._direction.substitute(operation, calls)
        except KeptError as reason:
            self._kept[name] = str(reason)
            return self._copy(operation, name)
        if substitute is not None:
            return self._replacement(substitute, path)
        if isinstance(operation, keras.layers.Layer) and self._concerns_any(operation):
            self._kept[name] = IN_PYTHON.format(type(operation).__name__)
        return self._copy(operation, name)

    def _concerns_any(self, layer: Layer) -> bool:
        return any(map(self._direction.concerns, layers_inside(layer)))

    def _wrapper(self, layer: keras.layers.Wrapper, name: str) -> Substitute:
        inner = self._operation(layer.layer, (), f"{name}/")
        new_layer, *others = inner.layers
        if inner.call is not None or others:
            self._kept[name] = "the layer inside has no counterpart that is a single layer"
            self._replaced = [(path, one) for path, one in self._replaced if one is not inner]
            return self._copy(layer, name)
        options = {"dtype": layer.dtype_policy, "trainable": layer.trainable, "name": layer.name}
        return Substitute((layer,), (type(layer)(new_layer, **options),))

    def _replacement(self, substitute: Substitute, path: str) -> Substitute:
        self._replaced.append((path, substitute))
        return substitute

    def _copy(self, operation: Layer, name: str) -> Substitute:
        embedding = self._known.get(id(getattr(operation, "embedding", None)))
        if isinstance(operation, TiedHead) and embedding is not None:
            copy, reason = operation.copy_for(embedding.layers[0]), None
        else:
            copy, reason = copy_operation(operation)
        if reason is not None:
            self._notes.append(f"Layer {name!r} is shared with the original model: {reason}.")
        elif isinstance(operation, keras.layers.Layer):
            self._copied.append((operation, copy))
        return Substitute((operation,), (copy,))

    # === Weights, proof, report ===

    def finish(self, model: keras.Model, converted: keras.Model, x: Nested) -> keras.Model:
        """Copy weights and states to a converted model, prove that it is equal, and attach the report.

        Args:
            model: The original.
            converted: The result of `convert`.
            x: Inputs for the comparison, or None for random ones.
        """
        variables: dict[int, keras.Variable] = {}
        for source, copy in self._copied:
            variables |= copy_state(source, copy)
        for _, substitute in self._replaced:
            variables |= copy_weights(substitute)
            _copy_trainable(substitute)
        replaced = [_row(path, substitute, require_equal(substitute)) for path, substitute in self._replaced]
        error = require_equal_models(model, converted, x)
        notes = [*self._notes, copy_carried_states(model, converted), copy_compilation(model, converted, variables)]
        notes = tuple(note for note in notes if note is not None)
        report = ConversionReport(model.name, self._direction.to, tuple(replaced), self._kept, error, notes)
        converted.conversion_report = report  # pyright: ignore[reportAttributeAccessIssue] - an attribute of our own
        return converted


def _freeze_like(model: keras.Model, converted: keras.Model) -> None:
    """Freeze a new model if another one is frozen, without a change to the layers inside."""
    if model.trainable:
        return
    inside = layers_inside(converted)[1:]
    flags = [layer.trainable for layer in inside]
    converted.trainable = False
    for layer, flag in zip(inside, flags, strict=True):  # outermost first: an assignment is propagated
        layer.trainable = flag


def _copy_trainable(substitute: Substitute) -> None:
    """Copy `trainable` of a layer, and of the layers inside it, to a drop-in; a `DeepRNN` is created with it."""
    (source, *others), (target, *more) = substitute.sources, substitute.layers
    if others or more or isinstance(source, DeepRNN) or isinstance(target, DeepRNN):
        return
    for one, other in zip(layers_inside(source), layers_inside(target), strict=True):
        other.trainable = one.trainable


def _row(path: str, substitute: Substitute, error: float) -> Replacement:
    before, after = (
        tuple(f"{path}{_described(layer)}" for layer in layers) for layers in (substitute.sources, substitute.layers)
    )
    return Replacement(before, after, error)


def _described(layer: Layer) -> str:
    kind = type(layer).__name__
    if isinstance(layer, DeepRNN):
        kind += f", {layer.num_layers} layer{'s' if layer.num_layers > 1 else ''}"
    elif isinstance(layer, keras.layers.Bidirectional):
        kind += f" {type(layer.forward_layer).__name__}"
    return f"{layer.name} ({kind})"


# === Construction of models ===


def _kept_class(model: keras.Model) -> type:
    """Return the class of a model if its constructor is that of Keras, else `keras.Sequential` or `keras.Model`."""
    stock = next(one for one in type(model).__mro__ if one.__name__ == model_kind(model))
    if type(model).__init__ is stock.__init__:
        return type(model)
    return keras.Sequential if stock is keras.Sequential else keras.Model


def _input(model: keras.Model, number: int) -> Any:  # noqa: ANN401 - a KerasTensor
    """Return a new input like an input of a model."""
    tensor = model.inputs[number]
    layers = keras.Model.layers.fget(model)  # pyright: ignore[reportAttributeAccessIssue] - `Sequential` omits inputs
    inputs = [layer for layer in layers if isinstance(layer, keras.layers.InputLayer)]
    optional = any(layer.optional for layer in inputs if layer.output is tensor)
    return keras.Input(
        batch_shape=tensor.shape, dtype=tensor.dtype, sparse=tensor.sparse, name=tensor.name, optional=optional
    )


def _functional(model: keras.Model, graph: Graph, groups: Sequence[Group], kind: type) -> keras.Model:
    """Return a functional model that calls the substitutes of groups of calls."""
    inputs = [_input(model, number) for number in range(len(model.inputs))]
    tensors: dict[int, Any] = {id(old): new for old, new in zip(graph.inputs, inputs, strict=True)}
    for group in groups:
        first, last = group.calls[0], group.calls[-1]
        result = group.substitute(*replace_tensors(first.args, tensors), **replace_tensors(first.kwargs, tensors))
        tensors |= _bound(last.outputs, result)
    outputs = [tensors[id(tensor)] for tensor in graph.outputs]
    if model_kind(model) == "Sequential":
        return kind(inputs[0], outputs[0], name=model.name)
    structures = [keras.tree.pack_sequence_as(*pair) for pair in ((model.input, inputs), (model.output, outputs))]
    return kind(*structures, name=model.name)


def _bound(outputs: Sequence[object], result: Nested) -> dict[int, Any]:
    """Return {id of a tensor of the original: tensor of the new model} for the results of a call."""
    flat = keras.tree.flatten(result)
    if len(outputs) == 1:  # of a Sequential model, where an object stands in for all results
        return {id(outputs[0]): flat[0] if len(flat) == 1 else result}
    return {id(old): new for old, new in zip(outputs, flat, strict=True)}
