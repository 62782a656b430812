"""Refusal of layers that have no operations in a `Program`: one message, which names the layer and the reason."""

from __future__ import annotations

from typing import Any, NoReturn

_COMBINES = "it combines time steps; use a recurrent layer with return_sequences=False"
_MOVES = "it moves values between time steps or features"
REASONS = {
    "Pooling": _COMBINES,
    "Conv": "a convolution reads several time steps at once; use dilation of DeepRNN, or a Dense layer",
    "Attention": "attention reads all time steps",
    "Flatten": _MOVES,
    "Reshape": _MOVES,
    "Permute": _MOVES,
    "Crop": _MOVES,
    "Padding": _MOVES,
    "RepeatVector": "it makes a sequence of one vector",
    "Lambda": "it contains Python code; use keras.layers.Activation, or a cell with equations",
    "Masking": "a program reads sequences without padding; remove the layer and pass sequences of one length",
}
"""{part of the name of a class: reason}."""


def refuse(layer: Any, reason: str) -> NoReturn:  # noqa: ANN401 - a Keras object
    """Raise the ValueError that names a layer, its class, and the reason why it is not supported."""
    raise ValueError(f"layer {layer.name!r} ({type(layer).__name__}) is not supported by lower: {reason}")


def refuse_class(layer: Any, supported: str) -> NoReturn:  # noqa: ANN401 - a Keras object
    """Raise the ValueError for a layer whose class has no operations.

    Args:
        layer: The layer.
        supported: Names of the supported classes.
    """
    name = type(layer).__name__
    reason = next((reason for part, reason in REASONS.items() if part in name), None)
    refuse(layer, reason or f"no operation exists for its class; supported are {supported}")
