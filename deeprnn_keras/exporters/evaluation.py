"""`Evaluation`: loss of a model and of its exported file on data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras.exporters.report import Loss
from deeprnn_keras.exporters.target import Options, Target
from deeprnn_keras.program.interpreter import Interpreter
from deeprnn_keras.program.operations import Softmax
from deeprnn_keras.program.program import Program

if TYPE_CHECKING:
    import keras

ROWS = 32
"""Batch size of a file that supports any."""

LossFunction = Callable[[np.ndarray, np.ndarray], float]


class Evaluation:
    """Data on which the loss of a program and of its files is computed.

    Args:
        program: The program.
        model: The Keras model from which it was lowered, or None.
        data: Pair (x, y) of arrays; x is a tuple for a program with several inputs.

    Raises:
        ValueError: If the data are not a pair of arrays of equal length, or the model has no loss.
    """

    def __init__(self, program: Program, model: keras.Model | None, data: tuple[Any, Any]) -> None:
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise ValueError(f"evaluate must be a pair (x, y), got {type(data).__name__}")
        if len(program.outputs) > 1:
            raise ValueError(f"evaluate requires a model with one output, got {len(program.outputs)}")
        x, y = data
        self.program = program
        self.inputs = [np.asarray(one) for one in (x if len(program.inputs) > 1 else [x])]
        self.y = np.asarray(y)
        ranks = [2 if one.ids else 3 for one in program.inputs]
        sizes = {len(one) for one in (*self.inputs, self.y) if one.ndim}
        if [one.ndim for one in self.inputs] != ranks or len(sizes) != 1 or 0 in sizes:
            shapes = ", ".join(str(one.shape) for one in (*self.inputs, self.y))
            raise ValueError(
                f"evaluate must contain sequences (n, T, d), or (n, T) of ids, and n targets; got {shapes}"
            )
        self.inputs = [
            one.astype(np.int64 if rank == 2 else np.float32) for one, rank in zip(self.inputs, ranks, strict=True)
        ]
        self.name, self.function = loss_function(program, model)

    def loss(self, target: Target, path: Path, options: Options) -> Loss:
        """Return the loss of the program and of a file."""
        interpreter = Interpreter(self.program)
        expected = self._outputs(lambda inputs: interpreter.run(inputs)[0], ROWS)
        with closing(target.runner(path, self.program, options)) as runner:
            run = _stepwise(runner.step, self.program) if options.streaming else runner.run
            outputs = self._outputs(run, options.batch_size or ROWS)
        return Loss(self.name, self.function(self.y, expected), self.function(self.y, outputs))

    def _outputs(self, run: Callable[[list[np.ndarray]], list[np.ndarray]], rows: int) -> np.ndarray:
        """Return the outputs for all sequences; the last batch is filled with its last sequence."""
        count, results = len(self.y), []
        for start in range(0, count, rows):
            indices = np.minimum(np.arange(start, start + rows), count - 1)
            results.append(run([one[indices] for one in self.inputs])[0][: count - start])
        return np.concatenate(results)


def _stepwise(step: Callable, program: Program) -> Callable[[list[np.ndarray]], list[np.ndarray]]:
    """Return a function of sequences that executes a file step by step."""

    def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
        states, outputs = None, []
        for t in range(inputs[0].shape[1]):
            results, states = step([one[:, t] for one in inputs], states)
            outputs.append(results[0])
        return [outputs[-1] if program.outputs[0] in program.final else np.stack(outputs, axis=1)]

    return run


def loss_function(program: Program, model: keras.Model | None) -> tuple[str, LossFunction]:
    """Return the name of the loss of a model, and a function of targets and outputs.

    Raises:
        ValueError: If the model has none.
    """
    if program.attributes.get("kind") == "language":
        last = {one.name: one for one in program.operations}[program.outputs[0]]
        return "Bits per symbol", _bits_from_probabilities if _is_softmax(last) else _bits_from_logits
    if getattr(model, "loss", None) is None and not hasattr(model, "loss_function"):
        raise ValueError(
            f"evaluate requires a loss, which {program.name!r} does not have: pass a compiled Keras model, or the "
            "program of a language model"
        )
    from keras import losses

    loss: Any = losses.get(model.loss) if getattr(model, "loss", None) is not None else model.loss_function()  # pyright: ignore
    name = getattr(loss, "name", None) or loss.__name__
    return name.replace("_", " ").capitalize(), lambda y, outputs: float(np.mean(loss(y, outputs)))


def _is_softmax(operation: object) -> bool:
    return isinstance(operation, Softmax) and not operation.logarithm


def _bits_from_logits(y: np.ndarray, logits: np.ndarray) -> float:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    nats = np.log(np.exp(shifted).sum(-1)) - np.take_along_axis(shifted, y[..., None].astype(np.int64), -1)[..., 0]
    return float(nats.mean() / np.log(2))


def _bits_from_probabilities(y: np.ndarray, probabilities: np.ndarray) -> float:
    return _bits_from_logits(y, np.log(np.maximum(probabilities.astype(np.float64), 1e-30)))
