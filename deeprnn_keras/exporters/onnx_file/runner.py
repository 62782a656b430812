"""`ONNXRunner`: a file in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from typing_extensions import override

from deeprnn_keras.exporters.target import Options, Runner, with_lengths
from deeprnn_keras.program.program import Program


class ONNXRunner(Runner):
    """A file in ONNX Runtime, on the processor."""

    def __init__(self, path: Path, program: Program, options: Options) -> None:
        self._program = program
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._names = [one.name for one in self._session.get_inputs()]

    @override
    def run(self, inputs: Sequence[np.ndarray], lengths: np.ndarray | None = None) -> list[np.ndarray]:
        reads_lengths = len(self._names) > len(inputs)
        return self._run(with_lengths(inputs, lengths) if reads_lengths else inputs)

    @override
    def step(
        self, inputs: Sequence[np.ndarray], states: Mapping[str, np.ndarray] | None = None
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        before = self._program.initial_states(len(inputs[0])) if states is None else states
        results = self._run([*(one[:, None] for one in inputs), *(before[name] for name in self._program.states)])
        count = len(self._program.outputs)
        return [one[:, 0] for one in results[:count]], dict(zip(self._program.states, results[count:], strict=True))

    def _run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        cast = [one.astype(np.int32) if one.dtype.kind == "i" else one for one in arrays]
        return [np.asarray(one) for one in self._session.run(None, dict(zip(self._names, cast, strict=True)))]
