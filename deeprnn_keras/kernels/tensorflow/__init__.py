"""The kernels for TensorFlow."""
