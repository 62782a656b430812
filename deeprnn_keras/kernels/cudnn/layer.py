"""One layer on Keras' cuDNN path, with any mask converted to the right-padded form that cuDNN requires."""

from __future__ import annotations

from collections.abc import Sequence

from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.contract import LayerCall, LayerResult
from deeprnn_keras.kernels.cudnn.right_padded import run_right_padded


def run_layer(call: LayerCall, sequences: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> LayerResult:
    """Return the last output, the outputs, and the final states; equal to those of Keras' loop for any mask."""
    if mask is None:
        return call.keras_cudnn(sequences, states, None)
    return run_right_padded(
        lambda sequences, mask: call.keras_cudnn(sequences, states, mask),
        sequences,
        mask,
        states,
        return_sequences=call.return_sequences,
        go_backwards=call.go_backwards,
        zero_output_for_mask=call.zero_output_for_mask,
    )
