"""`generate_notes`: continue a piano roll frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras import checks, progress
from deeprnn_keras._types import ArrayLike
from deeprnn_keras.data.values import numeric_array
from deeprnn_keras.generation.continuation import as_program
from deeprnn_keras.generation.random_numbers import checked_seed, uniforms
from deeprnn_keras.generation.sampling import checked_logits
from deeprnn_keras.streaming import Stream

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.program.program import Program

MAX_LOGIT_DIFFERENCE = 60.0  # a note whose logit is this far below the largest is practically never drawn
FRAMES_PER_CALL = 64  # frames whose random numbers are computed together


def generate_notes(
    model: keras.Model | Program,
    start: ArrayLike,
    length: int = 64,
    *,
    notes: int | None = None,
    temperature: float = 1.0,
    seed: int | None = None,
) -> np.ndarray:
    """Return a piano roll continued by `length` frames, whose notes are drawn independently given the past frames.

        p(note k sounds at t + 1 | frames up to t) = sigmoid(O_tk / temperature)

    With `notes`, each frame is drawn from the same distribution conditioned on the number of its notes: p(frame) is
    proportional to exp(sum of O_tk / temperature over its notes), for all frames with that number of notes. Music in
    four voices thus remains in four voices.

    Args:
        model: Model from rolls (n, T, K) to logits (n, T, K) of the next frame: a `SequenceModel` of kind "notes",
            another Keras model that `lower` supports, or a `Program`.
        start: Piano roll (T, K) of 0 and 1 to continue, at least one frame.
        length: Number of frames to generate.
        notes: Number of notes in each frame, or None for a random number.
        temperature: Sampling temperature, > 0. Values below 1 sharpen the distribution.
        seed: Random seed, or None for different music in every call.

    Returns:
        The start and its continuation, (T + length, K), float32.

    Raises:
        ValueError: If an argument is out of range, if `start` is not a roll of K notes, or if the outputs of the model
            are not finite.

    >>> import numpy as np
    >>> from deeprnn_keras import SequenceModel
    >>> from deeprnn_keras.generation import generate_notes
    >>> model = SequenceModel(88, 88, units=8, kind="notes")
    >>> generate_notes(model, np.zeros((4, 88)), length=6, seed=0).shape
    (10, 88)
    """
    length = checks.positive_int("length", length)
    notes = checks.positive_int_or_none("notes", notes)
    temperature = checks.positive("temperature", temperature)
    seed = checked_seed(seed)
    start = numeric_array("start", start).astype("float32")
    program = as_program(model)
    num_keys = program.widths[program.outputs[0]]
    if start.ndim != 2 or not len(start) or start.shape[1] != num_keys:
        raise ValueError(f"start must be a piano roll (T, {num_keys}) with T at least 1, got shape {start.shape}")
    if np.any((start != 0) & (start != 1)):
        raise ValueError(f"start must contain 0 and 1 only, got values from {start.min()} to {start.max()}")
    if notes is not None and notes > num_keys:
        raise ValueError(f"notes must be at most {num_keys}, the number of outputs of the model, got {notes}")
    stream, frames = Stream(program), []
    logits = np.asarray(stream.push(start[None]))[0, -1]
    for numbers in progress.tracked(_numbers(seed, length, num_keys), length):
        logits = np.asarray(stream(frames[-1][None]))[0] if frames else logits
        frames.append(_frame(checked_logits(program.name, logits), notes, temperature, numbers))
    return np.concatenate([start, frames])


def _numbers(seed: int, length: int, count: int) -> Iterator[np.ndarray]:
    """Yield `count` random numbers in [0, 1) for each frame."""
    for first in range(0, length, FRAMES_PER_CALL):
        positions = np.arange(first, min(first + FRAMES_PER_CALL, length))
        yield from uniforms(seed, positions, np.zeros(1), count)[:, 0]


def _frame(logits: np.ndarray, notes: int | None, temperature: float, numbers: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # at temperatures near 0, logits become infinite
        if notes is None:
            return _draw(logits / temperature, numbers)
        return _draw_notes((logits - logits.max()) / temperature, notes, numbers)  # only differences matter


def _draw(logits: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return (numbers < 1 / (1 + np.exp(-logits))).astype("float32")


def _draw_notes(logits: np.ndarray, notes: int, numbers: np.ndarray) -> np.ndarray:
    """Draw a frame with a given number of notes, key by key given the number of remaining notes (Chen & Liu 1997).

    total[i, j] is a sum over all subsets of j keys with indices i or higher: the sum of the products of their odds. The
    largest logit is 0.
    """
    num_keys = len(logits)
    odds = np.exp(np.maximum(logits, -MAX_LOGIT_DIFFERENCE))
    total = np.zeros((num_keys + 1, notes + 1))
    total[:, 0] = 1
    for key in reversed(range(num_keys)):
        total[key, 1:] = total[key + 1, 1:] + odds[key] * total[key + 1, :-1]
    frame, remaining = np.zeros(num_keys, "float32"), notes
    for key in range(num_keys):
        if remaining and numbers[key] * total[key, remaining] < odds[key] * total[key + 1, remaining - 1]:
            frame[key], remaining = 1, remaining - 1
    return frame
