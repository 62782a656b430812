"""Export to ONNX, written from the operations of a program: one LSTM, GRU, or RNN node per layer."""
