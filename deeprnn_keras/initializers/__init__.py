"""Initializers that treat each gate separately; they are seeded, serializable, and sample in float32."""

from deeprnn_keras.initializers.gate_bias import ChronoBias, ForgetBias
from deeprnn_keras.initializers.per_gate import PerGate
from deeprnn_keras.initializers.scaled_identity import ScaledIdentity

__all__ = ["ChronoBias", "ForgetBias", "PerGate", "ScaledIdentity"]
