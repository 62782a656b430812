"""`Builder`: collects the operations and weights of a program; `Value` is a result of an operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np

from deeprnn_keras.equations.activations import ACTIVATIONS
from deeprnn_keras.equations.trace import explain, trace_function
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.operations import Input, Operation
from deeprnn_keras.program.refusal import refuse, refuse_class

KERAS_PACKAGES = ("keras", "deeprnn_keras")

KerasLayer: TypeAlias = Any
"""A layer of Keras or of this package."""


@dataclass(frozen=True)
class Value:
    """A tensor of the model during lowering.

    Attributes:
        name: Name of the value in the program.
        width: Number of features; 0 if it has none.
        kind: "sequence" (n, T, width), "vector" (n, width), "ids" (n, T), "mask" for a mask of steps or rows, or
            "state" for the final state of a layer, which is not a value of the program.
    """

    name: str
    width: int = 0
    kind: str = "sequence"

    @property
    def rank(self) -> int:
        """Rank of the tensor."""
        return 3 if self.kind == "sequence" else 2


Rule: TypeAlias = Callable[["Builder", KerasLayer, list[Value], str], Value | list[Value]]
"""Function (builder, layer, inputs, name) that appends the operations of a layer and returns its outputs."""

RuleType = TypeVar("RuleType", bound=Rule)

RULES: dict[str, Rule] = {}
"""{name of a class of Keras or of this package: rule}."""


def rule(*classes: str) -> Callable[[RuleType], RuleType]:
    """Return a decorator that registers a rule for layers of classes of Keras or of this package."""

    def register(function: RuleType) -> RuleType:
        RULES.update(dict.fromkeys(classes, function))
        return function

    return register


class Builder:
    """Operations, inputs, and weights of a program that is being made."""

    def __init__(self) -> None:
        self.inputs: dict[str, Input | None] = {}  # None: ids whose number is not known yet
        self.operations: list[Operation] = []
        self.weights: dict[str, np.ndarray] = {}
        self.dropped_inputs: list[str] = []
        self.masked: dict[str, list[str]] = {}  # {mask of steps: recurrences that read it}
        self._names: set[str] = set()
        self._weight_names: dict[int, str] = {}
        self._kept: list[object] = []  # so that the ids of variables stay unique

    # === Layers ===

    def apply(self, layer: KerasLayer, inputs: list[Value], name: str) -> list[Value]:
        """Append the operations of a layer and return its outputs."""
        kind = supported_class(layer)
        for value in inputs:
            _check_is_read(layer, value, may_read_ids=kind in (*READ_IDS, *PASS_THROUGH, *MODEL_KINDS))
        outputs = RULES[kind](self, layer, inputs, name)
        return outputs if isinstance(outputs, list) else [outputs]

    # === Operations ===

    def unique(self, name: str) -> str:
        """Return a name that no value has, `name` or `name` with a number."""
        candidates = (name, *(f"{name}_{number}" for number in range(2, len(self._names) + 3)))
        free = next(one for one in candidates if one not in self._names)
        self._names.add(free)
        return free

    def append(self, kind: type[Operation], name: str, inputs: Sequence[Value], width: int, **options: Any) -> Value:
        """Append an operation and return its value, of the same kind as its inputs."""
        name = self.unique(name)
        self.operations.append(kind(name, tuple(one.name for one in inputs), width, **options))
        return Value(name, width, inputs[0].kind if inputs[0].kind != "ids" else "sequence")

    def last(self, value: Value, name: str) -> Value:
        """Append the selection of the last step."""
        return replace(self.append(op.Last, name, [value], value.width), kind="vector")

    def reverse(self, value: Value, name: str) -> Value:
        """Append the reversal of the steps."""
        return self.append(op.Reverse, name, [value], value.width)

    def concatenate(self, values: Sequence[Value], name: str) -> Value:
        """Append a concatenation, or return the only value."""
        if len(values) == 1:
            return values[0]
        return self.append(op.Concatenate, name, values, sum(value.width for value in values))

    def add(self, layer: KerasLayer, values: Sequence[Value], name: str) -> Value:
        """Append a sum, or return the only value."""
        if len(values) == 1:
            return values[0]
        self.check_same(layer, values, widths=True)
        return self.append(op.Add, name, values, values[0].width)

    def check_same(self, layer: KerasLayer, values: Sequence[Value], widths: bool) -> None:
        """Refuse a layer that combines values of different ranks or, if `widths`, widths."""
        shapes = {(value.kind, value.width if widths else 0) for value in values}
        if len(shapes) > 1:
            given = ", ".join(f"{value.name!r} ({value.kind}, width {value.width})" for value in values)
            refuse(layer, f"its inputs must have equal shapes, got {given}")

    def elementwise(self, layer: KerasLayer, value: Value, name: str, function: Any) -> Value:  # noqa: ANN401
        """Append a function of each feature, a name in `ACTIVATIONS` or a function composed of primitives."""
        try:
            instructions = trace_function(function, value.width)
        except Exception as error:  # a user-defined function may raise any
            refuse(layer, f"its function is not composed of primitives: {explain(error)}")
        if not instructions.instructions:
            return value
        return self.append(op.Elementwise, name, [value], value.width, function=instructions)

    def activation(self, layer: KerasLayer, value: Value, name: str, function: Any) -> Value:  # noqa: ANN401
        """Append an activation: a function, a layer, or None."""
        if function is None:
            return value
        if hasattr(function, "trainable_weights"):  # a layer, as in Dense(activation=LeakyReLU())
            return self.apply(function, [value], f"{name}/{function.name}")[0]
        known = keras_function_name(function)
        if known in ("softmax", "log_softmax"):
            return self.append(op.Softmax, f"{name}/{known}", [value], value.width, logarithm=known == "log_softmax")
        if known is not None and known not in ACTIVATIONS:
            supported = ", ".join([*ACTIVATIONS, "softmax", "log_softmax"])
            refuse(layer, f"activation {known!r} is not composed of primitives; supported are {supported}")
        return self.elementwise(layer, value, f"{name}/{known or 'activation'}", known or function)

    def read_ids(self, layer: KerasLayer, value: Value, size: int) -> None:
        """Set the number of ids of an input."""
        if value.kind != "ids":
            refuse(layer, f"it must read ids (n, T), an input of the model, got {value.name!r} ({value.kind})")
        known = self.inputs[value.name]
        if known is not None and known.width != size:
            refuse(
                layer, f"it reads ids below {size} from {value.name!r}, which another layer reads below {known.width}"
            )
        self.inputs[value.name] = Input(value.name, size, ids=True)

    # === Weights ===

    def weight(self, layer: KerasLayer, attribute: str) -> str | None:
        """Add a weight of a layer under Keras' path and return its name; None if the layer does not have it."""
        value = getattr(layer, attribute, None)
        if value is None:
            return None
        if not hasattr(value, "path"):  # computed from several variables, as with LoRA
            return self.array(f"{layer.path}/{attribute}", as_array(value))
        return self.variable(value)

    def variable(self, variable: Any) -> str:  # noqa: ANN401 - a Keras variable
        """Add a variable under Keras' path, once, and return its name."""
        if id(variable) not in self._weight_names:
            self._kept.append(variable)
            self._weight_names[id(variable)] = self.array(variable.path, as_array(variable))
        return self._weight_names[id(variable)]

    def array(self, name: str, array: Any) -> str:  # noqa: ANN401 - an array or a number
        """Add an array as float32 under a name, with a number if the name is taken, and return its name.

        Raises:
            ValueError: If it is not finite.
        """
        array = np.asarray(array, np.float32)
        if not np.isfinite(array).all():
            raise ValueError(f"weight {name!r} must be finite, got NaN or infinity; load weights of an earlier epoch")
        names = (name, *(f"{name}_{number}" for number in range(2, len(self.weights) + 3)))
        free = next(one for one in names if one not in self.weights)
        self.weights[free] = array
        return free


MODEL_KINDS = ("Sequential", "Functional")
"""Classes of models, which can be layers of another model."""

READ_IDS = ("Embedding", "DropoutEmbedding", "OneHot")
"""Classes of layers that read ids."""

PASS_THROUGH = (
    *("Dropout", "SpatialDropout1D", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
    *("ActivityRegularization", "Identity", "BlankPadding"),
)
"""Classes of layers that return their input when they do not train."""


def supported_class(layer: KerasLayer) -> str:
    """Return the name of the class by which a layer is lowered.

    Raises:
        ValueError: If its class is not supported.
    """
    found = next((one for one in type(layer).__mro__ if one.__name__ in RULES and is_of_keras(one)), None)
    if found is None:
        refuse_class(layer, ", ".join(sorted(RULES)))
    if type(layer).call is not found.call:  # pyright: ignore[reportAttributeAccessIssue] - a class of layers
        refuse(layer, f"its class overrides `call` of {found.__name__}, and Python code has no operations")
    if getattr(layer, "quantization_mode", None):
        refuse(layer, f"its weights are quantized to {layer.quantization_mode}; lower the model before quantizing")
    return found.__name__


def _check_is_read(layer: KerasLayer, value: Value, may_read_ids: bool) -> None:
    if value.kind in ("mask", "state"):
        what = "a mask" if value.kind == "mask" else "a final state, which is not a value of a program"
        refuse(layer, f"it reads {value.name!r}, {what}")
    if value.kind == "ids" and not may_read_ids:
        refuse(layer, f"it reads ids (n, T), {value.name!r}; only Embedding and OneHot do")


def is_of_keras(one: type) -> bool:
    """Return True for a class of Keras or of this package."""
    return one.__module__.partition(".")[0] in KERAS_PACKAGES


def keras_function_name(function: Any) -> str | None:  # noqa: ANN401 - a function
    """Return the name of a function of Keras, or None for any other function."""
    module = getattr(function, "__module__", None) or ""
    return function.__name__ if module.partition(".")[0] == "keras" and hasattr(function, "__name__") else None


def as_array(value: Any) -> np.ndarray:  # noqa: ANN401 - a variable or tensor of the Keras backend
    """Return a variable or tensor of Keras as an array; the only place where weights are read."""
    from keras import ops

    return np.asarray(ops.convert_to_numpy(value)).astype(np.float32)


def flat(structure: object) -> Iterable[object]:
    """Yield the leaves of nested lists, tuples, and dictionaries, dictionaries sorted by key as in Keras."""
    if isinstance(structure, dict):
        for key in sorted(structure):
            yield from flat(structure[key])
    elif isinstance(structure, (list, tuple)):
        for one in structure:
            yield from flat(one)
    else:
        yield structure
