"""`generate_strokes`: write with a model of pen strokes, point by point."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras import checks, progress
from deeprnn_keras._types import ArrayLike
from deeprnn_keras.data.handwriting import START
from deeprnn_keras.data.values import numeric_array
from deeprnn_keras.generation.continuation import as_program
from deeprnn_keras.generation.random_numbers import checked_seed, uniforms
from deeprnn_keras.generation.sampling import checked_logits
from deeprnn_keras.streaming import Stream

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.program.program import Program

PER_COMPONENT = 6  # outputs: weight, two means, two standard deviations, correlation
MAX_LOG_DEVIATION = 10.0
MAX_CORRELATION = 9.0  # before tanh; beyond, tanh is 1 in float32
NUMBERS_PER_POINT = 4  # component, two coordinates, end of a stroke


def generate_strokes(
    model: keras.Model | Program,
    length: int = 600,
    *,
    start: ArrayLike | None = None,
    bias: float = 0.0,
    seed: int | None = None,
) -> np.ndarray:
    """Return pen strokes of `length` points, each drawn given all points before it.

    A component j of the mixture is drawn with the probabilities π, the offsets from N(μ_j, σ_j, ρ_j), and the end of a
    stroke with probability p; see `deeprnn_keras.models.StrokeNLL`. With a bias b >= 0, samples are more probable and
    less varied (Graves 2013, equations 61 and 62):

        σ = exp(σ̂ - b),  π = softmax(π̂ (1 + b))

    Args:
        model: Model from points (n, T, 3) to outputs (n, T, 6 M + 1): a `SequenceModel` of kind "strokes", another
            Keras model that `lower` supports, or a `Program`.
        length: Number of points to draw.
        start: Points (T, 3) to continue, as in `deeprnn_keras.data.pen_strokes`; None for an empty page.
        bias: Bias toward probable points, b, at least 0.
        seed: Random seed, or None for different strokes in every call.

    Returns:
        The start and its continuation, (T + length, 3), float32: offsets and ends of strokes.

    Raises:
        ValueError: If an argument is out of range, if the model has other sizes, or if its outputs are not finite.

    >>> from deeprnn_keras import SequenceModel
    >>> from deeprnn_keras.generation import generate_strokes
    >>> model = SequenceModel(3, 13, units=8, kind="strokes")
    >>> generate_strokes(model, length=5, seed=0).shape
    (5, 3)
    """
    length, bias = checks.positive_int("length", length), checks.non_negative("bias", bias)
    seed = checked_seed(seed)
    begun = np.zeros((0, 3), "float32") if start is None else numeric_array("start", start).astype("float32")
    if begun.ndim != 2 or begun.shape[1] != 3:
        raise ValueError(f"start must be points (T, 3), got shape {begun.shape}")
    program = as_program(model)
    width, inputs = program.widths[program.outputs[0]], program.inputs[0]
    if inputs.ids or inputs.width != 3 or width < PER_COMPONENT + 1 or width % PER_COMPONENT != 1:
        raise ValueError(
            f"model {program.name!r} must read 3 features and return 6 M + 1 outputs for M components, got "
            f"{inputs.width} and {width}"
        )
    stream = Stream(program)
    outputs = np.asarray(stream.push(np.concatenate([np.array([START], "float32"), begun])[None]))[0, -1]
    numbers = uniforms(seed, np.arange(length), np.zeros(1), NUMBERS_PER_POINT)[:, 0]
    points: list[np.ndarray] = []
    for drawn in progress.tracked(numbers, length):
        outputs = np.asarray(stream(points[-1][None]))[0] if points else outputs
        points.append(_point(checked_logits(program.name, outputs), bias, drawn))
    return np.concatenate([begun, points])


def _point(outputs: np.ndarray, bias: float, numbers: np.ndarray) -> np.ndarray:
    """Draw a point from the distribution of the next one, with four numbers in [0, 1)."""
    outputs = outputs.astype("float64")
    end, components = outputs[0], outputs[1:].reshape(PER_COMPONENT, -1)
    powers = np.exp((components[0] - components[0].max()) * (1 + bias))
    chosen = min(int(np.searchsorted(np.cumsum(powers), numbers[0] * powers.sum(), "right")), len(powers) - 1)
    _, mean_1, mean_2, log_1, log_2, correlation = components[:, chosen]
    log_1, log_2 = np.clip([log_1, log_2], -MAX_LOG_DEVIATION, MAX_LOG_DEVIATION) - bias
    radius, angle = math.sqrt(-2 * math.log1p(-numbers[1])), 2 * math.pi * numbers[2]  # Box & Muller 1958
    first, second = radius * math.cos(angle), radius * math.sin(angle)
    rho = math.tanh(min(max(correlation, -MAX_CORRELATION), MAX_CORRELATION))
    second = rho * first + math.sqrt(1 - rho * rho) * second
    is_end = numbers[3] < 1 / (1 + math.exp(-min(max(end, -700.0), 700.0)))
    return np.array([mean_1 + math.exp(log_1) * first, mean_2 + math.exp(log_2) * second, is_end], "float32")
