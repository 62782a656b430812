"""Keras' `inner_loop` of one recurrent layer on the fused kernel."""

import tensorflow as tf

from deeprnn_keras.kernels.tensorflow.feature_major import (
    any_valid,
    backwards,
    in_feature_major,
    joined,
    joined_mask,
    run_chunks,
    seen,
    spans_backwards,
    zero_where_not,
)
from deeprnn_keras.kernels.tensorflow.plan import plan
from deeprnn_keras.kernels.tensorflow.recurrences import geometry, inner_dtype, weights


@tf.autograph.experimental.do_not_convert
def inner_loop(layer, sequences, initial_state, mask, training):
    """-> (last output (n, h), outputs (n, T, h), final states): what Keras' loop gives.

    Args:
        layer: a recurrent layer that the fused kernel covers.
        sequences: (n, T, d).
        initial_state: list of (n, h).
        mask: (n, T) or None.
    """
    if training and layer.cell.dropout:
        sequences = sequences * layer.cell.get_dropout_mask(sequences[:, 0, :])[:, None]
    dtype = inner_dtype(layer.cell.compute_dtype)
    shape = geometry(layer)
    how = plan((shape,), sequences, training)
    prepared = weights(layer, dtype)

    def run(piece):
        chunks, spans = piece.chunks, piece.spans
        if layer.go_backwards:
            chunks, spans = backwards(chunks, spans), spans_backwards(spans)
        hs, states = run_chunks(shape[0], chunks, spans, prepared, piece.states, how)
        return [*_outputs(layer, hs, states[0], spans), *states]

    count = 2 if layer.return_sequences else 1
    results = in_feature_major(run, sequences, initial_state, mask, how, dtype)
    outputs, states = results[:count], results[count:]
    last = outputs[0]
    return last, outputs[1] if layer.return_sequences else last[:, None], states


def _outputs(layer, hs, final, spans):
    """[the last output (h, n)] and, with `return_sequences`, all (T, h, n): 0 before the first valid step."""
    mask = joined_mask(spans)
    if mask is None:
        return [final, joined(hs, spans)] if layer.return_sequences else [final]
    last = zero_where_not(any_valid(spans), final)
    if layer.zero_output_for_mask:
        last = zero_where_not(mask[-1], last)
    if not layer.return_sequences:
        return [last]
    return [last, zero_where_not(mask if layer.zero_output_for_mask else seen(mask), joined(hs, spans))]
