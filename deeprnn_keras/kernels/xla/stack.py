"""Execution of stacks and layers on XLA, feature-major throughout, in pieces of the batch and chunks of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras._types import Tensor
from deeprnn_keras.equations import GRUEquations, LSTMEquations, SimpleRNNEquations
from deeprnn_keras.kernels.contract import Connections, LayerCall, LayerResult, Recurrence, StackCall, StackResult
from deeprnn_keras.kernels.xla.derived import DerivedRecurrence
from deeprnn_keras.kernels.xla.gru import GRURecurrence, GRUResetBeforeRecurrence
from deeprnn_keras.kernels.xla.layout import (
    Piece,
    Span,
    any_valid,
    from_first_valid,
    join_chunks,
    join_masks,
    join_pieces,
    reverse_chunks,
    reverse_spans,
    split_into_pieces,
    zero_unless,
)
from deeprnn_keras.kernels.xla.lstm import LSTMRecurrence
from deeprnn_keras.kernels.xla.plan import Plan, make_plan
from deeprnn_keras.kernels.xla.recurrence import StepRecurrence, Tensors, Weights
from deeprnn_keras.kernels.xla.sequence import Passes, differentiable_sequence, plain_sequence, shared_passes
from deeprnn_keras.kernels.xla.simple_rnn import SimpleRNNRecurrence


class PreparedLayer(NamedTuple):
    """A layer that is ready to run.

    Attributes:
        recurrence: Its recurrence.
        weights: Its weights.
        passes: Its passes over time; None if the graph is traced for export.
    """

    recurrence: StepRecurrence
    weights: Weights
    passes: Passes | None


# === A stack ===


@tf.autograph.experimental.do_not_convert
def run_stack(
    call: StackCall, sequences: Tensor, states: Sequence[Sequence[Tensor]], mask: Tensor | None
) -> StackResult:
    """Return the outputs of a stack, one or one per level, and the final states of each level.

    Args:
        call: The stack.
        sequences: (n, T, d).
        states: Initial states (n, width) of each level, forward then backward.
        mask: (n, T), or None.
    """
    compute_dtype = call.levels[0][0].compute_dtype
    dtype = _inner_dtype(compute_dtype)
    units = [_recurrence_of(layer).equations.units for level in call.levels for layer in level]
    plan = make_plan(units, sequences, call.training, call.remat, call.cache)
    levels = [[_prepare(layer, plan, dtype, call.cache) for layer in level] for level in call.levels]
    flat_states = [state for level in states for state in level]
    factors = [factor for factor in call.dropout_masks if factor is not None]
    pieces = split_into_pieces(sequences, [*flat_states, *factors], mask, plan, dtype)
    piece_results = []
    for piece in pieces:  # not a comprehension, which would be one more frame in a traceback
        piece_results.append(_run_piece(call, levels, piece, plan))
    results = [tf.cast(result, compute_dtype) for result in join_pieces(piece_results, sequences)]
    num_outputs = len(results) - len(flat_states)
    return results[:num_outputs], _group_by_level(results[num_outputs:], states)


def _run_piece(call: StackCall, levels: Sequence[Sequence[PreparedLayer]], piece: Piece, plan: Plan) -> Tensors:
    """Return the outputs of the stack, (T, w, n) or (w, n) each, and the final states of all levels."""
    outputs_below: list[Tensors] = [[] for _ in piece.chunks]  # outputs of the levels so far, for each chunk
    last_outputs: Tensors = []
    final_states: Tensors = []
    num_states = sum(layer.recurrence.num_states for level in levels for layer in level)
    remaining, factors = list(piece.states[:num_states]), list(piece.states[num_states:])
    valid = None if piece.spans[0].mask is None else any_valid(piece.spans)
    spans = [piece.spans, reverse_spans(piece.spans)] if len(levels[0]) == 2 else [piece.spans]
    for index, level in enumerate(levels):
        factor = factors.pop(0) if index and call.dropout_masks[index - 1] is not None else None
        chunks = zip(outputs_below, piece.chunks, strict=True)
        inputs = [_level_input(call, index, below, x, factor) for below, x in chunks]
        outputs, last = [], []  # of the directions
        for direction, layer in enumerate(level):
            count = layer.recurrence.num_states
            initial, remaining = remaining[:count], remaining[count:]
            chunks = reverse_chunks(inputs, piece.spans) if direction else inputs
            hs, final = _run_chunks(layer, chunks, spans[direction], initial, plan)
            outputs.append(reverse_chunks(hs, spans[1]) if direction else hs)
            last.append(final[0] if valid is None else zero_unless(valid, final[0]))
            final_states += final
        for below, parts in zip(outputs_below, zip(*outputs, strict=True), strict=True):
            below.append(_add_shortcut(call.connections, index, _concat_features(parts), below))
        last_outputs.append(_add_shortcut(call.connections, index, _concat_features(last), last_outputs))
    return [*_stack_outputs(call, outputs_below, last_outputs, piece.spans), *final_states]


def _level_input(call: StackCall, level: int, below: Sequence[Tensor], x: Tensor, factor: Tensor | None) -> Tensor:
    """Return the input of a level from the outputs of the levels below and the input of the stack.

    Args:
        call: The stack.
        level: The level, from 0.
        below: Outputs (T_k, w, n) of the levels below.
        x: Input of the stack, (T_k, d, n).
        factor: Factors (w, n) of the output of the level below from `StackCall.dropout_masks`, or None.
    """
    if level == 0:
        return x
    dropped = call.dropouts[level - 1](below[-1])
    dropped = dropped if factor is None else dropped * factor
    return tf.concat([dropped, x], -2) if call.connections.reads_input(level) else dropped


def _add_shortcut(connections: Connections, level: int, output: Tensor, below: Sequence[Tensor]) -> Tensor:
    source = connections.shortcut_source(level)
    return output if source is None else output + below[source]


def _stack_outputs(
    call: StackCall, outputs: Sequence[Tensors], last_outputs: Sequence[Tensor], spans: Sequence[Span]
) -> Tensors:
    """Return the outputs of the stack with zeros where Keras has them.

    Outputs are 0 before the first valid step and for sequences without one; with two directions, at every masked step.

    Args:
        call: The stack.
        outputs: Outputs of all levels for each chunk, (T_k, w, n) each.
        last_outputs: Outputs of all levels at the last step, (w, n) each.
        spans: Spans of the chunks.
    """
    if not call.return_sequences:
        return _select_levels(call.connections, last_outputs)
    chunks = [_select_levels(call.connections, levels) for levels in outputs]
    results = [join_chunks(parts, spans) for parts in zip(*chunks, strict=True)]
    mask = join_masks(spans)
    if mask is None:
        return results
    nonzero = mask if len(call.levels[0]) == 2 else from_first_valid(mask)
    return [zero_unless(nonzero, result) for result in results]


def _select_levels(connections: Connections, outputs: Sequence[Tensor]) -> Tensors:
    if connections.all_layers:
        return list(outputs)
    return [_concat_features(outputs) if connections.kind == "skip" else outputs[-1]]


def _concat_features(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, -2)


def _group_by_level(flat: Sequence[Tensor], like: Sequence[Sequence[Tensor]]) -> list[Tensors]:
    iterator = iter(flat)
    return [[next(iterator) for _ in level] for level in like]


# === A layer ===


@tf.autograph.experimental.do_not_convert
def run_layer(call: LayerCall, sequences: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> LayerResult:
    """Return the last output (n, h), the outputs (n, T, h) or the last one (n, 1, h), and the final states of a layer.

    Args:
        call: The layer.
        sequences: (n, T, d).
        states: Initial states, (n, width) each.
        mask: (n, T), or None.
    """
    sequences = call.input_dropout(sequences)
    dtype = _inner_dtype(call.compute_dtype)
    plan = make_plan([_recurrence_of(call).equations.units], sequences, call.training, False, call.cache)
    layer = _prepare(call, plan, dtype, call.cache)
    pieces = split_into_pieces(sequences, states, mask, plan, dtype)
    results = join_pieces([_run_layer_piece(call, layer, piece, plan) for piece in pieces], sequences)
    if call.return_sequences:
        last, outputs, *final_states = results
        return last, outputs, final_states
    last, *final_states = results
    return last, last[:, None], final_states


def _run_layer_piece(call: LayerCall, layer: PreparedLayer, piece: Piece, plan: Plan) -> Tensors:
    """Return the last output (h, n), with `return_sequences` all outputs (T, h, n), and the final states."""
    chunks, spans = piece.chunks, piece.spans
    if call.go_backwards:
        chunks, spans = reverse_chunks(chunks, spans), reverse_spans(spans)
    hs, final_states = _run_chunks(layer, chunks, spans, piece.states, plan)
    mask, last = join_masks(spans), final_states[0]
    if mask is not None:
        last = zero_unless(any_valid(spans), last)
        last = zero_unless(mask[-1], last) if call.zero_output_for_mask else last
    if not call.return_sequences:
        return [last, *final_states]
    outputs = join_chunks(hs, spans)
    if mask is not None:
        outputs = zero_unless(mask if call.zero_output_for_mask else from_first_valid(mask), outputs)
    return [last, outputs, *final_states]


# === Shared by stacks and layers ===


def _run_chunks(
    layer: PreparedLayer, chunks: Sequence[Tensor], spans: Sequence[Span], states: Sequence[Tensor], plan: Plan
) -> tuple[Tensors, Tensors]:
    """Return the outputs of all steps for each chunk, in reading order, and the final states.

    The next layer can start on the first chunk while this one runs the second: in a graph, two cores run two layers in
    parallel.
    """
    outputs, states = [], list(states)
    for x, span in zip(chunks, spans, strict=True):
        projected = layer.recurrence.project_inputs(x, layer.weights)
        arguments = [projected, *layer.weights.trainable, *states]
        if layer.passes is None or _is_watched_in_forward_mode(arguments):
            run = plain_sequence(layer.recurrence, layer.weights, span)
        else:
            run = differentiable_sequence(layer.recurrence, layer.passes, layer.weights, span, plan.store)
        hs, *states = run(*arguments)
        outputs.append(hs)
    return outputs, states


def _is_watched_in_forward_mode(tensors: Sequence[Tensor]) -> bool:
    """Return whether a `ForwardAccumulator`, which cannot differentiate a compiled pass, watches one of the tensors."""
    return tf.executing_eagerly() and _compat.in_forward_mode(tensors)


def _prepare(call: LayerCall, plan: Plan, dtype: str, cache: dict[object, Any]) -> PreparedLayer:
    key = ("xla", call.recurrence)
    recurrence = cache.get(key) or cache.setdefault(key, step_recurrence(_recurrence_of(call)))
    # The only read of each weight in an update: `tf.custom_gradient` reads a variable among its arguments again, and
    # TensorFlow may execute that read after the optimizer's assignment.
    stored = {name: tf.cast(tf.convert_to_tensor(weight), dtype) for name, weight in call.weights().items()}
    passes = None if plan.exported else _passes(_recurrence_of(call), recurrence, plan.compiled, cache)
    return PreparedLayer(recurrence, recurrence.weights(call.input_dim, stored), passes)


def _recurrence_of(call: LayerCall) -> Recurrence:
    assert call.recurrence is not None  # XLA supports cells with equations only
    return call.recurrence


def _passes(equations: Recurrence, recurrence: StepRecurrence, compiled: bool, cache: dict[object, Any]) -> Passes:
    """Return the passes: shared by all layers, or cached for one layer if they contain user-defined functions."""
    if equations.is_shareable:
        return shared_passes(recurrence, compiled)
    key = ("xla passes", equations, compiled)
    return cache.get(key) or cache.setdefault(key, Passes(recurrence, compiled))


def step_recurrence(recurrence: Recurrence) -> StepRecurrence:
    """Return the hand-written recurrence for Keras' equations, a derived one for all others."""
    equations, kind = recurrence.equations, type(recurrence.equations)
    names = cast("Mapping[str, str]", dict(recurrence.activations))  # XLA supports named activations in Keras' cells
    if kind is SimpleRNNEquations:
        return SimpleRNNRecurrence(names["activation"])
    if kind is LSTMEquations:
        return LSTMRecurrence(names["activation"], names["recurrent_activation"])
    if isinstance(equations, GRUEquations) and kind is GRUEquations:
        recurrence_class = GRURecurrence if equations.reset_after else GRUResetBeforeRecurrence
        return recurrence_class(names["activation"], names["recurrent_activation"])
    return DerivedRecurrence(equations, recurrence.activations)


def _inner_dtype(compute_dtype: str) -> str:
    """Return the dtype to compute in: on a CPU, half precision is many times slower than float32."""
    return "float64" if compute_dtype == "float64" else "float32"
