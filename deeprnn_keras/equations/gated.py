"""The mechanisms of GRU and LSTM, whatever it is that enters their gates."""


def gru(enters, h, f):
    """z, r = s(.), g = a(.), h' = z h + (1 - z) g.

    Args:
        enters: (gate, the state it looks at) -> what enters its activation; the candidate looks at r h.
        h: the state.
        f: the activations.
    """
    update, reset = (f.recurrent_activation(enters(gate, h)) for gate in ("update", "reset"))
    candidate = f.activation(enters("candidate", reset * h))
    return [candidate + update * (h - candidate)]


def lstm(enters, c, f):
    """i, f, o = s(.), g = a(.), c' = f c + i g, h' = o a(c').

    Args:
        enters: gate -> what enters its activation.
        c: the cell's state.
        f: the activations.
    """
    kept = f.recurrent_activation(enters("forget")) * c
    c = kept + f.recurrent_activation(enters("input")) * f.activation(enters("candidate"))
    return [f.recurrent_activation(enters("output")) * f.activation(c), c]
