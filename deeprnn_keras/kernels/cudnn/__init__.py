"""NVIDIA cuDNN through Keras, extended to masks that are not right-padded."""

from __future__ import annotations

from deeprnn_keras.kernels.contract import Implementation, Traits
from deeprnn_keras.kernels.unsupported import (
    describe_activation,
    per_gate_dropout_reasons,
    reason_unless,
    recurrent_dropout_reasons,
)


def unsupported_reasons(traits: Traits) -> list[str]:
    """Return the reasons why Keras does not run a layer on cuDNN; empty if it does."""
    if traits.cell is None:
        return [f"cuDNN supports LSTM and GRU, not {traits.type_name}"]
    if traits.cell == "rnn":
        return ["Keras has no cuDNN path for a plain RNN"]
    if traits.any_cell:
        return [
            f"RNN runs its {traits.type_name} in a loop over the steps; the layer {traits.cell.upper()} supports cuDNN"
        ]
    activation = describe_activation("activation", traits.activation)
    recurrent_activation = describe_activation("recurrent_activation", traits.recurrent_activation)
    return [
        *reason_unless(traits.activation == "tanh", f"{activation}: cuDNN supports tanh only"),
        *reason_unless(
            traits.recurrent_activation == "sigmoid",
            f"{recurrent_activation}: cuDNN supports sigmoid only",
        ),
        *reason_unless(traits.use_bias, "use_bias=False: cuDNN requires a bias"),
        *reason_unless(not traits.unroll, "unroll=True requires the loop"),
        *reason_unless(
            traits.cell != "gru" or traits.reset_after,
            "reset_after=False: cuDNN's GRU applies the reset gate after the product",
        ),
        *recurrent_dropout_reasons(traits, "cuDNN"),
        *per_gate_dropout_reasons(traits, "cuDNN"),
    ]


IMPLEMENTATION = Implementation(
    name="cudnn",
    preference=30,
    backends=("tensorflow",),
    device="gpu",
    unsupported_reasons=unsupported_reasons,
    layer_runner="deeprnn_keras.kernels.cudnn.layer:run_layer",
)
