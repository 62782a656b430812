"""Reasons, shared by several implementations, why a layer is not supported."""

from __future__ import annotations

from deeprnn_keras.kernels.contract import Traits


def reason_unless(supported: bool, reason: str) -> list[str]:
    """Return [reason], or an empty list if `supported`."""
    return [] if supported else [reason]


def describe_activation(argument: str, name: str | None) -> str:
    """Return, for a message, "argument='name'", or "argument is a user-defined function" if `name` is None."""
    return f"{argument}={name!r}" if name else f"{argument} is a user-defined function"


def recurrent_dropout_reasons(traits: Traits, implementation: str) -> list[str]:
    """Return the reasons why recurrent dropout and zoneout exclude an implementation, or an empty list."""
    return [
        *reason_unless(
            not traits.recurrent_dropout,
            f"recurrent_dropout={traits.recurrent_dropout:g} rules out {implementation}: only the loop, which is "
            "several times slower in training, applies dropout to the state at every step",
        ),
        *reason_unless(
            not traits.zoneout,
            f"zoneout={traits.zoneout:g} rules out {implementation}: only the loop, which is several times slower, "
            "changes the state after every step",
        ),
    ]


def per_gate_dropout_reasons(traits: Traits, implementation: str) -> list[str]:
    """Return the reason why one dropout mask per gate excludes an implementation, or an empty list."""
    return reason_unless(
        traits.implementation != 1 or not traits.dropout or traits.cell == "rnn",
        f"dropout={traits.dropout:g} with implementation=1 draws one mask per gate, {implementation} one mask for all "
        "gates",
    )
