"""Gates at their ends and units that say nothing, from a pass step by step."""

import numpy as np

SIGMOID_ENDS = (0.03, 0.97)  # the slope there is a ninth of the largest: .03 x .97 against .25
TANH_END = 0.97  # the slope there is .06


def saturation(done, valid):
    """{gate: share of its values at (row, step, unit) that are saturated} of a `LayerPass`; masked steps left out.

    A sigmoid or hard sigmoid is saturated below .03 and above .97, a tanh beyond +-.97; other functions have no ends.
    Of a layer that is neither LSTM nor GRU: its output, if the activation is tanh.
    """
    cell = done.layer.cell
    found = {}
    for gate, (values, function) in _gates(cell, done).items():
        ends = _ends(function)
        if ends is not None:
            found[gate] = float(np.mean((values < ends[0]) | (values > ends[1]), where=valid.T[:, :, None]))
    return found


def dead(done, valid):
    """The share of units of a `LayerPass` whose output is 0 at every row and every step that is not masked."""
    outputs = np.stack(done.outputs)[valid.T]
    return float(np.mean((outputs == 0).all(0)))


def activation(cell):
    """The function that makes a cell's candidate, or None if it cannot be known."""
    return getattr(cell, "functions", {}).get("activation", getattr(cell, "activation", None))


def _ends(function):
    import keras

    if function in (keras.activations.sigmoid, keras.activations.hard_sigmoid):
        return SIGMOID_ENDS
    return (-TANH_END, TANH_END) if function is keras.activations.tanh else None


def _gates(cell, done):
    """{gate: (values (T, n, h), function)}."""
    import keras

    if isinstance(cell, keras.layers.LSTMCell):
        return _lstm(cell, np.stack(done.reads), _before(done))
    if isinstance(cell, keras.layers.GRUCell):
        return _gru(cell, np.stack(done.reads), _before(done))
    return {"output": (np.stack(done.outputs), activation(cell))}


def _before(done):
    """H_{t-1}, (T, n, h)."""
    return np.stack([done.start[0], *(states[0] for states in done.states[:-1])])


def _lstm(cell, reads, before):
    from deeprnn_keras.specs import registered_cell

    z = reads @ _array(cell.kernel) + before @ _array(cell.recurrent_kernel)
    z = z + _array(cell.bias) if cell.use_bias else z
    names = registered_cell("lstm").gates
    blocks = dict(zip(names, np.split(z, len(names), -1), strict=True))
    functions = dict.fromkeys(names, cell.recurrent_activation) | {"candidate": cell.activation}
    return {name: (_array(functions[name](blocks[name])), functions[name]) for name in names}


def _gru(cell, reads, before):
    from deeprnn_keras.specs import registered_cell

    names = registered_cell("gru").gates

    def blocks(array):
        return dict(zip(names, np.split(array, len(names), -1), strict=True))

    bias = _array(cell.bias) if cell.use_bias else np.zeros(3 * cell.units, "float32")
    of_input, of_state = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    x = blocks(reads @ _array(cell.kernel) + of_input)
    h = blocks(before @ _array(cell.recurrent_kernel) + of_state)
    update, reset = (_array(cell.recurrent_activation(x[name] + h[name])) for name in ("update", "reset"))
    if cell.reset_after:
        remembered = reset * h["candidate"]
    else:
        remembered = (reset * before) @ blocks(_array(cell.recurrent_kernel))["candidate"]
    candidate = _array(cell.activation(x["candidate"] + remembered))
    gate = cell.recurrent_activation
    return {"update": (update, gate), "reset": (reset, gate), "candidate": (candidate, cell.activation)}


def _array(value):
    import keras

    return keras.ops.convert_to_numpy(value)
