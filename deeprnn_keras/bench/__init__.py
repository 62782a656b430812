"""The benchmark of the kernels: `deeprnn bench kernels`. Nothing here imports TensorFlow but the workers."""
