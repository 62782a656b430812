"""`Plan`: the Keras layers that an ONNX graph becomes, with their weights, before they are built."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deeprnn_keras.interop.onnx_file.values import Axes

RECURRENT = "recurrent"
LAST = "last"
"""Kind of a step that returns the state after the last step that a recurrence reads, of each direction."""


@dataclass(frozen=True)
class Weight:
    """A weight of a Keras layer.

    Attributes:
        path: Name of the weight within the layer: "kernel", or "forward_1/lstm_cell/kernel" in a `DeepRNN`.
        array: Its value.
        source: Names of the tensors of the file from which it is computed; "" for zeros that the file does not contain.
        source_shape: Shape of the first of them.
        dtype: Data type of the first of them in the file.
        change: Computation of the weight, in words.
    """

    path: str
    array: np.ndarray = field(repr=False)
    source: str
    source_shape: tuple[int, ...]
    dtype: str
    change: str = ""


@dataclass
class Step:
    """A call of a Keras layer or operation.

    Attributes:
        name: Its name, which is that of the layer.
        kind: Its kind, a key of `building.BUILDERS`.
        inputs: Names of the steps whose values it reads.
        width: Number of features of its value; None for ids.
        config: Arguments of the layer.
        weights: Weights of the layer, in the order of `get_weights`.
        observed: Name and axes of the value of the graph that equals that of the step; None if there is none.
    """

    name: str
    kind: str
    inputs: list[str]
    width: int | None
    config: dict[str, Any] = field(default_factory=dict)
    weights: list[Weight] = field(default_factory=list)
    observed: tuple[str, Axes] | None = None


@dataclass
class Problems:
    """Tensors of a file that do not fit its graph.

    Attributes:
        missing: Tensors that a node reads and the file does not contain.
        misshaped: Tensors whose shape differs from that which their node requires, with both.
    """

    missing: list[str] = field(default_factory=list)
    misshaped: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.misshaped)


@dataclass
class Plan:
    """The layers of a model, in the order of their calls.

    Attributes:
        steps: {name: step}.
        inputs: Axes of the inputs of the graph, by name.
        fixed: {axis: size} of the axes "n" and "T" that have fixed sizes in the file.
        outputs: (name of the output of the graph, name of the step, axes of the output).
        problems: Tensors that do not fit.
        unused: Tensors that no layer reads.
        notes: Remarks for the report.
    """

    steps: dict[str, Step] = field(default_factory=dict)
    inputs: dict[str, Axes] = field(default_factory=dict)
    fixed: dict[str, int] = field(default_factory=dict)
    outputs: list[tuple[str, str, Axes]] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)
    unused: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)

    def readers(self, name: str) -> list[Step]:
        """Return the steps that read the value of a step."""
        return [step for step in self.steps.values() if name in step.inputs]

    def is_output(self, name: str) -> bool:
        """Return True if a value is an output of the model."""
        return any(step == name for _, step, _ in self.outputs)

    def replace(self, old: str, new: str) -> None:
        """Remove a step; the steps and outputs that read its value read that of another one."""
        del self.steps[old]
        for step in self.steps.values():
            step.inputs = [new if name == old else name for name in step.inputs]
        self.outputs = [(output, new if step == old else step, axes) for output, step, axes in self.outputs]

    def weights(self) -> Iterator[tuple[Step, Weight]]:
        """Yield all weights with their steps, in the order of `Model.weights`."""
        for step in self.steps.values():
            yield from ((step, weight) for weight in step.weights)
