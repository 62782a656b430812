"""`LiteRTRunner`: a file in LiteRT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from typing_extensions import override

from deeprnn_keras.exporters.litert_file.model import passed_states
from deeprnn_keras.exporters.padding import lengths_name
from deeprnn_keras.exporters.target import Options, Runner, with_lengths
from deeprnn_keras.program.program import Program


class LiteRTRunner(Runner):
    """A file in LiteRT. It keeps the states of fused operators, so that one sequence is processed at a time."""

    def __init__(self, path: Path, program: Program, options: Options) -> None:
        self._program, self._count = program, len(program.outputs)
        self._states, self._lengths = passed_states(program, options), lengths_name(program, options)
        self._interpreter = Interpreter(str(path))
        self._interpreter.allocate_tensors()
        details = self._interpreter.get_input_details()
        self._inputs = [one["index"] for one in details]
        self._shapes = [tuple(one["shape"]) for one in details]
        self._outputs = [one["index"] for one in self._interpreter.get_output_details()]

    @override
    def run(self, inputs: Sequence[np.ndarray], lengths: np.ndarray | None = None) -> list[np.ndarray]:
        self._interpreter.reset_all_variables()
        return self._invoke(with_lengths(inputs, lengths) if self._lengths else inputs)

    @override
    def step(
        self, inputs: Sequence[np.ndarray], states: Mapping[str, np.ndarray] | None = None
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        if states is None:
            self._interpreter.reset_all_variables()
            zeros = self._program.initial_states(len(inputs[0]))
            states = {name: zeros[name] for name in self._states}
        results = self._invoke([*(one[:, None] for one in inputs), *(states[name] for name in self._states)])
        outputs, after = results[: self._count], results[self._count :]
        return [one[:, 0] for one in outputs], dict(zip(self._states, after, strict=True))

    def _invoke(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        shapes = [one.shape for one in arrays]
        if shapes != self._shapes:
            for index, shape in zip(self._inputs, shapes, strict=True):
                self._interpreter.resize_tensor_input(index, shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for index, array in zip(self._inputs, arrays, strict=True):
            self._interpreter.set_tensor(index, array.astype(np.int32) if array.dtype.kind == "i" else array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]
