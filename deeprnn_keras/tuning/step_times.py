"""`StepTimes`: whether a model's training step is fast enough, measured on this machine and remembered."""

import json
from pathlib import Path

from deeprnn_keras.training.files import save_json


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
