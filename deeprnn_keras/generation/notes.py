"""`generate_notes`: music from a model of notes, frame by frame."""

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.generation.stepwise import with_state, zero_state

LARGEST = 60.0  # of a difference of logits: beyond it a key never sounds


def generate_notes(model, start, length=64, *, notes=None, temperature=1.0, seed=None):
    """Continues a piano roll by `length` frames; each note of a frame is drawn by itself, given the frames before.

        p(note k sounds at t + 1 | frames to t) = sigmoid(O_tk / temperature)

    With `notes` the draw is from the same distribution, given that so many sound: p(frame) ~ exp(sum of O_tk /
    temperature over the notes that do), over all frames of so many notes. Four voices then stay four.

    Args:
        model: from rolls (n, T, K) to logits (n, T, K) of the next frame, a chain as `with_state` asks for.
        start: the roll (T, K) of 0 and 1 that the model reads first, at least one frame.
        length: frames to add.
        notes: how many sound in each frame, or None for as many as are drawn.
        temperature: above 0; below 1 the likely gets likelier.
        seed: a whole number for the same music each time, or None.

    Returns:
        The start and its continuation, (T + length, K), float32.

    Raises:
        ValueError: for arguments out of range, or a start of other form.

    >>> import numpy as np
    >>> from deeprnn_keras import SequenceModel
    >>> from deeprnn_keras.generation import generate_notes
    >>> model = SequenceModel(88, 88, units=8, kind="notes")
    >>> generate_notes(model, np.zeros((4, 88)), length=6, seed=0).shape
    (10, 88)
    """
    length = checks.positive_int("length", length)
    temperature = checks.positive("temperature", temperature)
    start, keys = np.asarray(start, "float32"), model.output_shape[-1]
    if start.ndim != 2 or not len(start) or start.shape[1] != keys or np.any((start != 0) & (start != 1)):
        raise ValueError(f"start must be a roll (T, {keys}) of 0 and 1 with T of at least 1, got shape {start.shape}")
    if notes is not None and checks.positive_int("notes", notes) > keys:
        raise ValueError(f"notes must be at most {keys}, as many as the model has, got {notes}")
    stepper, rng = with_state(model), np.random.default_rng(seed)
    state, read, written = zero_state(stepper, 1), start, []
    for _ in range(length):
        logits, *state = stepper.predict_on_batch([read[None], *state])
        scaled = np.asarray(logits[0, -1], "float64") / temperature
        written.append(_draw(scaled, rng) if notes is None else _draw_notes(scaled, notes, rng))
        read = written[-1][None]
    return np.concatenate([start, written])


def _draw(logits, rng):
    # a logistic variable is below a logit with probability sigmoid(logit)
    return (rng.logistic(size=len(logits)) < logits).astype("float32")


def _draw_notes(logits, notes, rng):
    """A draw of so many notes (Chen & Liu 1997): key by key, given how many are still to come.

    total[i, j] is the sum over all ways to choose j of the keys from i on, of the product of their odds.
    """
    keys = len(logits)
    odds = np.exp(np.clip(logits - logits.max(), -LARGEST, 0))  # only their ratios count
    total = np.zeros((keys + 1, notes + 1))
    total[:, 0] = 1
    for key in reversed(range(keys)):
        total[key, 1:] = total[key + 1, 1:] + odds[key] * total[key + 1, :-1]
    frame, left = np.zeros(keys, "float32"), notes
    for key in range(keys):
        if left and rng.random() * total[key, left] < odds[key] * total[key + 1, left - 1]:
            frame[key], left = 1, left - 1
    return frame
