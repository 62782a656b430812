"""State updates of the GRU and the LSTM, given the values or pre-activations of their gates."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

from deeprnn_keras.equations.maps import Array


def gru(update: Array, candidate: Array, h: Array) -> list[Array]:
    """Return the new state [h'] of a GRU, h' = z h + (1 - z) g.

    Args:
        update: Update gate z.
        candidate: Candidate g.
        h: State before the step.
    """
    return [candidate + update * (h - candidate)]


def lstm(z: Mapping[str, Array], c: Array, f: SimpleNamespace) -> list[Array]:
    """Return the new states [h', c'] of an LSTM.

        i, f, o = s(z),  g = a(z),  c' = f c + i g,  h' = o a(c')

    Args:
        z: Pre-activations of the gates "input", "forget", "candidate", and "output".
        c: Cell state before the step.
        f: The activations: a is `activation`, s is `recurrent_activation`.
    """
    remembered = f.recurrent_activation(z["forget"]) * c
    c = remembered + f.recurrent_activation(z["input"]) * f.activation(z["candidate"])
    return [f.recurrent_activation(z["output"]) * f.activation(c), c]
