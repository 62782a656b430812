"""Chains: stacked recurrent layers of Keras that one `DeepRNN` replaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from deeprnn_keras._compat import FunctionalNode
from deeprnn_keras._types import Layer
from deeprnn_keras.interop.conversion.graph import Graph
from deeprnn_keras.interop.conversion.plain_layers import Levels, describe, make_deep_rnn
from deeprnn_keras.interop.conversion.substitution import KeptError, Substitute, directions


class Chain:
    """Stacked recurrent layers, with dropout layers of one rate between them.

    Args:
        call: Call of the lowest layer.
        levels: Its levels.

    Attributes:
        calls: The calls of all layers of the chain, lowest first.
        rate: Dropout rate between the layers, or None if there is only one.
    """

    def __init__(self, call: FunctionalNode, levels: Levels) -> None:
        self.calls = [call]
        self.shared = levels.shared
        self.rate: float | None = None if len(levels.levels) == 1 else 0.0

    @property
    def layers(self) -> list[Layer]:
        """The layers of the chain."""
        return [call.operation for call in self.calls]

    def grow(self, graph: Graph) -> None:
        """Append the layers that read the output of the chain, as long as one `DeepRNN` is equal to all of them."""
        while _has_levels_above(self.layers[-1]):
            above = _calls_above(graph, self.calls[-1])
            levels = _levels_of_call(graph, above[-1]) if above else None
            if levels is None or not self._fits(levels, above):
                return
            self.calls += above
            self.rate = _rate(above)

    def _fits(self, levels: Levels, calls: Sequence[FunctionalNode]) -> bool:
        rates = {self.rate, _rate(calls), 0.0 if len(levels.levels) > 1 else None} - {None}
        has_same_mask = calls[-1].kwargs.get("mask") is self.calls[0].kwargs.get("mask")
        return levels.shared == self.shared and len(rates) == 1 and has_same_mask

    def substitute(self) -> Substitute:
        """Return the `DeepRNN`."""
        layers = [layer for layer in self.layers if not isinstance(layer, keras.layers.Dropout)]
        return Substitute(tuple(self.layers), (make_deep_rnn(layers, self.rate or 0.0),))


def find_chains(graph: Graph) -> list[tuple[list[FunctionalNode], Callable[[], Substitute]]]:
    """Return the calls of each chain of at least two layers, and a function that makes its `DeepRNN`."""
    chains: list[Chain] = []
    used: set[int] = set()
    for call in graph.calls:
        levels = None if id(call) in used else _levels_of_call(graph, call)
        if levels is None:
            continue
        chain = Chain(call, levels)
        chain.grow(graph)
        if len(chain.calls) > 1:
            chains.append(chain)
            used |= {id(one) for one in chain.calls}
    return [(chain.calls, chain.substitute) for chain in chains]


def _levels_of_call(graph: Graph, call: FunctionalNode) -> Levels | None:
    """Return the levels of a layer that may be part of a chain, or None."""
    if not graph.is_called_once(call) or len(call.args) != 1 or graph.options(call).keys() - {"mask"}:
        return None
    if not isinstance(call.operation, (keras.layers.RNN, keras.layers.Bidirectional)):
        return None
    try:
        levels = describe(call.operation)
    except KeptError:  # `substitute` of the direction reports it
        return None
    return None if directions(call.operation)[0].return_state else levels


def _has_levels_above(layer: Layer) -> bool:
    return directions(layer)[0].return_sequences and layer.activity_regularizer is None


def _calls_above(graph: Graph, call: FunctionalNode) -> list[FunctionalNode]:
    """Return the call of the only layer that reads the output of a call, with dropout layers between them."""
    above = _reader_as_input(graph, call)
    if above is None or not _is_plain_dropout(above):
        return [] if above is None else [above]
    reader = _reader_as_input(graph, above) if graph.is_called_once(above) else None
    return [] if reader is None else [above, reader]


def _reader_as_input(graph: Graph, call: FunctionalNode) -> FunctionalNode | None:
    """Return the only call that reads the output of a call, as its first argument."""
    reader = graph.only_reader(call)
    return reader if reader is not None and reader.args and reader.args[0] is call.outputs[0] else None


def _is_plain_dropout(call: FunctionalNode) -> bool:
    layer = call.operation
    if type(layer) is not keras.layers.Dropout or Graph.options(call) or layer.activity_regularizer is not None:
        return False
    return layer.noise_shape is None


def _rate(calls: Sequence[FunctionalNode]) -> float:
    """Return the rate of the dropout layer among the calls that extend a chain."""
    return float(calls[0].operation.rate) if len(calls) > 1 else 0.0
