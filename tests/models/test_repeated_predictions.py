"""Repeated predictions reuse the graphs of the first."""

import numpy as np
import tensorflow as tf

from deeprnn_keras import SequenceModel


def graphs_made(monkeypatch, call):
    """Return the number of graphs that TensorFlow traces during a call."""
    made, begin = [], tf.__internal__.FuncGraph.__init__

    def counted(self, *args, **kwargs):
        made.append(self)
        begin(self, *args, **kwargs)

    monkeypatch.setattr(tf.__internal__.FuncGraph, "__init__", counted)
    call()
    return len(made)


def test_repeated_predictions_trace_nothing(monkeypatch):
    model = SequenceModel(3, 2, 2, masks=True)
    series = [np.zeros((length, 3), "float32") for length in (4, 6)]
    for _ in range(2):
        model.predict_labels(series)
    assert not graphs_made(monkeypatch, lambda: model.predict_labels(series))
