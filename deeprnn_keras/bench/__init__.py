"""Benchmarks of recurrent layers and of streams, `deeprnn bench`. Only worker processes import TensorFlow."""
