"""Initializers that know about gates; each draws in float32, is seeded, serializable and registered with Keras."""

from deeprnn_keras.initializers.gate_bias import ChronoBias, ForgetBias
from deeprnn_keras.initializers.per_gate import PerGate
from deeprnn_keras.initializers.scaled_identity import ScaledIdentity

__all__ = ["ChronoBias", "ForgetBias", "PerGate", "ScaledIdentity"]
