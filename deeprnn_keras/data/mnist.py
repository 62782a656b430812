"""Pixel-by-pixel MNIST: images as sequences of 784 numbers, fetched once, or read from a file of the user's."""

import os
from pathlib import Path

import numpy as np

from deeprnn_keras.data.series import LabeledSeries, SeriesSplit

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
PERMUTATION = 92_916  # of pixels, where they are permuted


def sequential_mnist(path=None, permuted=False):
    """Handwritten digits, 28 x 28 pixels of 0 to 255 read one by one: 60,000 to learn from, 10,000 to be tested on.

    LeCun, Bottou, Bengio & Haffner 1998; as a sequence Le, Jaitly & Hinton 2015.

    Args:
        path: of mnist.npz, with arrays x_train, y_train, x_test, y_test; None: fetched with a pinned hash, and kept by
            Keras.
        permuted: whether the pixels come in a fixed order drawn at random, the same in all images.

    Returns a `SeriesSplit` of series (784, 1).

    Raises:
        FileNotFoundError: If the file does not exist, or cannot be fetched; the message says which file to put where.
        ValueError: If the file holds something else.

    >>> import numpy as np, pathlib, tempfile
    >>> from deeprnn_keras.data import sequential_mnist
    >>> path, images = pathlib.Path(tempfile.mkdtemp()) / "mnist.npz", np.zeros((2, 28, 28), "uint8")
    >>> np.savez(path, x_train=images, y_train=[3, 4], x_test=images, y_test=[5, 6])
    >>> sequential_mnist(path).train.series[0].shape
    (784, 1)
    """
    path = _fetched() if path is None else Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"file of MNIST {str(path)!r} does not exist; it is the one at {URL}")
    try:
        with np.load(path) as stored:
            sides = [(stored[f"x_{side}"], stored[f"y_{side}"]) for side in ("train", "test")]
        rows = [images.reshape(len(images), 784, 1).astype("float32") for images, _ in sides]
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{str(path)!r} holds no MNIST, x_train, y_train, x_test, y_test: {error}") from error
    order = np.random.default_rng(PERMUTATION).permutation(784) if permuted else np.arange(784)
    made = [LabeledSeries(list(x[:, order]), np.asarray(y)) for x, (_, y) in zip(rows, sides, strict=True)]
    return SeriesSplit(*made, name="permuted MNIST" if permuted else "MNIST")


def _fetched():
    import keras

    try:
        return Path(keras.utils.get_file("mnist.npz", URL, file_hash=SHA256))
    except Exception as error:  # Keras raises bare Exceptions for what the network did
        place = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "datasets" / "mnist.npz"
        raise FileNotFoundError(
            f"MNIST cannot be fetched ({error}); put the file {URL} to {str(place)!r}, or give its path"
        ) from error
