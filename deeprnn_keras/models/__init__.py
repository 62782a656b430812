"""Whole models: layers, head and what belongs to the task."""

from deeprnn_keras.models.language_model import LanguageModel

__all__ = ["LanguageModel"]
