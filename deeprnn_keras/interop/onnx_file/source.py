"""`OnnxSource`: an ONNX file as a source of a Keras model, and its references."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from typing_extensions import override

from deeprnn_keras.interop.onnx_file import interpreter
from deeprnn_keras.interop.onnx_file.plan import Plan
from deeprnn_keras.interop.onnx_file.planner import make_plan
from deeprnn_keras.interop.onnx_file.stored import EXPECTED, Graph, looks_like_onnx, read_graph
from deeprnn_keras.interop.onnx_file.values import Axes, from_keras_layout, to_keras_layout
from deeprnn_keras.interop.report import Entry, Report
from deeprnn_keras.interop.source import Content, Reference, Request, Source
from deeprnn_keras.reading import DamagedFileError, damage_reported

if TYPE_CHECKING:
    import keras

CONVERTED = ("float16", "bfloat16", "float64")


def recognize(content: Content) -> Source | None:
    """Return the source of an ONNX file; None if the content is of another kind."""
    if content.path is None or not looks_like_onnx(content.head, content.path.stat().st_size):
        return None
    return OnnxSource(content.path)


class OnnxSource(Source):
    """An ONNX file.

    The layers are found by interpreting the graph: LSTM, GRU, and RNN nodes become a `DeepRNN`, products with matrices
    of the file become `Dense`, and nodes that permute axes disappear, since Keras layers are batch-major.

    Args:
        path: Path of the file.

    Raises:
        DamagedFileError: If the file is damaged, or its graph is not supported.
    """

    kind = "ONNX file"

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)
        self.graph = read_graph(path)
        with damage_reported(path, EXPECTED):
            try:
                self.plan = make_plan(self.graph)
            except ValueError as error:  # its message is complete
                raise DamagedFileError(path, error) from error

    @override
    def inspect(self, request: Request) -> Report:
        from deeprnn_keras.interop.onnx_file.building import describe

        self._check_request(request)
        plan = self.plan
        return Report(
            self.name,
            self.kind,
            tuple(describe(step) for step in plan.steps.values() if step.kind != "input"),
            tuple(_entries(plan)),
            tuple(plan.problems.missing),
            plan.unused,
            tuple(plan.problems.misshaped),
            tuple(self._notes()),
        )

    @override
    def load(self, request: Request) -> keras.Layer:
        from deeprnn_keras.interop.filling import fill
        from deeprnn_keras.interop.onnx_file.building import build_model

        report = self.inspect(request)
        if self.plan.problems:
            report.raise_problems()
        with damage_reported(self.path, EXPECTED):
            model = build_model(self.plan, re.sub(r"[^A-Za-z0-9_.-]+", "_", self.path.stem) or "onnx_model")
        return model if request.into is None else fill(request.into, model, self.name)

    @override
    def reference(self, request: Request) -> Reference:
        converted = any(array.dtype in CONVERTED for array in self.graph.arrays())
        batch_major = any(node.attributes.get("layout") for node in self.graph.nodes)  # ONNX Runtime refuses it
        if find_spec("onnxruntime") is not None and not converted and not batch_major:
            return OnnxRuntimeReference(self.graph, self.plan)
        return NumpyReference(self.graph, self.plan)

    def _check_request(self, request: Request) -> None:
        if request.activation is not None:
            raise ValueError(f"{self.name}: activation={request.activation!r} has no effect: an ONNX file states it")
        if not request.return_sequences:
            raise ValueError(f"{self.name}: return_sequences=False has no effect: an ONNX file states its outputs")

    def _notes(self) -> list[str]:
        zeros = [f"{step.name}/{weight.path}" for step, weight in self.plan.weights() if not weight.source]
        notes = [
            *self.plan.notes,
            *([f"{', '.join(zeros)}: the file has no bias; zeros are assigned"] if zeros else []),
        ]
        if "T" in (axes[0] for axes in self.plan.inputs.values()):
            notes.append("The file reads time-major inputs (T, n, d); the model reads (n, T, d).")
        for dtype in CONVERTED:
            names = {one.source for one in _entries(self.plan) if one.dtype == dtype}
            if names:
                notes.append(
                    f"{len(names)} {'entry' if len(names) == 1 else 'entries'} of {dtype} converted to float32."
                )
        return notes


def _entries(plan: Plan) -> list[Entry]:
    return [
        Entry(
            weight.source,
            weight.source_shape,
            weight.dtype,
            f"{step.name}/{weight.path}",
            weight.array.shape,
            ", ".join(filter(None, [weight.change, f"{weight.dtype} to float32" if weight.dtype in CONVERTED else ""])),
        )
        for step, weight in plan.weights()
        if weight.source
    ]


# === References ===


class GraphReference(Reference):
    """Values of an ONNX graph, with the axes of the Keras layers that equal them.

    Args:
        graph: The graph.
        plan: Its plan.
    """

    def __init__(self, graph: Graph, plan: Plan) -> None:
        self.graph, self.plan = graph, plan
        self.batch_size, self.steps = plan.fixed.get("n"), plan.fixed.get("T")
        self.observed: dict[str, tuple[str, Axes]] = {
            step.name: step.observed for step in plan.steps.values() if step.observed and step.observed[0]
        }

    @override
    def run(self, x: np.ndarray | Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        arrays = [x] if isinstance(x, np.ndarray) else list(x)
        types = {one.name: one.dtype for one in self.graph.inputs}
        inputs = {
            name: from_keras_layout(array, axes).astype(np.float32 if array.dtype.kind == "f" else types[name])
            for (name, axes), array in zip(self.plan.inputs.items(), arrays, strict=True)
        }
        names = [name for name, _ in self.observed.values()] + [name for name, _, _ in self.plan.outputs]
        values = self.values(inputs, list(dict.fromkeys(names)))
        layers = {name: to_keras_layout(values[value], axes) for name, (value, axes) in self.observed.items()}
        outputs = {name: to_keras_layout(values[name], axes) for name, _, axes in self.plan.outputs}
        return {**{name: value for name, value in layers.items() if name not in outputs}, **outputs}

    @abstractmethod
    def values(self, inputs: dict[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
        """Return named values of the graph for inputs of the graph."""


class NumpyReference(GraphReference):
    """The graph in the NumPy interpreter."""

    title = "NumPy"

    @override
    def values(self, inputs: dict[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
        return interpreter.run(self.graph, inputs, names)


class OnnxRuntimeReference(GraphReference):
    """The file in ONNX Runtime, on the processor."""

    def __init__(self, graph: Graph, plan: Plan) -> None:
        super().__init__(graph, plan)
        self.title = f"onnxruntime {version('onnxruntime')}"

    @override
    def values(self, inputs: dict[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
        import onnx
        import onnxruntime

        model = onnx.load(self.graph.path, load_external_data=True)
        known = {one.name for one in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return dict(zip(names, map(np.asarray, session.run(names, inputs)), strict=True))
