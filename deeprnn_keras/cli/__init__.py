"""The command `deeprnn`, a thin layer over the library; only commands that build or run a model import TensorFlow."""

from deeprnn_keras.cli.main import main

__all__ = ["main"]
