"""Benchmark of recurrent layers, `deeprnn bench kernels`. Only its worker processes import TensorFlow."""
