"""`load_language_model`: a `LanguageModel` from a file, with errors that say what is wrong."""

import zipfile
from pathlib import Path

import keras

from deeprnn_keras.models.language_model import LanguageModel


def load_language_model(path):
    """The `LanguageModel` in a `.keras` file, or in `model.keras` of a training's folder.

    Keras' safe mode stays on: a file that carries code is refused.

    Raises:
        ValueError: if there is no such file, or it holds something else.
    """
    path = Path(path).expanduser()
    path = path / "model.keras" if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"model {str(path)!r} does not exist; give a .keras file or the folder of a training")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"model {str(path)!r} is not a .keras file, or a damaged one")
    model = keras.models.load_model(path)
    if not isinstance(model, LanguageModel):
        raise ValueError(f"model {str(path)!r} holds a {type(model).__name__}, not a LanguageModel")
    return model
