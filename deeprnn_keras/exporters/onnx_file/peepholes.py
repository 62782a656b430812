"""Recognition of the LSTM with peepholes: the LSTM of ONNX has an input for them."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from deeprnn_keras.equations.peephole import PeepholeLSTM
from deeprnn_keras.equations.trace import Trace, trace
from deeprnn_keras.program import operations as op

WEIGHTS = ("kernel", "recurrent_kernel", "bias")
PEEPHOLES = "peephole_kernel"
ORDER = (0, 2, 1)
"""Positions of ONNX' peepholes i, o, f in those of this package, i, f, o."""


def as_lstm(operation: op.Operation) -> tuple[op.Recurrent, str] | None:
    """Return an LSTM with peepholes as the LSTM without them, and the name of the peepholes in the program.

    The equations decide, since a program does not contain the names of cells.

    Args:
        operation: Any operation.

    Returns:
        None if it is not an LSTM with peepholes.
    """
    if not isinstance(operation, op.Cell):
        return None
    names = dict(operation.weights)
    if names.keys() != {*WEIGHTS, PEEPHOLES} or operation.state_names != PeepholeLSTM.states:
        return None
    for gate, candidate in product(op.STANDARD_ACTIVATIONS, repeat=2):
        if operation.step == _peephole_trace(operation.width, operation.step.inputs[0], gate, candidate):
            lstm = op.Recurrent(
                operation.name,
                operation.inputs,
                operation.width,
                reverse=operation.reverse,
                rate=operation.rate,
                initial=operation.initial,
                cell="lstm",
                activation=candidate,
                recurrent_activation=gate,
                **{key: names[key] for key in WEIGHTS},
            )
            return lstm, names[PEEPHOLES]
    return None


@cache
def _peephole_trace(units: int, input_dim: int, gate: str, candidate: str) -> Trace:
    return trace(PeepholeLSTM(units), input_dim, {"activation": candidate, "recurrent_activation": gate})


def in_order_of_onnx(peepholes: np.ndarray) -> np.ndarray:
    """Return peepholes (3h,) of the gates i, f, o in the order i, o, f."""
    return peepholes.reshape(3, -1)[list(ORDER)].reshape(-1)
