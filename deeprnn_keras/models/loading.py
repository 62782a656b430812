"""Models of text and of series from files, with errors that say what is wrong."""

import keras

from deeprnn_keras import checks
from deeprnn_keras.models.language_model import LanguageModel
from deeprnn_keras.models.sequence_model import SequenceModel


def load_language_model(path):
    """The `LanguageModel` in a `.keras` file, or in `model.keras` of a training's folder.

    Keras' safe mode stays on: a file that carries code is refused.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else.
    """
    return load_model_of(path, LanguageModel)


def load_model_of(path, *kinds):
    """The same for a model of one of some classes; none given: `LanguageModel` or `SequenceModel`."""
    path, kinds = checks.model_file("model", path), kinds or (LanguageModel, SequenceModel)
    model = keras.models.load_model(path)
    if not isinstance(model, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"model {str(path)!r} holds a {type(model).__name__}, not a {wanted}")
    return model
