"""Stacks of recurrent layers with a normalization per layer, which consist of one `DeepRNN` per layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from deeprnn_keras._types import Config, Layer, Tensor
from deeprnn_keras.initializers.seeding import derived_seed, reseeded
from deeprnn_keras.layers import DeepRNN
from deeprnn_keras.layers.deep_rnn import PLAIN_ARGUMENTS
from deeprnn_keras.layers.recurrent_layer import WEIGHT_ROLES

PER_LAYER = ("units", "dilation", "variational_dropout", "weight_dropout")
SHARED_OBJECTS = (
    "activity_regularizer",
    *(f"{role}_{kind}" for role in WEIGHT_ROLES for kind in ("regularizer", "constraint")),
)
OF_THE_OUTPUT: Config = {"ar": 0.0, "tar": 0.0, "activity_regularizer": None}
"""Arguments of `DeepRNN` that concern the output of the stack, with the values that turn them off."""


def batch_normalized_stack(stack: DeepRNN, hidden: Tensor, mask: Tensor | None) -> Tensor:
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
    for level in range(stack.num_layers):
        layer = _single_layer(stack, level)
        hidden = _call(layer, hidden, mask)
        if layer.go_backwards and mask is not None:
            mask = keras.ops.flip(mask, axis=1)  # the layers above read the reverse sequence that the first one returns
        steps = mask if layer.return_sequences else None
        normalization = keras.layers.BatchNormalization(
            dtype=stack.dtype_policy, name=f"batch_normalization_{level + 1}"
        )
        hidden = _call(normalization, hidden, steps)
        if level < stack.num_layers - 1:
            hidden = _dropout(stack, level)(hidden)
    return hidden


def residual_stack(stack: DeepRNN, hidden: Tensor, reset_mask: Tensor | None) -> Tensor:
    """Return the output of L residual layers that read their inputs normalized, normalized in turn.

        H^(0) = X,  H^(l) = H^(l-1) + F_l(RMSNorm(H^(l-1))),  RMSNorm(H^(L))

    F_l is a `DeepRNN` of one layer. Dropout acts on the inputs of F_2, ..., F_L. The layers are named
    rms_normalization_1, deep_rnn_1, residual_1, ..., and the last one output_normalization.

    Args:
        stack: A stack that is not part of the model and holds its arguments.
        hidden: Inputs X, (n, T, h), as wide as each layer.
        reset_mask: Mask (n,) of the rows whose carried states are reset; None for a stack without them.

    Raises:
        ValueError: If `connection` is not "stack".
    """
    if stack.connection != "stack":
        raise ValueError(
            "normalization='rms' adds the input of each layer to its output itself and supports connection='stack' "
            f"only, got connection={stack.connection!r}"
        )
    options = {} if reset_mask is None else {"reset_mask": reset_mask}
    for level in range(stack.num_layers):
        inputs = _rms_normalization(stack, f"rms_normalization_{level + 1}")(hidden)
        if level:
            inputs = _dropout(stack, level - 1)(inputs)
        outputs = _single_layer(stack, level)(inputs, **options)
        hidden = keras.layers.Add(dtype=stack.dtype_policy, name=f"residual_{level + 1}")([hidden, outputs])
    return _rms_normalization(stack, "output_normalization")(hidden)


def _single_layer(stack: DeepRNN, level: int) -> DeepRNN:
    """Return layer `level` + 1 as a stack of its own."""
    is_last = level == stack.num_layers - 1
    own: dict[str, Any] = {name: getattr(stack, name) for name in (*PLAIN_ARGUMENTS, *SHARED_OBJECTS)}
    own |= {name: _entry(getattr(stack, name), level) for name in PER_LAYER}
    for role in WEIGHT_ROLES:
        own[f"{role}_initializer"] = reseeded(getattr(stack, f"{role}_initializer"), "level", level)
    own |= {"cell": stack.cells[level], "activation": stack.activations[level]}
    own |= {"recurrent_activation": stack.recurrent_activations[level], "num_layers": 1, "dropout": 0.0}
    own |= {"go_backwards": stack.go_backwards and level == 0}
    own |= {} if is_last else {**OF_THE_OUTPUT, "return_sequences": True}
    own |= {"seed": _seed(stack, "level", level)}
    return DeepRNN(**own, trainable=stack.trainable, dtype=stack.dtype_policy, name=f"deep_rnn_{level + 1}")


def _entry(value: object, level: int) -> object:
    """Return a list of the entry of one layer, or a value that holds for all layers."""
    return [value[level]] if isinstance(value, Sequence) else value


def _dropout(stack: DeepRNN, level: int) -> Layer:
    """Return the dropout between the layers `level` + 1 and `level` + 2."""
    seed = _seed(stack, "dropout", level)
    return keras.layers.Dropout(stack.dropout, seed=seed, dtype=stack.dtype_policy, name=f"dropout_{level + 1}")


def _seed(stack: DeepRNN, use: str, number: int) -> int | None:
    return None if stack.seed is None else derived_seed(stack.seed, use, number)


def _rms_normalization(stack: DeepRNN, name: str) -> Layer:
    return keras.layers.RMSNormalization(dtype=stack.dtype_policy, name=name)


def _call(layer: Layer, hidden: Tensor, mask: Tensor | None) -> Tensor:
    return layer(hidden) if mask is None else layer(hidden, mask=mask)
