"""Whole models: layers, head and what belongs to the task."""

from deeprnn_keras.models.language_model import LanguageModel
from deeprnn_keras.models.loading import load_language_model

__all__ = ["LanguageModel", "load_language_model"]
