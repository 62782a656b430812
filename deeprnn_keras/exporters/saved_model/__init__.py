"""Export to SavedModel: signatures of plain TensorFlow operations, written from the operations of a program."""
