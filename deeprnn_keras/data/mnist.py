"""Sequential MNIST: images as sequences of 784 pixels, downloaded once or read from a user-provided file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike
from deeprnn_keras.data.npz_file import read_npz
from deeprnn_keras.data.series import LabeledSeries, SeriesSplit
from deeprnn_keras.reading import DamagedFileError

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
PERMUTATION_SEED = 92_916
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def sequential_mnist(path: PathLike | None = None, permuted: bool = False) -> SeriesSplit:
    """Return MNIST as sequences: handwritten digits, 28 x 28 pixels with values 0 to 255, read pixel by pixel.

    60,000 images are for training and 10,000 for testing (LeCun, Bottou, Bengio & Haffner 1998). Le, Jaitly & Hinton
    2015 use them as sequences.

    Args:
        path: Path of mnist.npz, with arrays x_train, y_train, x_test, and y_test. None: the file is downloaded,
            verified by its SHA-256, and cached by Keras.
        permuted: If True, the pixels are in a fixed random order, the same for all images.

    Returns:
        A `SeriesSplit` of series (784, 1), with the digits as targets.

    Raises:
        FileNotFoundError: If the file does not exist, or if the download fails; the message contains the URL of the
            file and, after a failed download, the path where it is expected.
        DamagedFileError: If the file does not contain images (n, 28, 28) with values 0 to 255 and their labels 0 to 9.

    >>> import numpy as np, pathlib, tempfile
    >>> from deeprnn_keras.data import sequential_mnist
    >>> path, images = pathlib.Path(tempfile.mkdtemp()) / "mnist.npz", np.zeros((2, 28, 28), "uint8")
    >>> np.savez(path, x_train=images, y_train=[3, 4], x_test=images, y_test=[5, 6])
    >>> sequential_mnist(path).train.series[0].shape
    (784, 1)
    """
    permuted = checks.flag("permuted", permuted)
    path = _download() if path is None else Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"MNIST file {str(path)!r} does not exist; download it from {URL}")
    arrays = read_npz(path, ARRAYS)
    for part in ("train", "test"):
        problem = _problem(part, arrays[f"x_{part}"], arrays[f"y_{part}"])
        if problem is not None:
            raise DamagedFileError(path, f"{problem}; download MNIST from {URL}")
    order = np.random.default_rng(PERMUTATION_SEED).permutation(784) if permuted else np.arange(784)
    train, test = (_pixel_series(arrays[f"x_{part}"], arrays[f"y_{part}"], order) for part in ("train", "test"))
    return SeriesSplit(train, test, name="permuted MNIST" if permuted else "MNIST")


def _problem(part: str, images: np.ndarray, labels: np.ndarray) -> str | None:
    """Return what is wrong with one part of the archive, or None."""
    if images.ndim != 3 or images.shape[1:] != (28, 28) or not len(images):
        return f"x_{part} must have shape (n, 28, 28) with n at least 1, got {images.shape}"
    if labels.shape != (len(images),):
        return f"y_{part} must have shape ({len(images)},), one label per image, got {labels.shape}"
    if images.dtype.kind not in "uif" or not (images.min() >= 0 and images.max() <= 255):
        return f"x_{part} must contain numbers from 0 to 255, got {_describe_range(images)}"
    if labels.dtype.kind not in "uif" or not np.isin(labels, np.arange(10)).all():
        return f"y_{part} must contain digits from 0 to 9, got {_describe_range(labels)}"
    return None


def _describe_range(values: np.ndarray) -> str:
    if values.dtype.kind not in "uif":
        return f"type {values.dtype}"
    return f"{values.dtype} from {values.min()} to {values.max()}"


def _pixel_series(images: np.ndarray, labels: np.ndarray, order: np.ndarray) -> LabeledSeries:
    sequences = images.reshape(len(images), 784, 1).astype("float32")
    return LabeledSeries(list(sequences[:, order]), labels.astype("int64"))


def _download() -> Path:
    import keras

    try:
        return Path(keras.utils.get_file("mnist.npz", URL, file_hash=SHA256))
    except Exception as error:  # Keras raises a bare Exception if the download fails
        cached = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "datasets" / "mnist.npz"
        raise FileNotFoundError(
            f"MNIST could not be downloaded ({error}); save {URL} as {str(cached)!r}, or pass the path of the file"
        ) from error
