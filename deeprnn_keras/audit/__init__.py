"""What a model is made of: which kernel runs each of its recurrent layers."""

from deeprnn_keras.audit.kernels import explain_kernels

__all__ = ["explain_kernels"]
