"""Complete Keras models: layers, output head, and the loss, metrics, and data conversion of the task."""

from deeprnn_keras.models.language_model import LanguageModel
from deeprnn_keras.models.loading import load_language_model, load_model
from deeprnn_keras.models.output_kinds import FrameNLL
from deeprnn_keras.models.sequence_model import SequenceModel

__all__ = ["FrameNLL", "LanguageModel", "SequenceModel", "load_language_model", "load_model"]
