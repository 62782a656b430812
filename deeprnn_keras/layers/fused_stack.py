"""A stack on the fused kernel: feature-major from its input to its output, all levels in pieces of batch and time."""

from keras import ops

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
from deeprnn_keras.layers.wiring import Wiring


def fused_stack(stack, sequences, states, mask, training):
    """What `by_layers` gives, on the fused kernel; states must be given."""
    dtype = inner_dtype(stack.compute_dtype)
    levels = [FusedLevel(level, dtype) for level in stack.levels]
    how = plan(tuple(level.geometry for level in levels), sequences, training, stack.remat)
    wiring = Wiring.of(stack, axis=-2)

    def run(piece):
        results, finals = _run(levels, wiring, piece, how, stack.return_sequences, training)
        return [*(_zeroed(result, piece.spans, stack) for result in results), *finals]

    flat = [state for level in states for state in level]
    tensors = in_feature_major(run, sequences, flat, mask, how, dtype)
    count = len(tensors) - len(flat)
    return tensors[:count], _per_level(tensors[count:], [len(level) for level in states])


def _run(levels, wiring, piece, how, return_sequences, training):
    """-> what leaves the stack, a list of (T, w, n) or (w, n), and the final states in one list."""
    states = _per_level(piece.states, [level.states for level in levels])
    outputs, lasts, finals = [[] for _ in piece.chunks], [], []  # chunks of all levels, last step, end
    for index, level in enumerate(levels):
        read = [wiring.read(index, below, x, training) for below, x in zip(outputs, piece.chunks, strict=True)]
        chunks, last, final = level.run(read, states[index], piece.spans, how)
        for below, chunk in zip(outputs, chunks, strict=True):
            below.append(wiring.with_shortcut(chunk, below))
        lasts.append(wiring.with_shortcut(last, lasts))
        finals += final
    if return_sequences:
        chunks = [wiring.joined(below) for below in outputs]
        return [joined(parts, piece.spans) for parts in zip(*chunks, strict=True)], finals
    return wiring.joined(lasts), finals


def _zeroed(result, spans, stack):
    """Keras' outputs are 0 before the first valid step, and where two directions meet at every masked step."""
    mask = joined_mask(spans)
    if mask is None or not stack.return_sequences:
        return result
    return zero_where_not(mask if stack.bidirectional else seen(mask), result)


def _per_level(flat, counts):
    iterator = iter(flat)
    return [[next(iterator) for _ in range(count)] for count in counts]


class FusedLevel:
    """The layers of a `Level`, feature-major.

    Args:
        level: a `Level` of layers that the fused kernel covers.
        dtype: to compute in.
    """

    def __init__(self, level, dtype):
        self.geometry = geometry(level.layers[0])
        self.recurrences = [geometry(layer)[0] for layer in level.layers]
        self.weights = [weights(layer, dtype) for layer in level.layers]
        self.states = len(level.state_sizes)

    def run(self, chunks, states, spans, how):
        """-> chunks of H^(l), H^(l) at the last step read, final states."""
        outputs, lasts, finals = [], [], []
        count = len(states) // len(self.weights)
        valid = None if spans[0].mask is None else any_valid(spans)
        for number, (recurrent, prepared) in enumerate(zip(self.recurrences, self.weights, strict=True)):
            initial = states[number * count : (number + 1) * count]
            read, order = (backwards(chunks, spans), spans_backwards(spans)) if number else (chunks, spans)
            hs, final = run_chunks(recurrent, read, order, prepared, initial, how)
            outputs.append(backwards(hs, order) if number else hs)
            lasts.append(final[0] if valid is None else zero_where_not(valid, final[0]))
            finals += final
        return [_features(parts) for parts in zip(*outputs, strict=True)], _features(lasts), finals


def _features(parts):
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-2)
