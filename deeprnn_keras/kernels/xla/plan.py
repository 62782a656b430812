"""Plan of a run: compiled by XLA or not, and the numbers of pieces of the batch and of chunks of time.

XLA compiles once per shape, which takes about a second. The number of shapes is bounded: where T is unknown, or after
the first few lengths that a layer has seen, T is rounded up to one of four sizes per octave (the loop still ends at T).
A batch size that is unknown, or that of an eager call, is rounded up likewise. Exports (SavedModel, LiteRT, ONNX) use a
plain graph in one piece, which runs without XLA and which converters support.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras._types import Tensor

Size: TypeAlias = Any
"""A size: an int if it is static, else a scalar tensor."""

# Number of lengths per layer that are compiled without rounding.
MAX_LENGTHS = 8
# From this number of layers on, chunks of 16 steps in diagonal order keep two cores busy (0.95x the time at 8 layers).
DEEP_LAYERS = 6
# Two half batches take 1.3x the time of a whole batch at h = 1024, n = 20, equal time at 512, and less than 0.8x below.
WIDE_UNITS = 512
# Maximum lengths of a chunk; the memory that the backward pass needs beyond the stored tensors is proportional to it.
CHUNK_STEPS = 128
REMAT_CHUNK_STEPS = 64
DEEP_CHUNK_STEPS = 16
# Number of chunks if T is unknown.
REMAT_CHUNKS = 8


class Plan(NamedTuple):
    """Plan of a run.

    Attributes:
        compiled: True if XLA compiles the passes.
        pieces: Number of pieces of the batch.
        batch_size: Padded batch size, a multiple of `pieces`.
        chunks: Lengths of the chunks of time.
        padded: Round up the length of each chunk.
        store: Store the tensors that the backward pass needs.
        exported: The graph is traced for export, without custom gradients.
    """

    compiled: bool
    pieces: int
    batch_size: Size
    chunks: list[Size]
    padded: bool
    store: bool
    exported: bool


def make_plan(units: Sequence[int], sequences: Tensor, training: bool, remat: bool, cache: dict[object, Any]) -> Plan:
    """Return the `Plan` for a stack.

    Args:
        units: Numbers of hidden units h of all layers, from the lowest level up.
        sequences: (n, T, d).
        training: True if a gradient will be computed.
        remat: Recompute in the backward pass instead of storing.
        cache: Cache of the layer; it keeps the first few lengths that the layer has seen.
    """
    batch_size, steps, _ = sequences.shape
    exported = not tf.executing_eagerly() and _compat.is_exporting()
    remat = remat and not exported  # an exported graph computes no gradient
    compiled = not exported and steps != 1
    padded = compiled and not _is_among_first(steps, cache.setdefault(("lengths", sequences.dtype), set()))
    deep = len(units) >= DEEP_LAYERS and steps is not None
    pieces = 1 if exported or remat or deep else _num_pieces(batch_size, units)
    padded_size = tf.shape(sequences)[0] if batch_size is None else batch_size
    if compiled and (batch_size is None or tf.executing_eagerly()):
        padded_size = round_up(padded_size, pieces)
    elif pieces > 1:
        padded_size = -(-padded_size // pieces) * pieces
    max_steps = REMAT_CHUNK_STEPS if remat else DEEP_CHUNK_STEPS if deep else CHUNK_STEPS
    chunks = _chunk_lengths(sequences, max_steps, REMAT_CHUNKS if remat else 1)
    return Plan(compiled, pieces, padded_size, chunks, padded, bool(training) and not remat, exported)


def _is_among_first(steps: int | None, lengths: set[int]) -> bool:
    if steps is not None and len(lengths) < MAX_LENGTHS:
        lengths.add(steps)
    return steps in lengths


def _num_pieces(batch_size: int | None, units: Sequence[int]) -> int:
    """Return 2 for parallel half batches, or 1 if reading the weights, which both halves do, dominates a step."""
    return 1 if batch_size == 1 or max(units) > WIDE_UNITS or _num_threads() < 2 else 2


def _num_threads() -> int:
    """Return the number of cores that this process may use; a parallel search limits each worker to one."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    limit = tf.config.threading.get_intra_op_parallelism_threads() or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
    return min(cores, limit) if limit > 0 else cores


def _chunk_lengths(sequences: Tensor, max_steps: int, count_if_unknown: int) -> list[Size]:
    steps = sequences.shape[1]
    if steps is None:
        steps, count = tf.shape(sequences)[1], count_if_unknown
    else:
        count = -(-steps // max_steps)
    ends = [steps * (k + 1) // count for k in range(count)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def round_up(size: Size, pieces: int = 1) -> Size:
    """Return the next of 1, ..., 8, 10, 12, 14, 16, 20, 24, ... (four per octave), times `pieces`; 1 stays 1."""
    total, size = size, -(-size // pieces)
    if isinstance(size, int):
        step = 1 << max(0, (size - 1).bit_length() - 3)
        return 1 if total == 1 else -(-size // step) * step * pieces
    logarithm = tf.math.log(tf.cast(tf.maximum(size, 1), tf.float64)) / math.log(2)
    octave = tf.cast(tf.math.ceil(logarithm - 1e-9), tf.int32)
    step = tf.bitwise.left_shift(1, tf.maximum(0, octave - 3))
    return tf.where(total == 1, 1, -(-size // step) * step * pieces)
