"""`make_plan`: the plan of a Keras model from an ONNX graph, node by node.

A graph does not tell which axis of an input is time and which is the batch. Its recurrent nodes do: a plan is first
made for inputs (n, T, d) and, if a recurrent node reads them in the other order, for inputs (T, n, d).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from deeprnn_keras.interop.onnx_file import interpreter
from deeprnn_keras.interop.onnx_file.plan import Plan, Step, Weight
from deeprnn_keras.interop.onnx_file.simplification import simplify
from deeprnn_keras.interop.onnx_file.stored import Graph, GraphInput, Node, is_float
from deeprnn_keras.interop.onnx_file.values import (
    Axes,
    Constant,
    Filled,
    Pieces,
    Sizes,
    Tensor,
    Unavailable,
    Value,
)

Result: TypeAlias = "Value | list[Value]"
Rule: TypeAlias = "Callable[[Planner, Node, list[Value | None]], Result]"

RULES: dict[str, Rule] = {}
"""{operator: function of (planner, node, inputs) that returns its results}; see `rule`."""

BATCH_MAJOR: Axes = ("n", "T", "f")
TIME_MAJOR: Axes = ("T", "n", "f")
KEEPS_ELEMENTS = {"Cast", "Expand", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
"""Operators whose results contain elements of their first input only."""


class OrderError(ValueError):
    """A recurrent node reads a value whose first two axes are exchanged."""


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Register the function of operators."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, function))
        return function

    return register


def make_plan(graph: Graph) -> Plan:
    """Return the plan of a graph.

    Raises:
        ValueError: If an operator, or the way in which it is used, is not supported. Tensors that do not fit are not
            raised, but recorded in the plan.
    """
    from deeprnn_keras.interop.onnx_file import rules  # noqa: F401 - registers the rules

    try:
        return Planner(graph, BATCH_MAJOR).plan_graph()
    except OrderError as error:
        try:
            return Planner(graph, TIME_MAJOR).plan_graph()
        except OrderError:
            raise ValueError(str(error)) from None


class Planner:
    """Plan of a graph that is being made.

    Args:
        graph: The graph.
        order: Axes of its inputs.

    Attributes:
        graph: The graph.
        plan: The plan.
        values: {name: what is known of the value}.
        readers: {name: number of nodes and outputs that read the value}.
    """

    def __init__(self, graph: Graph, order: Axes) -> None:
        self.graph, self.order, self.plan = graph, order, Plan()
        self.values: dict[str, Value] = {}
        self.readers = Counter(name for node in graph.nodes for name in node.inputs) + Counter(graph.outputs)

    def plan_graph(self) -> Plan:
        """Return the plan; without steps if values are missing other than the weights of recurrences."""
        self.plan.unused = tuple(sorted(name for name in self.graph.constants if not self.readers[name]))
        missing = self._missing()
        if missing:
            self.plan.problems.missing += missing
            return self.plan
        for one in self.graph.inputs:
            if self.readers[one.name]:
                self.values[one.name] = self._input(one)
            else:
                self.plan.notes.append(f"Input {one.name!r} is not read by any node.")
        for node in self.graph.nodes:
            self._node(node)
        self._outputs()
        simplify(self.plan)
        return self.plan

    def _missing(self) -> list[str]:
        """Return the values that nothing in the file provides; none if all of them are weights of recurrences.

        Without those, the plan can be completed, so that misshaped tensors are found, too.
        """
        provided = {one.name for one in self.graph.inputs} | set(self.graph.constants) | {""}
        provided.update(name for node in self.graph.nodes for name in node.outputs)
        absent = {
            name: (str(node), node.operator in interpreter.STEPS and index in (1, 2, 3))
            for node in self.graph.nodes
            for index, name in enumerate(node.inputs)
            if name not in provided
        }
        absent |= {name: ("the outputs", False) for name in self.graph.outputs if name not in provided}
        if all(is_weight for _, is_weight in absent.values()):
            return []
        return [f"{name}, read by {reader}" for name, (reader, _) in absent.items()]

    # === Inputs and outputs ===

    def _input(self, one: GraphInput) -> Value:
        rank = None if one.shape is None else len(one.shape)
        if rank == 3 and is_float(one.dtype) and one.shape is not None:
            width = one.shape[2]
            if not width:
                raise ValueError(f"input {one.name!r} must have a fixed number of features, got {_text(one.shape)}")
            axes = self.order
        elif rank == 2 and one.dtype in ("int32", "int64"):
            width, axes = None, self.order[:2]
        elif self._is_state(one):
            return Unavailable(f"the input {one.name!r}")
        else:
            raise ValueError(
                f"input {one.name!r} is {one.dtype} {_text(one.shape)}; supported are features (n, T, d) or (T, n, d) "
                "of a floating-point type and ids (n, T) or (T, n)"
            )
        self.plan.fixed |= {axis: size for axis, size in zip(axes[:2], one.shape or (), strict=False) if size}
        self.plan.inputs[one.name] = axes
        step = self.add(Step(self.unique(one.name), "input", [], width, observed=None))
        return Tensor(step.name, axes, width)

    def _is_state(self, one: GraphInput) -> bool:
        """Return True if recurrent nodes alone read an input, as lengths or initial states."""
        found = [
            (node, index) for node in self.graph.nodes for index, name in enumerate(node.inputs) if name == one.name
        ]
        return all(node.operator in interpreter.STEPS and index > 3 for node, index in found)

    def _outputs(self) -> None:
        """Record the outputs: sequences and vectors of features; final states only if there is nothing else."""
        found = {name: self.value(name) for name in self.graph.outputs}
        tensors = {name: value for name, value in found.items() if isinstance(value, Tensor) and is_layout(value.axes)}
        returned = {name: value for name, value in tensors.items() if not _is_state_value(value)} or tensors
        for name, value in found.items():
            if name in returned:
                self.plan.outputs.append((name, returned[name].step, returned[name].axes))
            elif isinstance(value, (Tensor, Pieces, Unavailable)):
                self.plan.notes.append(f"Output {name!r} holds final states, which the model does not return.")
            else:
                raise ValueError(f"output {name!r} does not depend on the inputs")
        if not returned:
            raise ValueError("none of the outputs is a sequence or a vector of features; nothing can be returned")

    # === Nodes ===

    def _node(self, node: Node) -> None:
        inputs = [self.value(name, node) if name else None for name in node.inputs]
        results = self._results(node, inputs)
        for name, value in zip(node.outputs, results, strict=False):
            if not name:
                continue
            if name in self.values:
                raise ValueError(f"{node}: another node returns {name!r}, too")
            self.values[name] = value

    def _results(self, node: Node, inputs: list[Value | None]) -> list[Value]:
        present = [value for value in inputs if value is not None]
        if node.operator in interpreter.FUNCTIONS and all(isinstance(value, Constant) for value in present):
            return self._folded(node, inputs)
        if present and not any(isinstance(value, (Tensor, Pieces, Unavailable)) for value in present):
            return [self._without_tensors(node, present)]
        if node.operator not in RULES:
            supported = ", ".join(sorted(set(RULES) | {"Constant", "ConstantOfShape", "Expand"}))
            raise ValueError(f"{node}: the operator is not supported; supported are {supported}")
        results = RULES[node.operator](self, node, inputs)
        return results if isinstance(results, list) else [results]

    def _folded(self, node: Node, inputs: list[Value | None]) -> list[Value]:
        """Return the results of a node whose inputs are constants."""
        constants = [value for value in inputs if isinstance(value, Constant)]
        if not constants and node.operator != "Constant":
            raise ValueError(f"{node}: it has no inputs")
        shape = constants[0].array if node.operator == "ConstantOfShape" else None
        if shape is not None and np.prod(shape.astype(np.float64)) > 2**20:  # a number suffices
            return [Filled(_fill_value(node))]
        arrays = [value.array if isinstance(value, Constant) else None for value in inputs]
        sources = tuple(dict.fromkeys(name for value in constants for name in value.sources))
        dtype = constants[0].dtype if constants else "float32"
        return [Constant(np.asarray(one), sources, dtype) for one in interpreter.evaluate(node, arrays)]

    def _without_tensors(self, node: Node, inputs: list[Value]) -> Value:
        """Return the result of a node that reads sizes of values, and constants."""
        if node.operator == "ConstantOfShape":
            return Filled(_fill_value(node))
        if node.operator in KEEPS_ELEMENTS | {"Concat"}:
            numbers = _elements(inputs if node.operator == "Concat" else inputs[:1])
            if len(numbers) == 1 and (node.operator == "Expand" or any(isinstance(one, Filled) for one in inputs)):
                return Filled(numbers.pop())
        if any(isinstance(value, Filled) for value in inputs):
            return Unavailable(f"the result of {node}")
        return sizes(node, inputs)

    # === For the rules ===

    def value(self, name: str, node: Node | None = None) -> Value | None:
        """Return what is known of a value; None for a tensor that a recurrent node reads and the file lacks."""
        if name in self.values:
            return self.values[name]
        if name in self.graph.constants:
            stored = self.graph.constants[name]
            self.values[name] = Constant(stored.read(), (name,), stored.dtype)
            return self.values[name]
        if node is not None and node.operator in interpreter.STEPS and name in node.inputs[1:4]:
            return None
        reader = "the outputs" if node is None else str(node)
        raise ValueError(f"{reader}: value {name!r} is computed by a later node")

    def tensor(self, node: Node, value: Value | None) -> Tensor:
        """Return an input of a node that must be the value of a step."""
        if isinstance(value, Tensor):
            return value
        what = value.what if isinstance(value, Unavailable) else "a constant" if value is not None else "nothing"
        raise ValueError(f"{node}: it reads {what}, which is not supported")

    def add(self, step: Step) -> Step:
        """Append a step."""
        self.plan.steps[step.name] = step
        return step

    def apply(
        self,
        node: Node,
        value: Tensor,
        kind: str,
        width: int | None = None,
        axes: Axes | None = None,
        weights: list[Weight] | None = None,
        observed: bool = True,
        **config: object,
    ) -> Tensor:
        """Append a step that reads one value, and return its value.

        Args:
            node: The node that the step replaces.
            value: The value that it reads.
            kind: Kind of the step.
            width: Number of features of its value; that of `value` by default.
            axes: Axes of its value in the graph; those of `value` by default.
            weights: Weights of the layer.
            observed: True if its value is the first result of the node.
            **config: Arguments of the layer.
        """
        axes, width = value.axes if axes is None else axes, value.width if width is None else width
        place = (node.output(0), axes) if observed and is_layout(axes) else None
        step = Step(
            self.unique(node.name, node.operator), kind, [value.step], width, dict(config), weights or [], place
        )
        return Tensor(self.add(step).name, axes, width)

    def unique(self, name: str, operator: str = "") -> str:
        """Return the name of a layer: that of a node, without the name of its operator, if it is not taken."""
        parts = [part for part in re.split(r"[/:]+", name) if part]
        if operator and parts and parts[-1].lower().startswith(operator.lower()):
            del parts[-1]
        base = re.sub(r"[^A-Za-z0-9_.-]+", "_", "_".join(parts)).strip("_.-") or operator.lower() or "input"
        taken, number = base, 1
        while taken in self.plan.steps:
            number += 1
            taken = f"{base}_{number}"
        return taken


def _fill_value(node: Node) -> float:
    """Return the number with which a ConstantOfShape fills an array."""
    value = node.attributes.get("value")
    return 0.0 if value is None else float(value.read().reshape(-1)[0])


def _elements(values: list[Value]) -> set[float]:
    """Return the different elements of constants; NaN stands for those of other values."""
    numbers: set[float] = set()
    for value in values:
        if isinstance(value, Constant) and value.array.dtype.kind in "fiu":
            numbers.update(map(float, np.unique(value.array)[:2]))
        else:
            numbers.add(value.number if isinstance(value, Filled) else math.nan)
    return numbers


def sizes(node: Node, inputs: list[Value]) -> Sizes:
    """Return the result of a node that computes with sizes; unknown where it is not needed."""
    vectors = [_as_sizes(value) for value in inputs]
    if node.operator in ("Identity", "Cast", "Unsqueeze", "Squeeze", "Reshape"):
        return vectors[0]
    if node.operator == "Concat":
        return Sizes(tuple(one for vector in vectors for one in vector.elements))
    if node.operator in ("Gather", "Slice") and all(isinstance(value, Constant) for value in inputs[1:]):
        arrays = [np.arange(len(vectors[0].elements)), *(one.array for one in inputs[1:] if isinstance(one, Constant))]
        chosen = interpreter.evaluate(node, arrays)[0]
        return Sizes(tuple(vectors[0].elements[int(index)] for index in np.ravel(chosen)))
    return Sizes((None,) * max(len(vector.elements) for vector in vectors))


def _as_sizes(value: Value) -> Sizes:
    if isinstance(value, Sizes):
        return value
    if isinstance(value, Constant) and value.array.size < 100:
        return Sizes(tuple(int(one) if float(one).is_integer() else None for one in value.array.reshape(-1)))
    return Sizes((None,))


def is_layout(axes: Axes) -> bool:
    """Return True if a value can be compared with that of a Keras layer."""
    return set(axes) <= {"n", "T", "D", "f", "1"}


def _is_state_value(value: Tensor) -> bool:
    """Return True for final states, (D, n, h), which have an axis of directions and no time."""
    return "T" not in value.axes and not set(value.axes) <= {"n", "f"}


def _text(shape: tuple[int | None, ...] | None) -> str:
    return "of unknown shape" if shape is None else f"({', '.join('?' if one is None else str(one) for one in shape)})"
