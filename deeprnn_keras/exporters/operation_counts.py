"""Counts of the operations of a program, for formats whose operators are its own."""

from __future__ import annotations

from collections import Counter

from deeprnn_keras.program.operations import Operation, Recurrent
from deeprnn_keras.program.program import Program

CELLS = {"rnn": "SimpleRNN", "gru": "GRU", "gru_reset_before": "GRU", "lstm": "LSTM"}


def operation_counts(program: Program) -> dict[str, int]:
    """Return {type of operation: count}; standard recurrences are counted by their cell."""
    return dict(Counter(map(operation_type, program.operations)))


def operation_type(operation: Operation) -> str:
    """Return the type of an operation for reports."""
    return CELLS[operation.cell] if isinstance(operation, Recurrent) else type(operation).__name__
