"""`generate_notes`: music from a model of notes, frame by frame."""

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.generation.with_state import with_state, zero_state


def generate_notes(model, start, length=64, *, temperature=1.0, seed=None):
    """Continues a piano roll by `length` frames; each note of a frame is drawn by itself, given the frames before.

        p(note k sounds at t + 1 | frames to t) = sigmoid(O_tk / temperature)

    Args:
        model: from rolls (n, T, K) to logits (n, T, K) of the next frame, a chain as `with_state` asks for.
        start: the roll (T, K) of 0 and 1 that the model reads first, at least one frame.
        length: frames to add.
        temperature: above 0; below 1 the likely gets likelier.
        seed: a whole number for the same music each time, or None.

    Returns:
        The start and its continuation, (T + length, K), float32.

    Raises:
        ValueError: for arguments out of range, or a start of other form.

    >>> import numpy as np
    >>> from deeprnn_keras import SequenceModel, generate_notes
    >>> model = SequenceModel(88, 88, units=8, kind="notes")
    >>> generate_notes(model, np.zeros((4, 88)), length=6, seed=0).shape
    (10, 88)
    """
    length = checks.positive_int("length", length)
    temperature = checks.number("temperature", temperature, 0.0, right="a positive number")
    start, keys = np.asarray(start, "float32"), model.output_shape[-1]
    if start.ndim != 2 or not len(start) or start.shape[1] != keys or np.any((start != 0) & (start != 1)):
        raise ValueError(f"start must be a roll (T, {keys}) of 0 and 1 with T of at least 1, got shape {start.shape}")
    stepper, rng = with_state(model), np.random.default_rng(seed)
    state, read, written = zero_state(stepper, 1), start, []
    for _ in range(length):
        logits, *state = stepper.predict_on_batch([read[None], *state])
        written.append(_draw(logits[0, -1], temperature, rng))
        read = written[-1][None]
    return np.concatenate([start, written])


def _draw(logits, temperature, rng):
    # a logistic variable is below a logit with probability sigmoid(logit)
    return (rng.logistic(size=len(logits)) < np.asarray(logits, "float64") / temperature).astype("float32")
