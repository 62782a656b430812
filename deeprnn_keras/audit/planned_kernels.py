"""Implementations of a model that has not been built, derived from its cells and activations by the rules alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from deeprnn_keras._types import Activation, CellSpec, Config
from deeprnn_keras.audit.kernel_report import KernelRow
from deeprnn_keras.equations.first_order import first_order
from deeprnn_keras.equations.unitwise import UnitStep, unitwise
from deeprnn_keras.kernels.contract import Machine, Traits
from deeprnn_keras.kernels.native import library
from deeprnn_keras.kernels.selection import NO_GPU, choose
from deeprnn_keras.specs import RegisteredCell, parse_cell

LAYER_NAMES = {"rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}
EXAMPLE_UNITS = 4


def planned_rows(recurrences: Iterable[tuple[str, CellSpec, Activation]]) -> list[KernelRow]:
    """Return a `KernelRow` for each layer of this package on TensorFlow; `kernel` refers to a CPU.

    Args:
        recurrences: (path, cell, activation) of each layer; layers with the same parent form a stack. The cell is as in
            `DeepRNN`; the activation is a name, a function, or None for the default of the cell.
    """
    planned = [(path, *_describe(cell, activation)) for path, cell, activation in recurrences]
    stacks: dict[str, list[Traits]] = {}
    for path, _, traits in planned:
        stacks.setdefault(_stack(path), []).append(traits)
    return [_row(path, type_name, traits, stacks[_stack(path)]) for path, type_name, traits in planned]


def _stack(path: str) -> str:
    """Return the path of the stack that a layer belongs to."""
    return path.rpartition("/")[0]


def _row(path: str, type_name: str, traits: Traits, stack: Sequence[Traits]) -> KernelRow:
    cpu = Machine(native_missing=library.unavailable_reason() or "")
    here, gpu = (choose(traits, machine=machine, stack=stack) for machine in (cpu, replace(cpu, gpu=True)))
    reasons = [reason for reason in here.reasons if reason != NO_GPU]
    return KernelRow(
        path,
        type_name,
        here.implementation,
        tuple(reasons or [f"the {here.implementation} implementation supports the layer"]),
        gpu.implementation,
        tuple(gpu.reasons),
    )


def _describe(cell: CellSpec, activation: Activation) -> tuple[str, Traits]:
    """Return the name of the class of a layer, and its traits."""
    spec, options = parse_cell(cell)
    layer_name = LAYER_NAMES.get(spec.name)
    step = None if layer_name else _unit_step(spec, options, activation)
    traits = Traits(
        spec.name if layer_name else None,
        activation=_activation_name(activation),
        reset_after=options.get("reset_after", True),
        use_bias=options.get("use_bias", True),
        type_name=_equations_name(spec),
        has_equations=layer_name is None and spec.equations is not None,
        unitwise=step is not None,
        first_order=first_order(step) is not None,
        recurrent_dropout=options.get("recurrent_dropout", 0.0),
    )
    return f"deeprnn_keras.{layer_name or f'RNN({_equations_name(spec)})'}", traits


def _unit_step(spec: RegisteredCell, options: Config, activation: Activation) -> UnitStep | None:
    """Return the step of single units of a cell, or None if its recurrence is not elementwise."""
    equations = spec.example_equations
    if equations is None:
        return None
    functions = {name: options[name] for name in equations.activations.keys() & options.keys()}
    if activation is not None:
        functions["activation"] = activation
    return unitwise(replace(equations, units=EXAMPLE_UNITS), functions)


def _activation_name(activation: Activation) -> str | None:
    if not callable(activation):
        return activation or "tanh"
    from deeprnn_keras.cells.keras_cells import activation_name

    return activation_name(activation)


def _equations_name(spec: RegisteredCell) -> str:
    """Return the class name of the equations of a cell, or the name of a cell without equations."""
    return spec.name if spec.example_equations is None else type(spec.example_equations).__name__
