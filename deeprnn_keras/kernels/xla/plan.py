"""Plan of a run: by XLA or as a plain graph, and the number of pieces of the batch and of time.

XLA compiles for each shape, about a second each. Compiles are bounded: T is rounded up to one of four sizes per octave
(the loop ends at T all the same) where it is not known, or after the first few lengths that the same layer meets; and
so is a batch size that is not known, or belongs to one call only. What is exported (SavedModel, LiteRT, ONNX) is a
plain graph in one piece: it runs where there is no XLA, and converters understand it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from deeprnn_keras import _compat

MAX_LENGTHS = 8
DEEP = 6  # layers: from here on, with T known, chunks of 16 steps in diagonal order keep both cores busy (0.95 at 8)
WIDE = 512  # at h = 1024, n = 20 two halves take 1.3 times as long as one whole, at 512 as long, below 0.8
CHUNK, REMAT_CHUNK = 128, 64  # steps at most: what the backward pass needs beside what is stored is as long as a chunk
DEEP_CHUNK = 16
REMAT_CHUNKS = 8  # where T is not known


class Plan(NamedTuple):
    """Plan of a run.

    Attributes:
        compiled: By XLA.
        pieces: Of the batch.
        rows: The batch size to run with, `pieces` times equal.
        chunks: Lengths of the chunks of time.
        padded: Round the length of each chunk up.
        store: Store what the backward pass needs.
        exported: A graph for elsewhere, without a gradient of our own.
    """

    compiled: bool
    pieces: int
    rows: Any
    chunks: list[Any]
    padded: bool
    store: bool
    exported: bool


def make_plan(units: Sequence[int], sequences: Any, training: bool, remat: bool, memory: dict) -> Plan:
    """Return the `Plan` for layers of these units over sequences (n, T, d).

    Args:
        units: h of every layer, from the lowest level up.
        sequences: (n, T, d).
        training: Whether a gradient will be taken.
        remat: Recompute in the backward pass instead of storing.
        memory: Of the layer; the first few lengths that it met are kept here.
    """
    batch, steps, _ = sequences.shape
    exported = not tf.executing_eagerly() and _compat.is_exporting()
    remat = remat and not exported  # it saves what a gradient needs
    compiled = not exported and steps != 1
    padded = compiled and not _is_among_the_first(steps, memory.setdefault(("lengths", sequences.dtype), set()))
    deep = len(units) >= DEEP and steps is not None
    pieces = 1 if exported or remat or deep else _pieces(batch, units)
    rows = tf.shape(sequences)[0] if batch is None else batch
    if compiled and (batch is None or tf.executing_eagerly()):
        rows = rounded_up(rows, pieces)
    elif pieces > 1:
        rows = -(-rows // pieces) * pieces
    chunks = _chunks(sequences, REMAT_CHUNK if remat else DEEP_CHUNK if deep else CHUNK)
    return Plan(compiled, pieces, rows, chunks, padded, bool(training) and not remat, exported)


def _is_among_the_first(steps: int | None, lengths: set[int]) -> bool:
    if steps is not None and len(lengths) < MAX_LENGTHS:
        lengths.add(steps)
    return steps in lengths


def _pieces(batch: int | None, units: Sequence[int]) -> int:
    """Return 2, for two halves at once, unless a step is bound by reading weights, which each half does again."""
    return 1 if batch == 1 or max(units) > WIDE or _threads() < 2 else 2


def _threads() -> int:
    """Return the number of cores that this process may use: several workers of a search have one each."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    asked = tf.config.threading.get_intra_op_parallelism_threads() or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
    return min(cores, asked) if asked > 0 else cores


def _chunks(sequences: Any, longest: int) -> list[Any]:
    steps = sequences.shape[1]
    if steps is None:
        steps, count = tf.shape(sequences)[1], REMAT_CHUNKS if longest == REMAT_CHUNK else 1
    else:
        count = -(-steps // longest)
    ends = [steps * (k + 1) // count for k in range(count)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def rounded_up(size: Any, pieces: int = 1) -> Any:
    """Return the next of 1, ..., 8, 10, 12, 14, 16, 20, 24, ... (four per octave), times `pieces`; 1 stays 1."""
    alone, size = size, -(-size // pieces)
    if isinstance(size, int):
        step = 1 << max(0, (size - 1).bit_length() - 3)
        return 1 if alone == 1 else -(-size // step) * step * pieces
    logarithm = tf.math.log(tf.cast(tf.maximum(size, 1), tf.float64)) / math.log(2)
    octave = tf.cast(tf.math.ceil(logarithm - 1e-9), tf.int32)
    step = tf.bitwise.left_shift(1, tf.maximum(0, octave - 3))
    return tf.where(alone == 1, 1, -(-size // step) * step * pieces)
