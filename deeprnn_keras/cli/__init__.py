"""The command `deeprnn`: a thin face over the library. TensorFlow is imported only by commands that compute."""

from deeprnn_keras.cli.main import main

__all__ = ["main"]
