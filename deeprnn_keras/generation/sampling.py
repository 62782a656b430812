"""Sampling of the next ids from logits in NumPy; `kernels/native/src/sampling.c` is the same in C."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from deeprnn_keras import checks


@dataclass(frozen=True)
class Sampling:
    """Distribution from which the next symbol is drawn, given its logits.

    The options apply in the order of the attributes.

    Attributes:
        repetition_penalty: Positive logits of the ids that have occurred are divided by it, negative ones multiplied
            (Keskar et al. 2019); 1 for none.
        temperature: The logits are divided by it. 0 selects the largest logit, of equal ones that of the lowest id.
        top_k: Number of the most probable ids that are kept, of equally probable ones those with the lowest ids; None
            for all.
        top_p: Nucleus sampling (Holtzman et al. 2020): keep the smallest set of the most probable ids whose probability
            reaches it; None for all.
        min_p: Keep the ids whose probability is at least this fraction of the largest; None for all.

    Raises:
        ValueError: If an option is out of range.
    """

    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        checks.store(
            self,
            repetition_penalty=checks.positive("repetition_penalty", self.repetition_penalty),
            temperature=checks.non_negative("temperature", self.temperature),
            top_k=checks.positive_int_or_none("top_k", self.top_k),
            top_p=_share_or_none("top_p", self.top_p),
            min_p=_share_or_none("min_p", self.min_p),
        )


def _share_or_none(name: str, value: Any) -> float | None:  # noqa: ANN401 - it is checked here
    if value is None:
        return None
    return checks.number(name, value, 0.0, math.nextafter(1.0, 2.0), "a number in (0, 1] or None")


def sample(sampling: Sampling, name: str, logits: np.ndarray, seen: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return the next ids and mark them as seen.

    Args:
        sampling: The distribution.
        name: Name of the model, for the error message.
        logits: float32 (n, V).
        seen: 1 for each id that has occurred, otherwise 0, uint8 (n, V).
        uniform: Random numbers in [0, 1), (n,).

    Returns:
        The ids, int32 (n,).

    Raises:
        ValueError: If the logits are not finite.
    """
    logits = penalized(checked_logits(name, logits), seen, sampling.repetition_penalty)
    greedy = sampling.temperature == 0
    ids = np.argmax(logits, axis=-1) if greedy else draw(weights(sampling, logits), uniform)
    seen[np.arange(len(seen)), ids] = 1
    return ids.astype(np.int32)


def checked_logits(name: str, logits: np.ndarray) -> np.ndarray:
    """Return logits as float64 if symbols can be drawn from them.

    Raises:
        ValueError: If they contain NaN or infinity, for example because the weights are not finite.
    """
    # -inf excludes a symbol and is allowed; the maximum of an array with NaN is NaN
    if not np.isfinite(logits.max(axis=-1)).all():
        raise ValueError(not_finite_message(name))
    return np.asarray(logits, np.float64)


def not_finite_message(name: str) -> str:
    """Return the message of the error for logits that are not finite."""
    return (
        f"model {name!r} cannot generate: its outputs are not finite, because its weights are not, or because "
        "activations overflow; load weights of an earlier epoch or train it again"
    )


def penalized(logits: np.ndarray, seen: np.ndarray, penalty: float) -> np.ndarray:
    """Return logits (n, V) after the repetition penalty."""
    if penalty == 1:
        return logits
    largest = np.finfo(np.float64).max
    with np.errstate(over="ignore"):
        reduced = np.where(logits > 0, np.minimum(logits / penalty, largest), np.maximum(logits * penalty, -largest))
    return np.where(np.logical_and(seen, np.isfinite(logits)), reduced, logits)


def weights(sampling: Sampling, logits: np.ndarray) -> np.ndarray:
    """Return numbers that are proportional to the probabilities of the ids, 0 for excluded ones, float64 (n, V).

    The weight of the most probable id is 1. `logits` are those after the repetition penalty.
    """
    with np.errstate(over="ignore"):  # at temperatures near 0, all but the largest logits become -inf
        result = np.exp((logits - logits.max(axis=-1, keepdims=True)) / sampling.temperature)
    if sampling.top_k is not None and sampling.top_k < result.shape[-1]:
        order = _decreasing(result)
        np.put_along_axis(result, order[:, sampling.top_k :], 0.0, axis=-1)
    if sampling.top_p is not None and sampling.top_p < 1:
        order = _decreasing(result)
        reached = np.cumsum(np.take_along_axis(result, order, axis=-1), axis=-1)
        enough = sampling.top_p * np.cumsum(result, axis=-1)[:, -1:]
        excluded = np.zeros(result.shape, bool)
        excluded[:, 1:] = reached[:, :-1] >= enough
        np.put_along_axis(result, order, np.where(excluded, 0.0, np.take_along_axis(result, order, -1)), axis=-1)
    return result if sampling.min_p is None else np.where(result < sampling.min_p, 0.0, result)


def _decreasing(values: np.ndarray) -> np.ndarray:
    """Return the ids in decreasing order of their values, of equal ones the lowest first, (n, V)."""
    return np.argsort(-values, axis=-1, kind="stable")


def draw(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return ids (n,) that are drawn with probabilities proportional to `weights`, float64 (n, V).

    An id is the first at which the cumulative sum of the weights exceeds u times their sum. Sums are made in float64
    in the order of the ids.
    """
    reached = np.cumsum(weights, axis=-1)
    return np.argmax(reached > (uniform * reached[:, -1])[:, None], axis=-1)
