"""Language models from files, with errors that say what is wrong."""

from __future__ import annotations

import os

import keras

from deeprnn_keras import checks
from deeprnn_keras.models.language_model import LanguageModel


def load_language_model(path: str | os.PathLike[str]) -> LanguageModel:
    """Load a `LanguageModel` from a `.keras` file, or from `model.keras` in the directory of a run.

    Keras' safe mode stays on: a file that contains code is refused.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else.
    """
    path = checks.model_file("model", path)
    model = keras.models.load_model(path)
    if not isinstance(model, LanguageModel):
        raise ValueError(f"model {str(path)!r} holds a {type(model).__name__}, not a LanguageModel")
    return model
