"""Complete Keras models: layers, output head, and the loss, metrics, and data conversion of the task."""

from deeprnn_keras.models.audio_effect import AudioEffect
from deeprnn_keras.models.audio_losses import ESR, ErrorToSignal, MultiResolutionSTFT
from deeprnn_keras.models.ctc import LabelErrorRate, decode_ctc, label_error_rate
from deeprnn_keras.models.language_model import LanguageModel
from deeprnn_keras.models.loading import load_language_model, load_model
from deeprnn_keras.models.mixture import StrokeNLL
from deeprnn_keras.models.output_kinds import FrameNLL
from deeprnn_keras.models.sequence_model import SequenceModel

__all__ = [
    "ESR",
    "AudioEffect",
    "ErrorToSignal",
    "FrameNLL",
    "LabelErrorRate",
    "LanguageModel",
    "MultiResolutionSTFT",
    "SequenceModel",
    "StrokeNLL",
    "decode_ctc",
    "label_error_rate",
    "load_language_model",
    "load_model",
]
