"""`KerasReference`: a Keras or tf_keras model that runs itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from typing_extensions import override

from deeprnn_keras.interop.source import Reference


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
        result = self.model(x, training=False)
        outputs = result if isinstance(result, (list, tuple)) else [result]
        names = ["output"] if len(outputs) == 1 else [f"output_{number}" for number in range(1, len(outputs) + 1)]
        return dict(zip(names, map(np.asarray, outputs), strict=True))
