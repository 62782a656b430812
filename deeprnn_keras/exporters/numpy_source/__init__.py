"""NumPy target: one readable Python file, with its arrays in an .npz file beside it."""
