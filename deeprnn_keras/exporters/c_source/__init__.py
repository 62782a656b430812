"""C target: one self-contained C99 file."""
