"""Loop of generation: a step of a program, the next ids from its logits, and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from deeprnn_keras import progress
from deeprnn_keras.generation.native_sampler import NativeSampler
from deeprnn_keras.generation.random_numbers import uniforms
from deeprnn_keras.generation.sampling import Sampling, not_finite_message, sample
from deeprnn_keras.program.operations import Softmax
from deeprnn_keras.program.program import Program
from deeprnn_keras.streaming import Stream
from deeprnn_keras.streaming.native import NativeRuntime
from deeprnn_keras.streaming.runtime import Runtime, create_runtime

STEPS_PER_PUSH = 512  # of the prompt: bounds the memory of its logits
LARGEST_CHUNK = 32  # steps between which text is printed and Ctrl-C is noticed


class Loop:
    """Continuation of a prompt by n rows that are drawn independently.

    Args:
        program: A program that reads ids and returns logits.
        prompt: Ids of the prompt, (T,).
        sampling: The distribution of the next id.
        seed: Seed of the random numbers.
        rows: Numbers of the rows, uint64 (n,). Symbol t of row i is drawn with random number 0 at position t of row i,
            and does not depend on the other rows.
    """

    def __init__(self, program: Program, prompt: np.ndarray, sampling: Sampling, seed: int, rows: np.ndarray) -> None:
        self._name, self._sampling, self._seed, self._rows = program.name, sampling, seed, rows
        self._seen = np.zeros((len(rows), program.inputs[0].width), np.uint8)
        self._seen[:, prompt] = 1
        self._runtime = create_runtime(program, len(rows))
        (self._ids,), (self._logits,) = self._runtime.inputs, self._runtime.outputs
        self._read(program, prompt)
        if isinstance(self._runtime, NativeRuntime):
            self._advance = self._native_loop(self._runtime)
        else:
            self._advance = self._numpy_loop(self._runtime)

    def _read(self, program: Program, prompt: np.ndarray) -> None:
        """Read the prompt once and repeat the states and the logits after it for each row."""
        stream = Stream(program)
        for start in range(0, len(prompt), STEPS_PER_PUSH):
            logits = stream.push(prompt[None, start : start + STEPS_PER_PUSH])
            self._logits[...] = np.asarray(logits)[0, -1]
        n = len(self._rows)
        self._runtime.set_states({name: np.repeat(state, n, axis=0) for name, state in stream.state.items()})

    def advance(self, count: int) -> np.ndarray:
        """Return the next `count` ids of each row, int32 (n, count).

        Raises:
            ValueError: If the logits are not finite.
        """
        return self._advance(count).T.astype(np.int32)

    def _native_loop(self, runtime: NativeRuntime) -> Callable[[int], np.ndarray]:
        """Return a function that generates ids (count, n) in one call of the native library."""
        sampler = NativeSampler(self._sampling, self._seed, self._rows, self._logits, self._seen, self._ids)

        def advance(count: int) -> np.ndarray:
            ids, finite = sampler.generate(runtime.structure, count)
            if not finite:
                raise ValueError(not_finite_message(self._name))
            return ids

        return advance

    def _numpy_loop(self, runtime: Runtime) -> Callable[[int], np.ndarray]:
        """Return a function that generates ids (count, n) in NumPy."""
        position = 0

        def advance(count: int) -> np.ndarray:
            nonlocal position
            numbers = uniforms(self._seed, np.arange(position, position + count), self._rows)[..., 0]
            ids = np.empty((count, len(self._rows)), np.int64)
            for number in range(count):
                if position:
                    runtime.step()
                self._ids[...] = sample(self._sampling, self._name, self._logits, self._seen, numbers[number])
                ids[number] = self._ids
                position += 1
            return ids

        return advance

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


def logits_of(program: Program) -> Program:
    """Return the program whose output are logits, for any batch size: that of a softmax ends before it.

    Raises:
        ValueError: If the program does not read ids, or does not return one logit for each.
    """
    by_name = {operation.name: operation for operation in program.operations}
    last = by_name.get(program.outputs[0])
    if isinstance(last, Softmax) and not last.logarithm:  # log-probabilities are logits
        program = replace(program, outputs=last.inputs)
    if program.batch_size is not None:
        program = replace(program, batch_size=None)
    shape = (len(program.inputs), program.inputs[0].ids, len(program.outputs))
    if shape != (1, True, 1) or program.widths[program.outputs[0]] != program.inputs[0].width:
        inputs = ", ".join(f"{one.width} {'ids' if one.ids else 'features'}" for one in program.inputs)
        widths = ", ".join(str(program.widths[name]) for name in program.outputs)
        raise ValueError(
            f"model {program.name!r} must read ids and return one logit for each of them, to generate ids, but it "
            f"reads {inputs} and returns {widths} features"
        )
    return program
