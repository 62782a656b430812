"""Reasons why an implementation does not support a layer, shared by several of them."""

from __future__ import annotations

from deeprnn_keras.kernels.contract import Traits


def unless(fine: bool, reason: str) -> list[str]:
    """Return the reason in a list, or nothing if all is fine."""
    return [] if fine else [reason]


def shown(name: str | None) -> str:
    """Return the name of an activation for a message."""
    return repr(name) if name else "a user-defined function"


def recurrent_dropout(traits: Traits, what: str) -> list[str]:
    """Return why recurrent dropout rules out an implementation."""
    return unless(
        not traits.recurrent_dropout,
        f"recurrent_dropout={traits.recurrent_dropout:g} rules out {what}: it changes the state at every step, which "
        "only the loop does, several times slower in training",
    )


def per_gate_dropout(traits: Traits, what: str) -> list[str]:
    """Return why a dropout mask for each gate rules out an implementation."""
    fine = traits.implementation != 1 or not traits.dropout or traits.cell == "rnn"
    return unless(fine, f"dropout={traits.dropout:g} with implementation=1 drops per gate, {what} once for all gates")
