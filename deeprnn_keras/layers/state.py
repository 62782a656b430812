"""The state of a stack: a list with one entry per layer, a tensor where the layer has one state, else a list."""


def join(states):
    """Flat lists per layer -> the public structure."""
    return [layer[0] if len(layer) == 1 else list(layer) for layer in states]


def split(state, sizes, batch):
    """The public structure -> a flat list per layer; None -> empty lists.

    Args:
        state: what the user gave as `initial_state`.
        sizes: one list of widths per layer.
        batch: n, or None where unknown.

    Raises:
        ValueError: if structure, rank, width or batch size are others.
    """
    if state is None:
        return [[] for _ in sizes]
    if not isinstance(state, (list, tuple)) or len(state) != len(sizes):
        raise ValueError(f"initial_state must be {_wanted(sizes)}, got {_describe(state)}")
    layers = [list(entry) if isinstance(entry, (list, tuple)) else [entry] for entry in state]
    for layer, widths in zip(layers, sizes, strict=True):
        if len(layer) != len(widths) or not all(map(_fits, layer, widths, [batch] * len(widths))):
            raise ValueError(f"initial_state must be {_wanted(sizes)}, got {_describe(state)}")
    return layers


def _fits(tensor, width, batch):
    shape = getattr(tensor, "shape", None)
    if shape is None or len(shape) != 2:
        return False
    return shape[1] == width and (batch is None or shape[0] is None or shape[0] == batch)


def _wanted(sizes):
    entries = join([[f"(n, {width})" for width in widths] for widths in sizes])
    return f"a list with one entry per layer, of shapes {_text(entries)}"


def _text(entries):
    return str(entries).replace("'", "")


def _describe(value):
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_describe, value)) + "]"
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__} of shape {tuple(shape)}" if shape is not None else repr(value)
