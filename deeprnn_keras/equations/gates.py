"""The mechanisms of GRU and LSTM, whatever enters their gates."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

from deeprnn_keras.equations.maps import Array


def gru(update: Array, candidate: Array, h: Array) -> list[Array]:
    """Return [h'] = [z h + (1 - z) g].

    Args:
        update: z.
        candidate: g.
        h: The state.
    """
    return [candidate + update * (h - candidate)]


def lstm(z: Mapping[str, Array], c: Array, f: SimpleNamespace) -> list[Array]:
    """Return [h', c']: i, f, o = s(z), g = a(z), c' = f c + i g, h' = o a(c').

    Args:
        z: Pre-activations of "input", "forget", "candidate", and "output".
        c: The cell state.
        f: The activations.
    """
    kept = f.recurrent_activation(z["forget"]) * c
    c = kept + f.recurrent_activation(z["input"]) * f.activation(z["candidate"])
    return [f.recurrent_activation(z["output"]) * f.activation(c), c]
