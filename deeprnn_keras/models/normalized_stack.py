"""Stack of recurrent layers with batch normalization after each of them."""

from __future__ import annotations

from typing import Any

import keras

from deeprnn_keras._types import Config, Layer, Tensor
from deeprnn_keras.layers import DeepRNN

PER_LAYER = ("units", "cell", "activation", "recurrent_activation", "dilation")
OF_THE_OUTPUT: Config = {"ar": 0.0, "tar": 0.0, "activity_regularizer": None}
"""Arguments of `DeepRNN` that concern the output of the stack, with the values that turn them off."""


def normalized_stack(stack: DeepRNN, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Return the output of L layers, each a `DeepRNN` of one layer followed by a `BatchNormalization`.

    The moments are those over the batch and, where a layer returns sequences, over the unmasked steps. Dropout acts
    between the layers, after the normalization. The layers are named deep_rnn_1, batch_normalization_1, ...

    Args:
        stack: A stack that is not part of the model and holds its arguments.
        hidden: Inputs X, (n, T, d).
        mask: Mask (n, T), or None.

    Raises:
        ValueError: If the layers are not connected as a plain stack, or carry states between batches.
    """
    if stack.connection != "stack" or stack.stateful:
        raise ValueError(
            "batch_normalization=True supports connection='stack' and stateful=False only, got "
            f"connection={stack.connection!r} and stateful={stack.stateful}"
        )
    config, policy = stack.get_config(), stack.dtype_policy
    for level in range(stack.num_layers):
        is_last = level == stack.num_layers - 1
        layer = DeepRNN.from_config(_one_layer(config, level, is_last))
        hidden = _call(layer, hidden, mask)
        steps = mask if layer.return_sequences else None
        normalization = keras.layers.BatchNormalization(dtype=policy, name=f"batch_normalization_{level + 1}")
        hidden = _call(normalization, hidden, steps)
        if not is_last:
            seed = None if stack.seed is None else stack.seed + level + 1
            dropout = keras.layers.Dropout(stack.dropout, seed=seed, dtype=policy, name=f"dropout_{level + 1}")
            hidden = dropout(hidden)
    return hidden


def _one_layer(config: Config, level: int, is_last: bool) -> dict[str, Any]:
    """Return the configuration of layer `level` + 1 as a stack of its own."""
    own: dict[str, Any] = {name: [config[name][level]] for name in PER_LAYER}
    own |= {"name": f"deep_rnn_{level + 1}", "num_layers": 1, "dropout": 0.0}
    own |= {} if is_last else {**OF_THE_OUTPUT, "return_sequences": True}
    own |= {} if config["seed"] is None else {"seed": config["seed"] + level}
    return {**config, **own}


def _call(layer: Layer, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return layer(hidden) if mask is None else layer(hidden, mask=mask)
