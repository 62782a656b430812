"""Keras' loop over the steps of a cell: runs every layer on every backend."""

from __future__ import annotations

from collections.abc import Sequence

from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.contract import Implementation, LayerCall, LayerResult


def run_layer(call: LayerCall, sequences: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> LayerResult:
    """Return the last output, the outputs, and the final states."""
    return call.keras_loop(sequences, states, mask)


IMPLEMENTATION = Implementation(
    name="loop",
    preference=0,
    backends=None,
    device=None,
    unsupported_reasons=lambda traits: [],
    layer_runner="deeprnn_keras.kernels.loop:run_layer",
)
