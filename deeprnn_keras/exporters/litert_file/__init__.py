"""Export to LiteRT, written from the operations of a program, without a converter."""
