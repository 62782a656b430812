"""Whole stacks on a CPU, compiled by XLA, with gradients written by hand or derived from the equations."""

from __future__ import annotations

from deeprnn_keras.kernels.contract import Implementation, Traits
from deeprnn_keras.kernels.unsupported import per_gate_dropout, recurrent_dropout, shown, unless

# with a slope that follows from the value: `activations.py` has them
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
    """Return what rules out the XLA implementation; empty where nothing does."""
    if traits.cell is None and not traits.has_equations:
        return [f"XLA supports cells with equations, RNN, GRU, and LSTM, not {traits.type_name}"]
    names = {} if traits.has_equations else {"activation": traits.activation}
    if traits.cell in ("gru", "lstm"):
        names["recurrent_activation"] = traits.recurrent_activation
    wrong = [
        f"{argument}={shown(name)}: XLA supports activations whose slope follows from the value, "
        f"{', '.join(SUPPORTED_ACTIVATIONS)}"
        for argument, name in names.items()
        if name not in SUPPORTED_ACTIVATIONS
    ]
    return [
        *wrong,
        *unless(not traits.unroll, "unroll=True asks for the loop written out"),
        *recurrent_dropout(traits, "XLA"),
        *per_gate_dropout(traits, "XLA"),
    ]


IMPLEMENTATION = Implementation(
    name="xla",
    preference=10,
    backend="tensorflow",
    device="cpu",
    unsupported_reasons=unsupported_reasons,
    layer_runner="deeprnn_keras.kernels.xla.stack:run_layer",
    stack_runner="deeprnn_keras.kernels.xla.stack:run_stack",
)
