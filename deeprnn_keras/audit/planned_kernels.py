"""Implementations of a model that has not been built, derived from its cells and activations by the rules alone."""

from __future__ import annotations

from collections.abc import Iterable

from deeprnn_keras._types import Activation, CellSpec
from deeprnn_keras.audit.kernel_report import KernelRow
from deeprnn_keras.kernels import implementations
from deeprnn_keras.kernels.contract import Traits
from deeprnn_keras.kernels.selection import CUDNN_SELECTED, FOR_CPUS
from deeprnn_keras.specs import RegisteredCell, parse_cell

LAYER_NAMES = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}


def planned_rows(recurrences: Iterable[tuple[str, CellSpec, Activation]]) -> list[KernelRow]:
    """Return a `KernelRow` for each layer of this package on TensorFlow; `kernel` refers to a CPU.

    Args:
        recurrences: (path, cell, activation) of each layer. The cell is as in `DeepRNN`; the activation is a name, a
            function, or None for the default of the cell.
    """
    return [_row(*recurrence) for recurrence in recurrences]


def _row(path: str, cell: CellSpec, activation: Activation) -> KernelRow:
    spec, options = parse_cell(cell)
    layer_name = LAYER_NAMES.get(spec.name)
    traits = Traits(
        spec.name if layer_name else None,
        activation=_activation_name(activation),
        reset_after=options.get("reset_after", True),
        use_bias=options.get("use_bias", True),
        type_name=_equations_name(spec),
        has_equations=layer_name is None and spec.equations is not None,
        recurrent_dropout=options.get("recurrent_dropout", 0.0),
    )
    against_xla, against_cudnn = (implementations()[name].unsupported_reasons(traits) for name in ("xla", "cudnn"))
    against_cudnn += [FOR_CPUS] if against_cudnn else []
    return KernelRow(
        path,
        f"deeprnn_keras.{layer_name or f'RNN({_equations_name(spec)})'}",
        "loop" if against_xla else "xla",
        tuple(against_xla or ["XLA supports the layer"]),
        "loop" if against_cudnn else "cudnn",
        tuple(against_cudnn or [CUDNN_SELECTED]),
    )


def _activation_name(activation: Activation) -> str | None:
    if not callable(activation):
        return activation or "tanh"
    from deeprnn_keras.cells.keras_cells import activation_name

    return activation_name(activation)


def _equations_name(spec: RegisteredCell) -> str:
    """Return the class name of the equations of a cell, or the name of a cell without equations."""
    return spec.name if spec.example_equations is None else type(spec.example_equations).__name__
