"""Names of the inputs and outputs of signatures.

TensorFlow accepts names that Python accepts as names of arguments, and changes capital letters; the names of a program
are made lower-case identifiers.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from dataclasses import dataclass

from deeprnn_keras.exporters.identifiers import Names
from deeprnn_keras.exporters.value_names import next_state, output_names
from deeprnn_keras.program.program import Program

SEQUENCE, STEP = "serving_default", "step"
"""Names of the signatures."""

RESERVED = ("self", *keyword.kwlist)
"""Names that are not available: TensorFlow passes inputs as arguments of methods."""


@dataclass(frozen=True)
class SignatureNames:
    """Names in a signature, in the order of the program.

    Attributes:
        inputs: The inputs, followed by the states for a single step.
        outputs: The outputs, followed by the states.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def sequence_names(program: Program, lengths: str | None) -> SignatureNames:
    """Return the names for whole sequences; `lengths` is the name of the input of lengths, if there is one."""
    inputs = [one.name for one in program.inputs]
    return SignatureNames(_identifiers([*inputs, lengths] if lengths else inputs), _identifiers(output_names(program)))


def step_names(program: Program) -> SignatureNames:
    """Return the names for a single step."""
    inputs = [one.name for one in program.inputs]
    return SignatureNames(
        _identifiers([*inputs, *program.states]),
        _identifiers([*output_names(program), *map(next_state, program.states)]),
    )


def _identifiers(given: Iterable[str]) -> tuple[str, ...]:
    names = Names(RESERVED)
    return tuple(names.new(_identifier(name)) for name in given)


def _identifier(name: str) -> str:
    plain = Names.plain(name).lower()
    return plain if plain[0].isalpha() else f"value_{plain}"
