"""How long a training step takes, on this machine."""

import statistics
import time

import numpy as np

WARM_UP, STEPS, SECONDS = 2, 5, 0.5


def step_ms(model, batch):
    """Milliseconds of a training step of a compiled model: the median of some, after two that compile.

    Args:
        batch: what the training data yields, (x, y) or (x, y, sample_weight).
    """
    for _ in range(WARM_UP):
        model.train_on_batch(*batch)
    times, began = [], time.perf_counter()
    while len(times) < STEPS or time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        model.train_on_batch(*batch)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def first_batch(x, y=None, sample_weight=None, batch_size=32):
    """The first batch of training data, arrays or a data set, as a tuple."""
    import keras

    if hasattr(x, "element_spec"):
        if hasattr(x, "set_position"):
            x.set_position(0)
        batch = next(iter(x.take(1)))
        if hasattr(x, "set_position"):
            x.set_position(0)
        return batch
    given = tuple(part for part in (x, y, sample_weight) if part is not None)
    return keras.tree.map_structure(lambda array: np.asarray(array)[:batch_size], given)
