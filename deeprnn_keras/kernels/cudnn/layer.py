"""One layer on cuDNN: Keras' own path, with any mask brought into the form that cuDNN takes."""

from __future__ import annotations

from collections.abc import Sequence

from deeprnn_keras.kernels.contract import LayerCall, Tensor
from deeprnn_keras.kernels.cudnn.right_padded import right_padded


def run_layer(
    call: LayerCall, sequences: Tensor, states: Sequence[Tensor], mask: Tensor | None
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return the last output, the outputs, and the final states, as Keras' loop gives them for any mask."""
    if mask is None:
        return call.keras_cudnn(sequences, states, None)
    return right_padded(
        lambda sequences, mask: call.keras_cudnn(sequences, states, mask),
        sequences,
        mask,
        states,
        return_sequences=call.return_sequences,
        go_backwards=call.go_backwards,
        zero_output_for_mask=call.zero_output_for_mask,
    )
