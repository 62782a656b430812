"""How the weights of cells that are written as equations start: each block is drawn as a map of its own."""

import keras
from keras import ops

from deeprnn_keras.initializers.seeding import draw, reseeded
from deeprnn_keras.specs import CellSpec

DEFAULTS = {"kernel": "glorot_uniform", "recurrent": "orthogonal", "hidden": "glorot_uniform"}
MEMORY = CellSpec("", keep_gate="keep", write_gate="write")


def matrices(maps, initializers):
    """{name: (shape, draw)} of the matrices."""
    found = {}
    for place, known in enumerate(maps):
        initializer = initializers[known.role] or keras.initializers.get(DEFAULTS[known.role])
        if hasattr(initializer, "for_cell"):
            initializer = initializer.for_cell("rnn")  # a block is one gate
        shape = (known.inputs, len(known.blocks) * known.width)
        found[known.name] = shape, _by_blocks(known, (known.inputs,), initializer, place)
    return found


def biases(equations, maps, initializer):
    """{name: (shape, draw)} of the biases.

    Args:
        initializer: None: 0, and what the equations ask for; one that knows gates: 0, and its values for those that
            keep the state and those that write to it; any other: draws every block.
    """
    keep = equations.keep if initializer is None else None
    write = None
    if hasattr(initializer, "values"):
        values = initializer.values(MEMORY, equations.units)
        keep, write = values["keep"], values.get("write")
    starts = {} if keep is None else equations.remembering(keep, write)
    found = {}
    for place, known in enumerate(maps):
        if known.bias is None:
            continue
        if initializer is None or hasattr(initializer, "values"):
            start = _from_values(known, starts)
        else:
            start = _by_blocks(known, (), initializer, place)
        found[known.bias] = (len(known.blocks) * known.width,), start
    return found


def _by_blocks(known, rows, initializer, place):
    def start(shape, dtype=None):
        blocks = [
            draw(reseeded(initializer, 1000 * place + number), (*rows, known.width), dtype)
            for number in range(len(known.blocks))
        ]
        return ops.concatenate(blocks, axis=-1)

    return start


def _from_values(known, starts):
    def start(shape, dtype=None):
        blocks = [
            ops.broadcast_to(ops.cast(starts.get((known.bias, block), 0.0), "float32"), (known.width,))
            for block in known.blocks
        ]
        return ops.cast(ops.concatenate(blocks), dtype or keras.config.floatx())

    return start
