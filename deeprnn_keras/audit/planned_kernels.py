"""The implementations of a model that is not built: from its cells and activations, by the rules alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deeprnn_keras.audit.kernel_report import KernelRow
from deeprnn_keras.kernels import implementations
from deeprnn_keras.kernels.contract import Traits
from deeprnn_keras.kernels.selection import FOR_CPUS, NOTHING_AGAINST_GPU
from deeprnn_keras.specs import RegisteredCell, parse_cell

TYPES = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}


def planned_rows(recurrences: Iterable[tuple[str, Any, Any]]) -> list[KernelRow]:
    """Return a `KernelRow` for each (path, cell, activation) of our layers under TensorFlow; `kernel` is that of a CPU.

    Args:
        recurrences: cell: As in `DeepRNN`; activation: A name, a function, or None for the cell's own.
    """
    return [_row(*recurrence) for recurrence in recurrences]


def _row(path: str, cell: Any, activation: Any) -> KernelRow:
    spec, options = parse_cell(cell)
    kind = TYPES.get(spec.name)
    traits = Traits(
        spec.name if kind else None,
        activation=_activation_name(activation),
        reset_after=options.get("reset_after", True),
        use_bias=options.get("use_bias", True),
        type_name=_equations_name(spec),
        has_equations=kind is None and spec.equations is not None,
        recurrent_dropout=options.get("recurrent_dropout", 0.0),
    )
    against_xla, against_cudnn = (implementations()[name].unsupported_reasons(traits) for name in ("xla", "cudnn"))
    against_cudnn += [FOR_CPUS] if against_cudnn else []
    return KernelRow(
        path,
        f"deeprnn_keras.{kind or f'RNN({_equations_name(spec)})'}",
        "loop" if against_xla else "xla",
        tuple(against_xla or ["XLA supports the layer"]),
        "loop" if against_cudnn else "cudnn",
        tuple(against_cudnn or [NOTHING_AGAINST_GPU]),
    )


def _activation_name(activation: Any) -> str | None:
    if not callable(activation):
        return activation or "tanh"
    from deeprnn_keras.cells.keras_cells import activation_name

    return activation_name(activation)


def _equations_name(spec: RegisteredCell) -> str:
    """Return the name of the equations of a cell, or of the cell."""
    return spec.name if spec.example_equations is None else type(spec.example_equations).__name__
