"""How a sequence is run: by XLA or as a plain graph, in how many pieces of the batch and of time.

XLA compiles anew for each shape, about a second each. Compiles are bounded: T is rounded up to one of four sizes per
octave (the loop ends at T all the same) where it is not known, or after the first few lengths that the same layers
meet; and so is a batch size that is not known, or belongs to one call only. What is exported (SavedModel, LiteRT,
ONNX) is a plain graph in one piece: it runs where there is no XLA, and converters understand it.
"""

import os
from typing import NamedTuple

import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras.kernels.tensorflow.batch import rounded_up

MAX_LENGTHS = 8
DEEP = 6  # layers: from here on, with T known, chunks of 16 steps in diagonal order keep both cores busy (.95 at 8)
WIDE = 512  # at h = 1024, n = 20 two halves take 1.3 times as long as one whole, at 512 as long, below .8
CHUNK, LEAN_CHUNK = 128, 64  # steps at most: what the way back needs beside what is kept is as long as a chunk
DEEP_CHUNK = 16
LEAN_CHUNKS = 8  # where T is not known
_lengths = {}


class Plan(NamedTuple):
    """How to run.

    Attributes:
        compiled: by XLA.
        pieces: of the batch.
        rows: the batch size to run with, `pieces` times equal.
        chunks: lengths of the pieces of time.
        padded: each piece of time is to be rounded up.
        keep: keep what the way back needs.
        exported: a graph for elsewhere, without a gradient of our own.
    """

    compiled: bool
    pieces: int
    rows: object
    chunks: list
    padded: bool
    keep: bool
    exported: bool


def plan(layers, sequences, training, lean=False):
    """The `Plan` for layers, a tuple of (recurrence, inputs, units), over sequences (n, T, d)."""
    batch, steps, _ = sequences.shape
    exported = _exporting()
    lean = lean and not exported  # it saves what a gradient needs
    compiled = not exported and steps != 1
    padded = compiled and not _among_the_first((layers, sequences.dtype), steps)
    deep = len(layers) >= DEEP and steps is not None
    pieces = 1 if exported or lean or deep else _pieces(batch, layers)
    rows = tf.shape(sequences)[0] if batch is None else batch
    if compiled and (batch is None or tf.executing_eagerly()):
        rows = rounded_up(rows, pieces)
    elif pieces > 1:
        rows = -(-rows // pieces) * pieces
    chunks = _chunks(sequences, LEAN_CHUNK if lean else DEEP_CHUNK if deep else CHUNK)
    return Plan(compiled, pieces, rows, chunks, padded, bool(training) and not lean, exported)


def _among_the_first(layers, steps):
    lengths = _lengths.setdefault(layers, set())
    if steps is not None and len(lengths) < MAX_LENGTHS:
        lengths.add(steps)
    return steps in lengths


def _exporting() -> bool:
    """Return whether this graph is traced for export."""
    return not tf.executing_eagerly() and _compat.is_exporting()


def _pieces(batch, layers):
    """Two halves of the batch at once, unless a step is bound by reading weights, which each half does anew."""
    wide = any(units > WIDE for _, _, units in layers)
    return 1 if batch == 1 or wide or _threads() < 2 else 2


def _threads():
    """Cores that this process may use: several workers of a search have one each."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    asked = tf.config.threading.get_intra_op_parallelism_threads() or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
    return min(cores, asked) if asked > 0 else cores


def _chunks(sequences, longest):
    steps = sequences.shape[1]
    if steps is None:
        steps, count = tf.shape(sequences)[1], LEAN_CHUNKS if longest == LEAN_CHUNK else 1
    else:
        count = -(-steps // longest)
    ends = [steps * (k + 1) // count for k in range(count)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
