"""`KerasReference`: a Keras or tf_keras model that runs itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from typing_extensions import override

from deeprnn_keras.interop.source import Reference

LONG = 200
"""Number of steps from which tracing a graph takes less time than running the steps of Keras' loop one by one."""


def run_model(model: Any, x: Any) -> Any:  # noqa: ANN401 - of Keras or tf_keras
    """Return the outputs of a model or layer; a model that reads long sequences runs as a graph.

    Args:
        model: The model or layer, of Keras or tf_keras.
        x: Its input or inputs.
    """
    first = x[0] if isinstance(x, (list, tuple)) else x
    if hasattr(model, "predict_on_batch") and first.ndim > 1 and first.shape[1] >= LONG:
        return model.predict_on_batch(x)
    return model(x, training=False)


class KerasReference(Reference):
    """A built Keras or tf_keras model or layer. It reports its outputs, not those of its layers.

    Args:
        model: The model.
        title: The library and its version.
    """

    def __init__(self, model: Any, title: str) -> None:  # noqa: ANN401 - of Keras or tf_keras
        self.model, self.title = model, title

    @override
    def run(self, x: Any) -> dict[str, np.ndarray]:
        result = run_model(self.model, x)
        outputs = result if isinstance(result, (list, tuple)) else [result]
        names = ["output"] if len(outputs) == 1 else [f"output_{number}" for number in range(1, len(outputs) + 1)]
        return dict(zip(names, map(np.asarray, outputs), strict=True))
