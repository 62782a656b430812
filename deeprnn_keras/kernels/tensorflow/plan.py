"""How a sequence is run: by XLA or as a plain graph, in how many pieces of the batch and of time.

XLA is faster, but compiles anew for each shape, about a second each. Compiles are bounded: T must be known when the
graph is made and be among the first few lengths that the same layers meet, and a batch size that is not known, or
that belongs to one call only, is rounded up to one of four sizes per octave. What is exported (SavedModel, LiteRT,
ONNX) is a plain graph in one piece: it runs where there is no XLA, and converters understand it.
"""

import os
import sys
from typing import NamedTuple

import tensorflow as tf

from deeprnn_keras.kernels.tensorflow.batch import rounded_up

MAX_LENGTHS = 8
LONG = 256  # steps from which time is cut into chunks, for memory
LEAN_CHUNK, LEAN_CHUNKS = 32, 32  # steps per chunk of memory="lean", and chunks where T is not known
_lengths = {}


class Plan(NamedTuple):
    """How to run.

    Attributes:
        compiled: by XLA.
        pieces: of the batch.
        rows: the batch size to run with, `pieces` times equal.
        chunks: lengths of the pieces of time.
        keep: keep what the way back needs.
    """

    compiled: bool
    pieces: int
    rows: object
    chunks: list
    keep: bool


def plan(layers, sequences, training, lean=False):
    """The `Plan` for layers, a hashable description of them, over sequences (n, T, d)."""
    batch, steps, _ = sequences.shape
    exported = _exporting()
    compiled = not exported and steps not in (None, 1) and _among_the_first(layers, steps)
    pieces = 1 if exported else _pieces(batch)
    rows = tf.shape(sequences)[0] if batch is None else batch
    if compiled and (batch is None or tf.executing_eagerly()):
        rows = rounded_up(rows, pieces)
    elif pieces > 1:
        rows = -(-rows // pieces) * pieces
    return Plan(compiled, pieces, rows, _chunks(sequences, lean), bool(training) and not lean)


def _among_the_first(layers, steps):
    lengths = _lengths.setdefault(layers, set())
    if len(lengths) < MAX_LENGTHS:
        lengths.add(steps)
    return steps in lengths


def _exporting():
    """Whether this graph is made by Keras' or LiteRT's export: nothing but the call stack tells."""
    frame = None if tf.executing_eagerly() else sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(("keras.src.export", "tensorflow.lite")):
            return True
        frame = frame.f_back
    return False


def _pieces(batch):
    return 1 if batch == 1 or (os.cpu_count() or 1) < 2 else 2


def _chunks(sequences, lean):
    steps, count = sequences.shape[1], 1
    if lean:
        count = LEAN_CHUNKS if steps is None else -(-steps // LEAN_CHUNK)
    steps = tf.shape(sequences)[1] if steps is None else steps
    ends = [steps * (k + 1) // count for k in range(count)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
