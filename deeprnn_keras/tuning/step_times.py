"""`StepTimes`: whether a model's training step is fast enough, measured on this machine and remembered."""

import json
import statistics
import time
from pathlib import Path

import numpy as np

from deeprnn_keras.training.files import save_json

WARM_UP, STEPS, SECONDS = 2, 5, 0.5


class StepTimes:
    """Measured milliseconds of training steps, and what follows from them for larger and smaller models.

    A model no smaller in any respect than one that was too slow is too slow, one no larger than one that was fast
    enough is fast enough; only what neither decides is measured.

    Args:
        limit: in milliseconds.
        measure: overrides -> milliseconds of a step.
        file: where to keep what was measured, or None.
    """

    def __init__(self, limit, measure, file=None):
        self.limit, self._measure, self._file = limit, measure, file and Path(file)
        self.known = json.loads(self._file.read_text()) if self._file and self._file.exists() else []

    def allows(self, overrides):
        """Whether a step of the model with these arguments takes at most the limit."""
        group, sizes = _place(overrides)
        for known in self.known:
            if known["group"] == group:
                pairs = list(zip(sizes, known["sizes"], strict=True))
                if known["ms"] <= self.limit and all(mine <= other for mine, other in pairs):
                    return True
                if known["ms"] > self.limit and all(mine >= other for mine, other in pairs):
                    return False
        ms = self._measure(overrides)
        self.known.append({"group": group, "sizes": sizes, "ms": ms})
        if self._file:
            save_json(self.known, self._file)
        return ms <= self.limit


def _place(overrides):
    """-> (what cannot be compared, what can: L, the widest h, the mean h, n, T)."""
    units = overrides.get("units", 0)
    widths = list(units) if isinstance(units, (list, tuple)) else [units] * overrides.get("num_layers", 1)
    group = [str(overrides.get(name)) for name in ("cell", "connection")]
    sizes = [len(widths), max(widths), sum(widths) / len(widths)]
    return group, [*sizes, overrides.get("batch_size") or 0, overrides.get("bptt") or 0]


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
        if hasattr(x, "begin_at"):
            x.begin_at(0)
        batch = next(iter(x.take(1)))
        if hasattr(x, "begin_at"):
            x.begin_at(0)
        return batch
    given = tuple(part for part in (x, y, sample_weight) if part is not None)
    return keras.tree.map_structure(lambda array: np.asarray(array)[:batch_size], given)
