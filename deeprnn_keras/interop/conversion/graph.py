"""`Graph`: the calls of layers in a Sequential or functional model, and which call reads which output."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras

from deeprnn_keras import _compat
from deeprnn_keras._compat import FunctionalNode
from deeprnn_keras._types import Layer
from deeprnn_keras.program.lowering import model_kind


@dataclass(frozen=True)
class Graph:
    """Calls of layers and operations in a model.

    Attributes:
        inputs: The inputs of the model.
        calls: The calls, each after those whose outputs it reads.
        outputs: The outputs of the model. Of a Sequential model, objects stand in for inputs, outputs, and all tensors
            between the layers.
    """

    inputs: Sequence[object]
    calls: Sequence[FunctionalNode]
    outputs: Sequence[object]

    @cached_property
    def _call_counts(self) -> Mapping[int, int]:
        return Counter(id(call.operation) for call in self.calls)

    @cached_property
    def _readers(self) -> Mapping[int, list[FunctionalNode | None]]:
        """{id of a tensor: the calls that read it, and None if the model returns it}."""
        readers: dict[int, list[FunctionalNode | None]] = defaultdict(list)
        for call in self.calls:
            for tensor in keras.tree.flatten((call.args, call.kwargs)):
                readers[id(tensor)].append(call)
        for tensor in self.outputs:
            readers[id(tensor)].append(None)
        return readers

    @staticmethod
    def options(call: FunctionalNode) -> dict[str, Any]:
        """Return the named arguments of a call without defaults, which Keras may record, too."""
        return {
            name: value
            for name, value in call.kwargs.items()
            if value is not None and not (name == "training" and value is False)
        }

    def calls_of(self, operation: Layer) -> list[FunctionalNode]:
        """Return all calls of a layer."""
        return [call for call in self.calls if call.operation is operation]

    def is_called_once(self, call: FunctionalNode) -> bool:
        """Return True if the layer of a call has no other call in the model."""
        return self._call_counts[id(call.operation)] == 1

    def only_reader(self, call: FunctionalNode) -> FunctionalNode | None:
        """Return the only reader of the only output of a call; None if there are several, or the model returns it."""
        if len(call.outputs) != 1:
            return None
        readers = self._readers[id(call.outputs[0])]
        return readers[0] if len(readers) == 1 else None


def model_graph(model: keras.Model) -> Graph:
    """Return the graph of a Sequential or functional model."""
    if model_kind(model) == "Sequential":
        tensors: list[Any] = [object() for _ in range(len(model.layers) + 1)]
        calls = [
            FunctionalNode(layer, (before,), {}, [after])
            for layer, before, after in zip(model.layers, tensors[:-1], tensors[1:], strict=True)
        ]
        return Graph(tensors[:1], calls, tensors[-1:])
    return Graph(model.inputs, list(_compat.functional_nodes(model)), model.outputs)
