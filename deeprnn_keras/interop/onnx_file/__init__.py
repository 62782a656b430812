"""ONNX files as sources: a graph of LSTM, GRU, and RNN nodes and the nodes around them as a Keras model."""
