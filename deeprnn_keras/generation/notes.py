"""`generate_notes`: continue a piano roll frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras import checks, progress
from deeprnn_keras._types import ArrayLike
from deeprnn_keras.data.values import numeric_array
from deeprnn_keras.generation.stepwise import checked_logits, current_stepper, zero_state

if TYPE_CHECKING:
    import keras

MAX_LOGIT_DIFFERENCE = 60.0  # a note whose logit is this far below the largest is practically never drawn


def generate_notes(
    model: keras.Model,
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
        model: Model from rolls (n, T, K) to logits (n, T, K) of the next frame, a chain of layers supported by
            `with_state`.
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
    rng = np.random.default_rng(checks.generator_seed("seed", seed))
    start, num_keys = numeric_array("start", start).astype("float32"), model.output_shape[-1]
    if start.ndim != 2 or not len(start) or start.shape[1] != num_keys:
        raise ValueError(f"start must be a piano roll (T, {num_keys}) with T at least 1, got shape {start.shape}")
    if np.any((start != 0) & (start != 1)):
        raise ValueError(f"start must contain 0 and 1 only, got values from {start.min()} to {start.max()}")
    if notes is not None and notes > num_keys:
        raise ValueError(f"notes must be at most {num_keys}, the number of outputs of the model, got {notes}")
    stepper = current_stepper(model)
    state, inputs, frames = zero_state(stepper, 1), start, []
    for _ in progress.tracked(range(length), length):
        logits, *state = stepper.predict_on_batch([inputs[None], *state])
        frame_logits = checked_logits(model, logits[0, -1])
        with np.errstate(over="ignore"):  # at temperatures near 0, logits become infinite
            if notes is None:
                frames.append(_draw(frame_logits / temperature, rng))
            else:  # only differences between logits matter
                frames.append(_draw_notes((frame_logits - frame_logits.max()) / temperature, notes, rng))
        inputs = frames[-1][None]
    return np.concatenate([start, frames])


def _draw(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    # a logistic random variable is below a logit with probability sigmoid(logit)
    return (rng.logistic(size=len(logits)) < logits).astype("float32")


def _draw_notes(logits: np.ndarray, notes: int, rng: np.random.Generator) -> np.ndarray:
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
        if remaining and rng.random() * total[key, remaining] < odds[key] * total[key + 1, remaining - 1]:
            frame[key], remaining = 1, remaining - 1
    return frame
