"""NVIDIA's cuDNN, as Keras calls it, for masks of any form too."""

from __future__ import annotations

from deeprnn_keras.kernels.contract import Implementation, Traits
from deeprnn_keras.kernels.unsupported import per_gate_dropout, recurrent_dropout, shown, unless


def unsupported_reasons(traits: Traits) -> list[str]:
    """Return what rules out Keras' cuDNN path; empty where nothing does."""
    if traits.cell is None:
        return [f"cuDNN knows LSTM and GRU, not {traits.type_name}"]
    if traits.cell == "rnn":
        return ["Keras has no cuDNN path for a plain RNN"]
    if traits.any_cell:
        return [f"RNN steps through its {traits.type_name}; the layer {traits.cell.upper()} can have cuDNN"]
    return [
        *unless(traits.activation == "tanh", f"activation={shown(traits.activation)}: cuDNN has tanh only"),
        *unless(
            traits.recurrent_activation == "sigmoid",
            f"recurrent_activation={shown(traits.recurrent_activation)}: cuDNN has sigmoid only",
        ),
        *unless(traits.use_bias, "use_bias=False: cuDNN needs a bias"),
        *unless(not traits.unroll, "unroll=True asks for the loop written out"),
        *unless(
            traits.cell != "gru" or traits.reset_after,
            "reset_after=False: cuDNN's GRU applies the reset gate after the product",
        ),
        *recurrent_dropout(traits, "cuDNN"),
        *per_gate_dropout(traits, "cuDNN"),
    ]


IMPLEMENTATION = Implementation(
    name="cudnn",
    preference=30,
    backend="tensorflow",
    device="gpu",
    unsupported_reasons=unsupported_reasons,
    layer_runner="deeprnn_keras.kernels.cudnn.layer:run_layer",
)
