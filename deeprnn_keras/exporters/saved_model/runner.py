"""`SavedModelRunner`: a SavedModel in TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from typing_extensions import override

from deeprnn_keras.exporters.padding import lengths_name
from deeprnn_keras.exporters.saved_model.names import SEQUENCE, STEP, SignatureNames, sequence_names, step_names
from deeprnn_keras.exporters.target import Options, Runner, with_lengths
from deeprnn_keras.program.program import Program


class SavedModelRunner(Runner):
    """A SavedModel whose signatures TensorFlow executes.

    Args:
        path: The directory.
        program: The program that was exported.
    """

    def __init__(self, path: Path, program: Program) -> None:
        self._program, self._lengths = program, lengths_name(program, Options())
        self._model = tf.saved_model.load(str(path))

    @override
    def run(self, inputs: Sequence[np.ndarray], lengths: np.ndarray | None = None) -> list[np.ndarray]:
        arrays = with_lengths(inputs, lengths) if self._lengths else inputs
        return self._called(SEQUENCE, sequence_names(self._program, self._lengths), arrays)

    @override
    def step(
        self, inputs: Sequence[np.ndarray], states: Mapping[str, np.ndarray] | None = None
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        program = self._program
        before = program.initial_states(len(inputs[0])) if states is None else states
        arrays = [*(one[:, None] for one in inputs), *(before[name] for name in program.states)]
        results = self._called(STEP, step_names(program), arrays)
        count = len(program.outputs)
        return [one[:, 0] for one in results[:count]], dict(zip(program.states, results[count:], strict=True))

    def _called(self, signature: str, names: SignatureNames, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        cast = [one.astype(np.int32) if one.dtype.kind == "i" else one for one in arrays]
        inputs = {name: tf.constant(one) for name, one in zip(names.inputs, cast, strict=True)}
        outputs = self._model.signatures[signature](**inputs)
        return [outputs[name].numpy() for name in names.outputs]
