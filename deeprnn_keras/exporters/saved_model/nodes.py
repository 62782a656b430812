"""Nodes of a written SavedModel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from deeprnn_keras._compat import saved_model_message

Message: TypeAlias = Any
"""A protocol buffer of TensorFlow."""

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
"""Operators that call a function of the graph."""


def signature_nodes(path: Path, signature: str) -> Iterator[Message]:
    """Yield the nodes that a signature executes, those of the functions that it calls instead of the calls."""
    meta_graph = _meta_graph(path)
    graph = meta_graph.graph_def
    functions = {one.signature.name: one.node_def for one in graph.library.function}
    pending = _ancestors(graph, [one.name for one in meta_graph.signature_def[signature].outputs.values()])
    while pending:
        node = pending.pop()
        if node.op not in CALLS:
            yield node
        for attribute in node.attr.values():
            called = [*attribute.list.func, *([attribute.func] if attribute.HasField("func") else [])]
            for function in called:
                pending += functions[function.name]


def _meta_graph(path: Path) -> Message:
    return saved_model_message().FromString((path / "saved_model.pb").read_bytes()).meta_graphs[0]


def _ancestors(graph: Message, tensors: list[str]) -> list[Message]:
    """Return the nodes of a graph on which tensors depend."""
    nodes = {one.name: one for one in graph.node}
    pending, found = list(tensors), {}
    while pending:
        name = pending.pop().lstrip("^").partition(":")[0]
        if name not in found:
            found[name] = nodes[name]
            pending += nodes[name].input
    return list(found.values())
