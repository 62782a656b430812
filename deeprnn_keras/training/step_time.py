"""Duration of a training step on this machine."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras._types import ArrayLike, Tensor

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

WARM_UP_STEPS, MIN_STEPS, MIN_SECONDS = 2, 5, 0.5


def step_ms(model: keras.Model, batch: tuple[Tensor, ...]) -> float:
    """Return the median duration of a training step, in milliseconds.

    The first two steps, which include compilation, are not timed. The weights of the model change.

    Args:
        model: A compiled model.
        batch: One batch, `(x, y)` or `(x, y, sample_weight)`.
    """
    for _ in range(WARM_UP_STEPS):
        model.train_on_batch(*batch)
    seconds: list[float] = []
    start = time.perf_counter()
    while len(seconds) < MIN_STEPS or time.perf_counter() - start < MIN_SECONDS:
        step_start = time.perf_counter()
        model.train_on_batch(*batch)
        seconds.append(time.perf_counter() - step_start)
    return 1e3 * statistics.median(seconds)


def first_batch(
    x: ArrayLike | tf.data.Dataset,
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    batch_size: int = 32,
) -> tuple[Tensor, ...]:
    """Return the first batch of training data as a tuple.

    Args:
        x: Inputs, or a dataset of batches; its position is reset.
        y: Targets, unless `x` is a dataset.
        sample_weight: Sample weights, or None.
        batch_size: Number of examples to take from arrays.
    """
    import keras

    if hasattr(x, "element_spec"):
        if hasattr(x, "set_position"):
            x.set_position(0)
        batch = next(iter(x.take(1)))
        if hasattr(x, "set_position"):
            x.set_position(0)
        return batch
    arguments = tuple(part for part in (x, y, sample_weight) if part is not None)
    return keras.tree.map_structure(lambda array: np.asarray(array)[:batch_size], arguments)
