"""Checks that `DeepRNN(remat=True)` has an effect: it requires an implementation that runs the whole stack at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import keras

from deeprnn_keras.kernels import implementations
from deeprnn_keras.kernels.selection import AUTO


def check_remat(layers: Sequence[keras.layers.RNN], implementation: str, dilation: Sequence[int]) -> None:
    """Raise a ValueError if `remat=True` has an effect on no machine.

    Args:
        layers: The recurrent layers of the stack.
        implementation: As in `DeepRNN`.
        dilation: Dilation rate of each layer.

    Raises:
        ValueError: If the layers run one by one on every machine; the message lists the reasons.
    """
    reasons = _one_by_one_reasons(layers, implementation, dilation)
    if reasons:
        raise ValueError(
            f"remat=True has no effect, because the layers run one by one: {'; '.join(reasons)}. Pass remat=False"
        )


def _one_by_one_reasons(layers: Sequence[keras.layers.RNN], implementation: str, dilation: Sequence[int]) -> list[str]:
    """Return the reasons why the layers of a stack run one by one on every machine; empty if there are none."""
    if implementation != AUTO and not runs_stack(implementation):
        return [f"implementation={implementation!r} runs no stack in a single call"]
    reasons = [f"dilation={list(dilation)} interleaves the states of a layer"] if max(dilation) > 1 else []
    if any(getattr(layer.cell, "dropout", 0.0) for layer in layers):
        reasons.append("a cell has input dropout; use the argument dropout of DeepRNN or keras.layers.Dropout instead")
    return list(dict.fromkeys([*reasons, *_reasons_against_one_call(layers, implementation)]))


def _reasons_against_one_call(layers: Sequence[keras.layers.RNN], implementation: str) -> list[str]:
    """Return the reasons why no implementation runs all layers in one call; empty if one does."""
    names = [name for name in implementations() if runs_stack(name) and implementation in (AUTO, name)]
    rejected = [
        [reason for layer in layers for reason in implementations()[name].unsupported_reasons(layer.traits)]
        for name in names
    ]
    return [reason for reasons in rejected for reason in reasons] if all(rejected) else []


def runs_stack(implementation: str) -> bool:
    """Return whether an implementation runs a whole stack in a single call."""
    return implementations()[implementation].stack_runner is not None


def ignored_remat_reason(implementation: str) -> str | None:
    """Return why an implementation that was selected for a layer ignores `remat=True`, or None if it does not."""
    if runs_stack(implementation) or implementation == "scan":  # which stores states only and recomputes the rest
        return None
    return (
        f"remat=True has no effect: {implementation} runs the layers of a stack one by one, "
        "native code and XLA in a single call"
    )


def warn_if_remat_is_ignored(name: str, layers: Sequence[keras.layers.RNN]) -> None:
    """Warn if `remat=True` has no effect on this machine.

    Args:
        name: Name of the stack.
        layers: Its recurrent layers, which `check_remat` accepts.
    """
    reason = ignored_remat_reason(layers[0].selected_implementation())
    if reason is not None:
        warnings.warn(
            f"{name}: {reason}; to save memory on this machine, pass implementation='xla', which requires the "
            "TensorFlow backend",
            stacklevel=2,
        )
