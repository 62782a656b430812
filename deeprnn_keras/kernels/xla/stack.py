"""Layers and stacks on XLA: feature-major from input to output, in pieces of batch and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras.equations import GRUEquations, LSTMEquations, SimpleRNNEquations
from deeprnn_keras.kernels.contract import Connections, LayerCall, Recurrence, StackCall
from deeprnn_keras.kernels.xla.derived import Derived
from deeprnn_keras.kernels.xla.gru import GRU, GRUResetBefore
from deeprnn_keras.kernels.xla.layout import (
    Piece,
    Span,
    any_valid,
    join_chunks,
    join_masks,
    join_pieces,
    reverse_chunks,
    reverse_spans,
    since_first_valid,
    split_into_pieces,
    zero_where_not,
)
from deeprnn_keras.kernels.xla.lstm import LSTM
from deeprnn_keras.kernels.xla.plan import Plan, make_plan
from deeprnn_keras.kernels.xla.recurrence import StepRecurrence, Tensor, Weights
from deeprnn_keras.kernels.xla.sequence import Passes, differentiable_sequence, plain_sequence, shared_passes
from deeprnn_keras.kernels.xla.simple_rnn import SimpleRNN


class PreparedLayer(NamedTuple):
    """A layer ready to run.

    Attributes:
        recurrence: What a step computes.
        weights: Its weights.
        passes: Its passes over time; None where a graph is made for export.
    """

    recurrence: StepRecurrence
    weights: Weights
    passes: Passes | None


# === A stack ===


@tf.autograph.experimental.do_not_convert
def run_stack(
    call: StackCall, sequences: Tensor, states: Sequence[Sequence[Tensor]], mask: Tensor | None
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Return what leaves the stack, one tensor or one per level, and the final states of each level.

    Args:
        call: The stack.
        sequences: (n, T, d).
        states: For each level its states (n, h), forward then backward.
        mask: (n, T), or None.
    """
    compute_dtype = call.levels[0][0].compute_dtype
    dtype = _inner_dtype(compute_dtype)
    units = [layer.recurrence.equations.units for level in call.levels for layer in level]
    plan = make_plan(units, sequences, call.training, call.remat, call.cache)
    levels = [[_prepared(layer, plan, dtype, call.cache) for layer in level] for level in call.levels]
    flat = [state for level in states for state in level]
    pieces = split_into_pieces(sequences, flat, mask, plan, dtype)
    results = []
    for piece in pieces:
        results.append(_run_piece(call, levels, piece, plan))
    results = [tf.cast(result, compute_dtype) for result in join_pieces(results, sequences)]
    count = len(results) - len(flat)
    return results[:count], _per_level(results[count:], states)


def _run_piece(call: StackCall, levels: Sequence[Sequence[PreparedLayer]], piece: Piece, plan: Plan) -> list[Tensor]:
    """Return what leaves the stack, (T, w, n) or (w, n) each, and the final states of all levels."""
    left: list[list[Tensor]] = [[] for _ in piece.chunks]  # what leaves the levels, for each chunk
    lasts, finals, remaining = [], [], list(piece.states)
    valid = None if piece.spans[0].mask is None else any_valid(piece.spans)
    orders = (piece.spans, reverse_spans(piece.spans) if len(levels[0]) == 2 else None)
    for index, level in enumerate(levels):
        reads = [_level_input(call, index, below, x) for below, x in zip(left, piece.chunks, strict=True)]
        outputs, ends = [], []
        for backward, layer in enumerate(level):
            initial, remaining = remaining[: layer.recurrence.states], remaining[layer.recurrence.states :]
            chunks = reverse_chunks(reads, piece.spans) if backward else reads
            hs, final = _run_chunks(layer, chunks, orders[backward], initial, plan)
            outputs.append(reverse_chunks(hs, orders[1]) if backward else hs)
            ends.append(final[0] if valid is None else zero_where_not(valid, final[0]))
            finals += final
        for below, parts in zip(left, zip(*outputs, strict=True), strict=True):
            below.append(_with_shortcut(call.connections, index, _features(parts), below))
        lasts.append(_with_shortcut(call.connections, index, _features(ends), lasts))
    return [*_leaving(call, left, lasts, piece.spans), *finals]


def _level_input(call: StackCall, level: int, below: Sequence[Tensor], x: Tensor) -> Tensor:
    """Return what a level reads, given what leaves the levels below."""
    if level == 0:
        return x
    read = call.dropouts[level - 1](below[-1])
    return tf.concat([read, x], -2) if call.connections.reads_input(level) else read


def _with_shortcut(connections: Connections, level: int, output: Tensor, below: Sequence[Tensor]) -> Tensor:
    source = connections.shortcut_source(level)
    return output if source is None else output + below[source]


def _leaving(
    call: StackCall, left: Sequence[Sequence[Tensor]], lasts: Sequence[Tensor], spans: Sequence[Span]
) -> list[Tensor]:
    """Return what leaves the stack, as Keras has it: 0 before the first valid step, and at the last step of no step.

    Where two directions meet it is 0 at every masked step.
    """
    if not call.return_sequences:
        return _joined_levels(call.connections, lasts)
    chunks = [_joined_levels(call.connections, below) for below in left]
    results = [join_chunks(parts, spans) for parts in zip(*chunks, strict=True)]
    mask = join_masks(spans)
    if mask is None:
        return results
    shown = mask if len(call.levels[0]) == 2 else since_first_valid(mask)
    return [zero_where_not(shown, result) for result in results]


def _joined_levels(connections: Connections, outputs: Sequence[Tensor]) -> list[Tensor]:
    if connections.all_layers:
        return list(outputs)
    return [_features(outputs) if connections.kind == "skip" else outputs[-1]]


def _features(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, -2)


def _per_level(flat: Sequence[Tensor], like: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    iterator = iter(flat)
    return [[next(iterator) for _ in level] for level in like]


# === A layer ===


@tf.autograph.experimental.do_not_convert
def run_layer(
    call: LayerCall, sequences: Tensor, states: Sequence[Tensor], mask: Tensor | None
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return the last output (n, h), the outputs (n, T, h), or (n, 1, h) of the last step alone, and the final states.

    Args:
        call: The layer.
        sequences: (n, T, d).
        states: List of (n, h).
        mask: (n, T), or None.
    """
    sequences = call.input_dropout(sequences)
    dtype = _inner_dtype(call.compute_dtype)
    plan = make_plan([call.recurrence.equations.units], sequences, call.training, False, call.cache)
    layer = _prepared(call, plan, dtype, call.cache)
    pieces = split_into_pieces(sequences, states, mask, plan, dtype)
    results = join_pieces([_run_layer_piece(call, layer, piece, plan) for piece in pieces], sequences)
    if call.return_sequences:
        last, outputs, *final = results
        return last, outputs, final
    last, *final = results
    return last, last[:, None], final


def _run_layer_piece(call: LayerCall, layer: PreparedLayer, piece: Piece, plan: Plan) -> list[Tensor]:
    """Return the last output (h, n), with `return_sequences` all (T, h, n), and the final states."""
    chunks, spans = piece.chunks, piece.spans
    if call.go_backwards:
        chunks, spans = reverse_chunks(chunks, spans), reverse_spans(spans)
    hs, final = _run_chunks(layer, chunks, spans, piece.states, plan)
    mask, last = join_masks(spans), final[0]
    if mask is not None:
        last = zero_where_not(any_valid(spans), last)
        last = zero_where_not(mask[-1], last) if call.zero_output_for_mask else last
    if not call.return_sequences:
        return [last, *final]
    outputs = join_chunks(hs, spans)
    if mask is not None:
        outputs = zero_where_not(mask if call.zero_output_for_mask else since_first_valid(mask), outputs)
    return [last, outputs, *final]


# === What both share ===


def _run_chunks(
    layer: PreparedLayer, chunks: Sequence[Tensor], spans: Sequence[Span], states: Sequence[Tensor], plan: Plan
) -> tuple[list[Tensor], list[Tensor]]:
    """Return h of all steps, for each chunk in the order in which they are read, and the final states.

    The next layer may begin with the first chunk while this one is at the second: on a graph two cores work on two
    layers at once.
    """
    outputs, states = [], list(states)
    for x, span in zip(chunks, spans, strict=True):
        read = layer.recurrence.project_inputs(x, layer.weights)
        if layer.passes is None or _in_forward_mode([read, *layer.weights.given, *states]):
            run = plain_sequence(layer.recurrence, layer.weights, span)
        else:
            run = differentiable_sequence(layer.recurrence, layer.passes, layer.weights, span, plan.store)
        hs, *states = run(read, *layer.weights.given, *states)
        outputs.append(hs)
    return outputs, states


def _in_forward_mode(tensors: Sequence[Tensor]) -> bool:
    """Return whether a `ForwardAccumulator` follows one of these: it cannot follow them through a compiled pass."""
    return tf.executing_eagerly() and _compat.in_forward_mode(list(map(tf.convert_to_tensor, tensors)))


def _prepared(call: LayerCall, plan: Plan, dtype: str, memory: dict) -> PreparedLayer:
    key = ("xla", call.recurrence)
    recurrence = memory.get(key) or memory.setdefault(key, step_recurrence(call.recurrence))
    stored = {name: tf.cast(tensor, dtype) for name, tensor in call.weights().items()}
    passes = None if plan.exported else _passes(call.recurrence, recurrence, plan.compiled, memory)
    return PreparedLayer(recurrence, recurrence.weights(call.input_dim, stored), passes)


def _passes(known: Recurrence, recurrence: StepRecurrence, compiled: bool, memory: dict) -> Passes:
    """Return the compiled passes: shared by all layers, or, if they hold something of the user's, of this layer."""
    if known.is_shareable:
        return shared_passes(recurrence, compiled)
    key = ("xla passes", known, compiled)
    return memory.get(key) or memory.setdefault(key, Passes(recurrence, compiled))


def step_recurrence(recurrence: Recurrence) -> StepRecurrence:
    """Return the recurrence written by hand for Keras' equations, and the derived one for all others."""
    equations, functions = recurrence.equations, dict(recurrence.activations)
    kind = type(equations)
    if kind is SimpleRNNEquations:
        return SimpleRNN(functions["activation"])
    if kind is LSTMEquations:
        return LSTM(functions["activation"], functions["recurrent_activation"])
    if kind is GRUEquations:
        written = GRU if equations.reset_after else GRUResetBefore
        return written(functions["activation"], functions["recurrent_activation"])
    return Derived(equations, recurrence.activations)


def _inner_dtype(compute_dtype: str) -> str:
    """Return the precision to compute in: a CPU is many times slower in half precision than in float32."""
    return "float64" if compute_dtype == "float64" else "float32"
