"""`load_language_model`: a `LanguageModel` from a file, with errors that say what is wrong."""

import keras

from deeprnn_keras import checks
from deeprnn_keras.models.language_model import LanguageModel


def load_language_model(path):
    """The `LanguageModel` in a `.keras` file, or in `model.keras` of a training's folder.

    Keras' safe mode stays on: a file that carries code is refused.

    Raises:
        ValueError: if there is no such file, or it holds something else.
    """
    path = checks.model_file("model", path)
    model = keras.models.load_model(path)
    if not isinstance(model, LanguageModel):
        raise ValueError(f"model {str(path)!r} holds a {type(model).__name__}, not a LanguageModel")
    return model
