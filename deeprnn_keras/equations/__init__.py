"""Recurrences as pure functions of arrays, independent of Keras, the weights, and the position of the feature axis."""

from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.maps import AffineMap, Blocks, DiagonalMap, Linear
from deeprnn_keras.equations.standard import GRUEquations, LSTMEquations, SimpleRNNEquations

__all__ = [
    "AffineMap",
    "Blocks",
    "DiagonalMap",
    "Equations",
    "GRUEquations",
    "LSTMEquations",
    "Linear",
    "SimpleRNNEquations",
]
