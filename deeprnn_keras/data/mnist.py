"""Sequential MNIST: images as sequences of 784 pixels, downloaded once or read from a user-provided file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike
from deeprnn_keras.data.series import LabeledSeries, SeriesSplit

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
PERMUTATION_SEED = 92_916


def sequential_mnist(path: PathLike | None = None, permuted: bool = False) -> SeriesSplit:
    """Return MNIST as sequences: handwritten digits, 28 x 28 pixels with values 0 to 255, read pixel by pixel.

    60,000 images are for training and 10,000 for testing (LeCun, Bottou, Bengio & Haffner 1998). Le, Jaitly & Hinton
    2015 use them as sequences.

    Args:
        path: Path of mnist.npz, with arrays x_train, y_train, x_test, and y_test. None: the file is downloaded,
            verified by its SHA-256, and cached by Keras.
        permuted: Whether the pixels are in a fixed random order, the same for all images.

    Returns:
        A `SeriesSplit` of series (784, 1), with the digits as targets.

    Raises:
        FileNotFoundError: If the file does not exist, or if the download fails; the message contains the URL of the
            file and, after a failed download, the path where it is expected.
        ValueError: If the file is not MNIST.

    >>> import numpy as np, pathlib, tempfile
    >>> from deeprnn_keras.data import sequential_mnist
    >>> path, images = pathlib.Path(tempfile.mkdtemp()) / "mnist.npz", np.zeros((2, 28, 28), "uint8")
    >>> np.savez(path, x_train=images, y_train=[3, 4], x_test=images, y_test=[5, 6])
    >>> sequential_mnist(path).train.series[0].shape
    (784, 1)
    """
    permuted = checks.flag("permuted", permuted)
    path = _download() if path is None else Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"MNIST file {str(path)!r} does not exist; download it from {URL}")
    try:
        with np.load(path) as stored:
            parts = [(stored[f"x_{part}"], stored[f"y_{part}"]) for part in ("train", "test")]
        sequences = [images.reshape(len(images), 784, 1).astype("float32") for images, _ in parts]
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            f"MNIST file {str(path)!r} must hold arrays x_train, y_train, x_test, and y_test: {error}; "
            f"download it from {URL}"
        ) from error
    order = np.random.default_rng(PERMUTATION_SEED).permutation(784) if permuted else np.arange(784)
    train, test = (LabeledSeries(list(x[:, order]), np.asarray(y)) for x, (_, y) in zip(sequences, parts, strict=True))
    return SeriesSplit(train, test, name="permuted MNIST" if permuted else "MNIST")


def _download() -> Path:
    import keras

    try:
        return Path(keras.utils.get_file("mnist.npz", URL, file_hash=SHA256))
    except Exception as error:  # Keras raises a bare Exception if the download fails
        cached = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "datasets" / "mnist.npz"
        raise FileNotFoundError(
            f"MNIST could not be downloaded ({error}); save {URL} as {str(cached)!r}, or pass the path of the file"
        ) from error
