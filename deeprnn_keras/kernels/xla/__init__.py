"""Stacks of recurrent layers on a CPU, compiled by XLA, with a custom backward pass.

The modules, from a whole stack down to one step:

- `stack.py`: runs a stack or a layer (`run_stack`, `run_layer`).
- `plan.py`, `layout.py`: split the batch and time into pieces.
- `sequence.py`: loops over time, forward and backward, with a custom gradient.
- `recurrence.py`: interface of one step, `forward_step` and `backward_step`.
- `lstm.py`, `gru.py`, `simple_rnn.py`: the hand-written steps, for example `LSTMRecurrence.backward_step`.
- `derived.py`: steps of all other cells, with a backward pass derived from their equations.
"""

from __future__ import annotations

from deeprnn_keras.kernels.contract import Implementation, Traits
from deeprnn_keras.kernels.unsupported import (
    describe_activation,
    per_gate_dropout_reasons,
    reason_unless,
    recurrent_dropout_reasons,
)

# Activations whose derivative is a function of their value, implemented in activations.py. They are listed here so that
# a layer can be checked without importing TensorFlow.
SUPPORTED_ACTIVATIONS = (
    "elu",
    "exponential",
    "hard_sigmoid",
    "leaky_relu",
    "linear",
    "relu",
    "sigmoid",
    "softplus",
    "softsign",
    "tanh",
)


def unsupported_reasons(traits: Traits) -> list[str]:
    """Return the reasons why XLA does not support a layer; empty if it does."""
    if traits.cell is None and not traits.has_equations:
        return [f"XLA supports cells with equations, RNN, GRU, and LSTM, not {traits.type_name}"]
    if traits.untraceable:
        return [
            f"XLA supports equations of arithmetic, activations, maps, and primitives, not {traits.untraceable} of "
            f"{traits.type_name}"
        ]
    activations = {} if traits.has_equations else {"activation": traits.activation}
    if traits.cell in ("gru", "lstm"):
        activations["recurrent_activation"] = traits.recurrent_activation
    unsupported_activations = [
        f"{describe_activation(argument, name)}: XLA supports activations whose derivative is a function of their "
        f"value: {', '.join(SUPPORTED_ACTIVATIONS)}"
        for argument, name in activations.items()
        if name not in SUPPORTED_ACTIVATIONS
    ]
    return [
        *unsupported_activations,
        *reason_unless(not traits.unroll, "unroll=True requires the loop"),
        *recurrent_dropout_reasons(traits, "XLA"),
        *per_gate_dropout_reasons(traits, "XLA"),
    ]


IMPLEMENTATION = Implementation(
    name="xla",
    preference=10,
    backends=("tensorflow",),
    device="cpu",
    unsupported_reasons=unsupported_reasons,
    layer_runner="deeprnn_keras.kernels.xla.stack:run_layer",
    stack_runner="deeprnn_keras.kernels.xla.stack:run_stack",
)
