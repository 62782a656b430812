"""Elementwise recurrences (IndRNN, minimal GRU, SRU, …): products first, then a scan over time.

All matrix products are of the inputs and are computed for all steps at once; the rest of a step acts on single units
and runs in native code, for one strip of units after the other.

- `equations/unitwise.py`: the step of single units.
- `native/unitwise.py`, `native/src/unitwise.h`: its forward and backward pass.
- `tensorflow.py`: the passes as operations that are differentiable twice.
- `plain.py`: the step in plain TensorFlow operations, which second derivatives come from.
"""

from __future__ import annotations

from deeprnn_keras.kernels import native
from deeprnn_keras.kernels.contract import Implementation, Traits
from deeprnn_keras.kernels.unsupported import reason_unless, recurrent_dropout_reasons


def unsupported_reasons(traits: Traits) -> list[str]:
    """Return the reasons why the scan does not support a layer; empty if it does."""
    if not traits.unitwise:
        return [f"the scan supports cells with an elementwise recurrence, not {traits.cell or traits.type_name}"]
    return [
        *reason_unless(not traits.unroll, "unroll=True requires the loop"),
        *reason_unless(traits.compute_dtype != "float64", "dtype float64: the scan computes in float32"),
        *recurrent_dropout_reasons(traits, "the scan"),
    ]


IMPLEMENTATION = Implementation(
    name="scan",
    preference=15,
    backends=("tensorflow",),
    device="cpu",
    unsupported_reasons=unsupported_reasons,
    machine_reasons=native.machine_reasons,
    concerns=lambda traits: traits.unitwise,
    layer_runner="deeprnn_keras.kernels.scan.tensorflow:run_layer",
)
