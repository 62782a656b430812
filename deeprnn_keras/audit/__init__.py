"""What a model is made of: which kernel runs each of its recurrent layers, and what each level knows."""

from deeprnn_keras.audit.kernels import explain_kernels
from deeprnn_keras.audit.probe import probe_levels

__all__ = ["explain_kernels", "probe_levels"]
