"""`convert` and `to_keras`: recurrent layers of `keras.layers` become those of this package, and back."""

from deeprnn_keras.interop.conversion.converter import convert
from deeprnn_keras.interop.conversion.report import ConversionReport, Replacement
from deeprnn_keras.interop.conversion.to_keras import to_keras

__all__ = ["ConversionReport", "Replacement", "convert", "to_keras"]
