"""Recognition of sources by their content. The suffix of a file is never sufficient."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from deeprnn_keras.interop import nam_source, state_dict_source
from deeprnn_keras.interop.keras_files import recognize_keras
from deeprnn_keras.interop.onnx_file import source as onnx_source
from deeprnn_keras.interop.source import HEAD_BYTES, Content, Source
from deeprnn_keras.reading import require_regular_file

# Each recognizer returns the opened source, or None if the content is of another kind. It raises a DamagedFileError for
# content of its kind that is damaged, and a ValueError for content of its kind that is not supported.
RECOGNIZERS: dict[str, Callable[[Content], Source | None]] = {
    "a PyTorch state dict (a mapping, a .safetensors file, or a file of torch.save)": state_dict_source.recognize,
    "an ONNX file": onnx_source.recognize,
    "a file of Neural Amp Modeler": nam_source.recognize,
    "a Keras file (HDF5, .keras, or JSON with weights beside it)": recognize_keras,
}


def recognize(source: object) -> Source:
    """Return the opened source of what was passed to `interop.load`.

    Args:
        source: Path of a file, or a mapping of arrays.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If the file is damaged.
        ValueError: If the content is of no supported kind.

    >>> from deeprnn_keras.interop.recognition import recognize
    >>> recognize({"weight": 1})
    Traceback (most recent call last):
        ...
    ValueError: source['weight'] must be an array, got int
    """
    content = read_content(source)
    for recognizer in RECOGNIZERS.values():
        found = recognizer(content)
        if found is not None:
            return found
    *others, last = RECOGNIZERS
    received = f"{content.path}, whose content is of none of these kinds" if content.path else type(source).__name__
    received = f"{content.path}, which is empty" if content.path and not content.head else received
    raise ValueError(f"source must be {', '.join(others)}, or {last}; got {received}")


def read_content(source: object) -> Content:
    """Return what was passed with the beginning of its file.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If it is not a regular file.
    """
    if not isinstance(source, (str, os.PathLike)):
        return Content(source)
    path = require_regular_file(Path(source).expanduser())
    with path.open("rb") as file:
        return Content(source, path, file.read(HEAD_BYTES))
