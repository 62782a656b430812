"""`load_language_model`: load a `LanguageModel` from a file."""

from __future__ import annotations

import keras

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike
from deeprnn_keras.models.language_model import LanguageModel


def load_language_model(path: PathLike) -> LanguageModel:
    """Load a `LanguageModel` from a `.keras` file, or from `model.keras` in the output directory of a run.

    Keras' safe mode stays on: a file that contains code is rejected.

    Args:
        path: Path of the file or of the directory.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not a `.keras` file, or contains a model of another class.
    """
    path = checks.model_file("model", path)
    model = keras.models.load_model(path)
    if not isinstance(model, LanguageModel):
        raise ValueError(f"model {str(path)!r} must be a LanguageModel, got a {type(model).__name__}")
    return model
