"""`load_model` and `load_language_model`: load models from `.keras` files."""

from __future__ import annotations

from collections.abc import Iterator

import keras

from deeprnn_keras import _compat, checks, limits
from deeprnn_keras._types import PathLike
from deeprnn_keras.keras_objects import check_config
from deeprnn_keras.model_file import EXPECTED, model_file, read_model_config
from deeprnn_keras.models.language_model import LanguageModel
from deeprnn_keras.reading import DamagedFileError, damage_reported

BYTES_PER_STORED_BYTE = 2  # weights of 16 bits are counted as 32 bits before the model is built


def load_model(path: PathLike, compile: bool = True) -> keras.Model:
    """Load a model from a `.keras` file, or from `model.keras` in the output directory of a run.

    The whole file is checked first. It is refused if it contains code, if it names objects other than activations,
    layers, and other objects of Keras and of imported modules, or if its model is larger than its weights.

    Args:
        path: Path of the file or of the directory.
        compile: If True, compile the model as it was when it was saved.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If the file is damaged or not supported.

    >>> import tempfile
    >>> from deeprnn_keras import LanguageModel
    >>> from deeprnn_keras.models import load_model
    >>> path = f"{tempfile.mkdtemp()}/model.keras"
    >>> LanguageModel("abc", units=4).save(path)
    >>> load_model(path).vocabulary_size
    3
    """
    compile, path = checks.flag("compile", compile), model_file("model", path)
    config, weights_size = read_model_config(path)
    if not compile:
        config.pop("compile_config", None)  # losses and metrics need not be registered
    try:
        check_config(config)
    except ValueError as error:
        raise DamagedFileError(path, error) from error
    # Keras and TensorFlow raise errors of many classes
    with damage_reported(path, EXPECTED, Exception), limits.limited_by_file(BYTES_PER_STORED_BYTE * weights_size):
        _compat.reserve_names(_names(config))
        return keras.saving.load_model(path, compile=compile)


def _names(config: object) -> Iterator[str]:
    """Yield the names of the layers in a configuration."""
    if isinstance(config, dict):
        if isinstance(config.get("name"), str):
            yield config["name"]
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from _names(part)


def load_language_model(path: PathLike) -> LanguageModel:
    """Load a `LanguageModel` from a `.keras` file, or from `model.keras` in the output directory of a run.

    The file is checked as by `load_model`; a file that contains code is refused.

    Args:
        path: Path of the file or of the directory.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If the file is damaged or not supported.
        ValueError: If it contains another model.

    >>> import tempfile
    >>> from deeprnn_keras import LanguageModel
    >>> from deeprnn_keras.models import load_language_model
    >>> path = f"{tempfile.mkdtemp()}/model.keras"
    >>> LanguageModel("abc", units=4).save(path)
    >>> len(load_language_model(path).generate("ab", length=3))
    5
    """
    model = load_model(path)
    if not isinstance(model, LanguageModel):
        raise ValueError(f"model {str(path)!r} must be a LanguageModel, got a {type(model).__name__}")
    return model
