"""Recurrences that are linear in their states (minimal GRU, QRNN, LRU, …), without a loop over the steps.

The coefficients of all steps are computed at once; the recurrence is an associative scan on a GPU and a loop over
chunks of steps on a CPU. It consists of `keras.ops` only, so that it runs on every backend.

- `equations/first_order.py`: the coefficients of a step.
- `recurrence.py`: the recurrence.
- `layer.py`: a layer.
"""

from __future__ import annotations

from deeprnn_keras.kernels.contract import Implementation, Traits
from deeprnn_keras.kernels.unsupported import reason_unless, recurrent_dropout_reasons


def unsupported_reasons(traits: Traits) -> list[str]:
    """Return the reasons why the linear scan does not support a layer; empty if it does."""
    if not traits.first_order:
        return [
            "the linear scan supports cells with an elementwise recurrence whose new state is a linear function of the "
            f"old one, not {traits.cell or traits.type_name}"
        ]
    return [
        *reason_unless(not traits.unroll, "unroll=True requires the loop"),
        *recurrent_dropout_reasons(traits, "the linear scan"),
    ]


IMPLEMENTATION = Implementation(
    name="linear_scan",
    preference=12,
    backends=("tensorflow", "jax", "torch"),
    device=None,
    unsupported_reasons=unsupported_reasons,
    concerns=lambda traits: traits.unitwise,
    layer_runner="deeprnn_keras.kernels.linear_scan.layer:run_layer",
)
