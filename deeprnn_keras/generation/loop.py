"""Loop of generation: a step of a program, the next ids from its logits, and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from deeprnn_keras import progress
from deeprnn_keras.generation.random_numbers import uniforms
from deeprnn_keras.generation.sampling import Sampling, sample
from deeprnn_keras.program.interpreter import run
from deeprnn_keras.program.operations import Softmax
from deeprnn_keras.program.program import Program

LARGEST_CHUNK = 32  # steps between which text is printed and Ctrl-C is noticed


class Loop:
    """Continuation of a prompt by n rows that are drawn independently.

    Args:
        program: A program that reads ids and returns logits.
        prompt: Ids of the prompt, (T,).
        sampling: The distribution of the next id.
        seed: Seed of the random numbers.
        rows: Numbers of the rows, (n,). Symbol t of row i is drawn with random number 0 at position t of row i, and
            does not depend on the other rows.
    """

    def __init__(self, program: Program, prompt: np.ndarray, sampling: Sampling, seed: int, rows: np.ndarray) -> None:
        self._name, self._sampling, self._seed, self._rows = program.name, sampling, seed, rows
        self._position = 0
        self._seen = np.zeros((len(rows), program.inputs[0].width), np.uint8)
        self._seen[:, prompt] = 1
        self._step, self._logits = _start(program, prompt, len(rows))
        self._ids = np.empty(len(rows), np.int32)

    def advance(self, count: int) -> np.ndarray:
        """Return the next `count` ids of each row, (n, count).

        Raises:
            ValueError: If the logits are not finite.
        """
        numbers = uniforms(self._seed, np.arange(self._position, self._position + count), self._rows)
        ids = np.empty((len(self._rows), count), np.int32)
        for number in range(count):
            if self._position:
                self._logits = self._step(self._ids)
            self._ids = sample(self._sampling, self._name, self._logits, self._seen, numbers[number, :, 0])
            ids[:, number] = self._ids
            self._position += 1
        return ids

    def chunks(self, length: int) -> Iterator[np.ndarray]:
        """Yield `length` ids of each row in chunks, the first ones small, (n, chunk)."""
        done, size = 0, 1
        progress.report(0, length)
        while done < length:
            size = min(size, length - done)
            ids = self.advance(size)
            done, size = done + size, min(2 * size, LARGEST_CHUNK)
            progress.report(done, length)
            yield ids


def _start(program: Program, prompt: np.ndarray, n: int) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    (outputs,), states = run(program, [prompt[None]])
    logits = np.repeat(outputs.reshape(1, -1, outputs.shape[-1])[:, -1], n, axis=0)
    states = {name: np.repeat(state, n, axis=0) for name, state in states.items()}

    def step(ids: np.ndarray) -> np.ndarray:
        nonlocal states
        (outputs,), states = run(program, [ids[:, None]], states)
        return outputs.reshape(n, -1)

    return step, logits


def logits_of(program: Program) -> Program:
    """Return the program whose output are logits: that of a softmax ends before it.

    Raises:
        ValueError: If the program does not read ids, or does not return one logit for each.
    """
    by_name = {operation.name: operation for operation in program.operations}
    last = by_name.get(program.outputs[0])
    if isinstance(last, Softmax) and not last.logarithm:  # log-probabilities are logits
        program = replace(program, outputs=last.inputs)
    shape = (len(program.inputs), program.inputs[0].ids, len(program.outputs))
    if shape != (1, True, 1) or program.widths[program.outputs[0]] != program.inputs[0].width:
        inputs = ", ".join(f"{one.width} {'ids' if one.ids else 'features'}" for one in program.inputs)
        widths = ", ".join(str(program.widths[name]) for name in program.outputs)
        raise ValueError(
            f"model {program.name!r} must read ids and return one logit for each of them, to generate ids, but it "
            f"reads {inputs} and returns {widths} features"
        )
    return program
