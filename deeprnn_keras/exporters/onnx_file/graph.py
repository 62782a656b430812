"""`Graph`: nodes and constants of an ONNX graph that is being made."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

OPSET = 17
"""Version of the operators: the first with LayerNormalization."""

IR_VERSION = 8
"""Version of the file format that was current with `OPSET`, so that older runtimes read the files, too."""


class Graph:
    """Nodes of a graph, and the constants and names that it shares with the graphs of its loops.

    Args:
        reserved: Names of inputs and outputs, which no node may give to its results.
        parent: Graph that contains the loop whose body this graph is.
    """

    def __init__(self, reserved: tuple[str, ...] = (), parent: Graph | None = None) -> None:
        self.nodes: list[NodeProto] = []
        self._published: dict[str, str] = {}  # {former name: name}
        self.constants: dict[str, TensorProto] = parent.constants if parent else {}
        self._known: dict[object, str] = parent._known if parent else {}
        self._counts: dict[str, int] = parent._counts if parent else dict.fromkeys(reserved, 1)

    def body(self) -> Graph:
        """Return an empty graph for the body of a loop; it can read the values of this graph."""
        return Graph(parent=self)

    def unique(self, name: str) -> str:
        """Return a name that is not used, `name` or `name` with a number."""
        while True:
            count = self._counts[name] = self._counts.get(name, 0) + 1
            if count == 1:
                return name
            numbered = f"{name}_{count}"
            if numbered not in self._counts:
                self._counts[numbered] = 1
                return numbered

    def node(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Append a node with one result and return the name of the result."""
        return self.nodes_of(operator, inputs, (name or operator.lower(),), **attributes)[0]

    def nodes_of(
        self, operator: str, inputs: tuple[str, ...], names: tuple[str, ...], domain: str = "", **attributes: Any
    ) -> list[str]:
        """Append a node with several results and return their names.

        Args:
            operator: The operator.
            inputs: Names of its inputs; "" for one that is absent.
            names: Proposed names of its results.
            domain: Domain of the operator.
            **attributes: Its attributes.
        """
        results = [self.unique(name) for name in names]
        self.nodes.append(helper.make_node(operator, inputs, results, name=results[0], domain=domain, **attributes))
        return results

    def output(self, operator: str, value: str, name: str, **attributes: Any) -> None:
        """Append a node whose result has a reserved name, that of an output."""
        self.nodes.append(helper.make_node(operator, [value], [name], name=name, **attributes))

    def publish(self, value: str, name: str) -> None:
        """Make a value that no loop reads an output: give it a reserved name, or append a copy if it has one."""
        if value in self._published:
            self.output("Identity", self._published[value], name)
            return
        self._published[value] = name
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [name if one == value else one for one in names]

    def weight(self, name: str, array: np.ndarray, part: object = None) -> str:
        """Return the name of a constant; it is added once per name and part.

        Args:
            name: Name of the weight.
            array: The array.
            part: Which part or arrangement of the weight the array is; any hashable value.
        """
        key = (name, part)
        if key not in self._known:
            self._known[key] = self._add(name, array)
        return self._known[key]

    def constant(self, values: float | list[int] | list[float], dtype: type[np.generic] = np.float32) -> str:
        """Return the name of a constant of a few numbers; equal ones are added once."""
        array = np.asarray(values, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._add("constant", array)
        return self._known[key]

    def integers(self, *values: int) -> str:
        """Return the name of a constant vector of integers, as axes and shapes are."""
        return self.constant(list(values), np.int64)

    def _add(self, name: str, array: np.ndarray) -> str:
        name = self.unique(name)
        self.constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def slice(self, value: str, start: int, stop: int, axis: int, step: int = 1) -> str:
        """Append the selection of a range of an axis."""
        ranges = [self.integers(one) for one in (start, stop, axis, step)]
        return self.node("Slice", value, *ranges)
