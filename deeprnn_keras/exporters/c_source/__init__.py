"""C target: one self-contained C99 file, its header, and a program that checks it."""
