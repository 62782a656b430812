"""NumPy target: one readable Python file."""
