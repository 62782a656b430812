"""Checks of a `Program`: every name that is read exists, every width and shape fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.equations.trace import BINARY, PRIMITIVES, UNARY, Instruction, Trace
from deeprnn_keras.program.operations import (
    STANDARD_ACTIVATIONS,
    STANDARD_CELLS,
    Add,
    Cell,
    Concatenate,
    Dense,
    Elementwise,
    Embedding,
    LayerNormalization,
    OneHot,
    Operation,
    Recurrence,
    Recurrent,
    Scale,
)

if TYPE_CHECKING:
    from deeprnn_keras.program.program import Program

NUM_GATES = {"rnn": 1, "gru": 3, "gru_reset_before": 3, "lstm": 4}
MAX_WIDTH = 2**31 - 1


def check(program: Program) -> None:
    """Raise a ValueError if a program contradicts itself; the message names the operation."""
    checks.positive_int_or_none("batch_size", program.batch_size)
    widths: dict[str, int] = {}
    ids: set[str] = set()
    for one in program.inputs:
        _check_new(one.name, widths)
        _check_width(one.name, one.width)
        widths[one.name] = one.width
        if one.ids:
            ids.add(one.name)
    for operation in program.operations:
        _check_new(operation.name, widths)
        _check_width(operation.name, operation.width)
        _check_inputs(operation, widths, ids)
        _check_weights(operation, program.weights, widths)
        widths[operation.name] = operation.width
    if not program.inputs or not program.outputs:
        raise ValueError(f"program {program.name!r} must have an input and an output")
    for name in program.outputs:
        if name not in widths or name in ids:
            raise ValueError(f"output {name!r} of program {program.name!r} is not one of its values")
    names = [state.name for operation in program.operations for state in operation.states]
    if len(set(names)) < len(names):
        raise ValueError(f"program {program.name!r} has two states of the same name")


def _check_new(name: str, widths: Mapping[str, int]) -> None:
    if not name or name in widths:
        raise ValueError(f"the name {name!r} is empty or used twice")


def _check_width(name: str, width: int) -> None:
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"{name!r} must have a width of 1 to {MAX_WIDTH}, got {width}")


def _check_inputs(operation: Operation, widths: Mapping[str, int], ids: set[str]) -> None:
    unknown = [name for name in operation.inputs if name not in widths]
    if unknown or not operation.inputs:
        raise ValueError(f"{operation.name!r} reads {unknown or 'nothing'}, which is not an earlier value")
    reads_ids = isinstance(operation, (Embedding, OneHot))
    for name in operation.inputs:
        if (name in ids) != reads_ids:
            raise ValueError(
                f"{operation.name!r} reads {name!r}, which is {'not ' if reads_ids else ''}a sequence of ids"
            )
    several = isinstance(operation, (Add, Concatenate))
    if not several and len(operation.inputs) != 1:
        raise ValueError(f"{operation.name!r} must read one value, got {operation.inputs}")
    given = [widths[name] for name in operation.inputs]
    _expect(operation, "width", operation.width, _expected_width(operation, given))


def _expected_width(operation: Operation, given: list[int]) -> int:
    """Return the width that an operation must have for inputs of given widths."""
    if isinstance(operation, Concatenate):
        return sum(given)
    if isinstance(operation, Add):
        return given[0] if len(set(given)) == 1 else -1
    if isinstance(operation, (Embedding, Dense, Recurrence)):
        return operation.width
    return given[0]


def _expect(operation: Operation, what: str, value: object, expected: object) -> None:
    if value != expected:
        raise ValueError(f"{operation.name!r} must have {what} {expected}, got {value}")


def _check_weights(operation: Operation, weights: Mapping[str, np.ndarray], widths: Mapping[str, int]) -> None:
    for name in operation.weight_names:
        if name not in weights:
            raise ValueError(f"{operation.name!r} reads weight {name!r}, which does not exist")
    inputs = widths[operation.inputs[0]]
    for name, shapes in _weight_shapes(operation, inputs).items():
        if weights[name].shape not in shapes:
            expected = " or ".join(map(str, shapes))
            raise ValueError(f"weight {name!r} must have shape {expected}, got {weights[name].shape}")
    if isinstance(operation, Elementwise):
        _check_trace(operation, operation.function, (inputs,), (operation.width,), {})
    if isinstance(operation, Cell):
        _check_cell(operation, inputs, weights)
    if isinstance(operation, Recurrence):
        _check_recurrence(operation, weights)


def _check_recurrence(operation: Recurrence, weights: Mapping[str, np.ndarray]) -> None:
    if operation.rate < 1:
        raise ValueError(f"{operation.name!r} must have a dilation rate of at least 1, got {operation.rate}")
    if operation.initial:
        _expect(operation, "initial states", len(operation.initial), len(operation.states))
        for state in operation.states:
            _expect(operation, "initial states of shape", weights[state.initial or ""].shape, (state.width,))


def _weight_shapes(operation: Operation, inputs: int) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Return {name: possible shapes} of the weights of an operation."""
    width = operation.width
    vector = ((width,),)
    shapes: dict[str | None, tuple[tuple[int, ...], ...]] = {}
    if isinstance(operation, Embedding):
        shapes[operation.weight] = ((inputs, width),)
    elif isinstance(operation, Dense):
        shapes[operation.kernel] = ((width, inputs) if operation.transposed else (inputs, width),)
        shapes[operation.bias] = vector
    elif isinstance(operation, Scale):
        shapes[operation.scale] = shapes[operation.offset] = ((width,), (1,))
    elif isinstance(operation, LayerNormalization):
        shapes[operation.gamma] = shapes[operation.beta] = vector
    elif isinstance(operation, Recurrent):
        shapes |= _recurrent_shapes(operation, inputs)
    return {name: expected for name, expected in shapes.items() if name is not None}


def _recurrent_shapes(operation: Recurrent, inputs: int) -> dict[str | None, tuple[tuple[int, ...], ...]]:
    if operation.cell not in STANDARD_CELLS:
        raise ValueError(
            f"{operation.name!r} must have one of the cells {tuple(STANDARD_CELLS)}, got {operation.cell!r}"
        )
    for name in (operation.activation, operation.recurrent_activation):
        if name not in STANDARD_ACTIVATIONS:
            raise ValueError(f"{operation.name!r} must have activations from {STANDARD_ACTIVATIONS}, got {name!r}")
    gates = NUM_GATES[operation.cell] * operation.width
    bias = (2, gates) if operation.cell == "gru" else (gates,)
    return {
        operation.kernel: ((inputs, gates),),
        operation.recurrent_kernel: ((operation.width, gates),),
        operation.bias: (bias,),
    }


def _check_cell(operation: Cell, inputs: int, weights: Mapping[str, np.ndarray]) -> None:
    """Raise a ValueError if the instructions do not turn the states into states of the same widths."""
    states = operation.step.inputs[1:]
    if not states:
        raise ValueError(f"{operation.name!r} must have at least one state")
    _expect(operation, "states", len(operation.state_names), len(states))
    for name, width in zip(operation.state_names, states, strict=True):
        _check_width(f"{operation.name}/{name}", width)
    _expect(operation, "an output of width", states[0], operation.width)
    local = {name: weights[stored] for name, stored in operation.weights}
    _check_trace(operation, operation.step, (inputs, *states), states, local)


def _check_trace(
    operation: Operation,
    trace: Trace,
    inputs: tuple[int, ...],
    results: tuple[int, ...],
    weights: Mapping[str, np.ndarray],
) -> None:
    """Raise a ValueError if instructions read a later value, a column that does not exist, or have a wrong width."""
    _expect(operation, "inputs of widths", trace.inputs, inputs)
    widths = list(trace.inputs)
    for number, one in enumerate(trace.instructions):
        if one.primitive not in PRIMITIVES:
            raise ValueError(f"{operation.name!r} has an unknown instruction {one.primitive!r}")
        if not all(0 <= index < len(widths) for index in one.operands):
            raise ValueError(f"instruction {number} of {operation.name!r} reads a later value")
        given = [widths[index] for index in one.operands]
        if one.width != _instruction_width(one, given, weights):
            raise ValueError(
                f"instruction {number} of {operation.name!r}, {one.primitive}, has a wrong width or operand"
            )
        widths.append(one.width)
    if not all(0 <= index < len(widths) for index in trace.outputs):
        raise ValueError(f"{operation.name!r} returns values that do not exist")
    _expect(operation, "results of widths", tuple(widths[index] for index in trace.outputs), results)
    if not 0 <= trace.projected <= len(trace.instructions) or not _depends_on_x_only(trace):
        raise ValueError(f"{operation.name!r} has {trace.projected} instructions before its states, which read them")


def _depends_on_x_only(trace: Trace) -> bool:
    states = range(1, len(trace.inputs))
    return not any(index in states for one in trace.instructions[: trace.projected] for index in one.operands)


def _instruction_width(one: Instruction, given: list[int], weights: Mapping[str, np.ndarray]) -> int:
    """Return the width that an instruction must have, -1 if its operands are wrong."""
    counts = dict.fromkeys(UNARY, 1) | dict.fromkeys(BINARY, 2)
    counts |= {"where": 3, "mean": 1, "split": 1, "constant": 0, "affine": 1, "diagonal": 1}
    if len(given) != counts.get(one.primitive, max(len(given), 1)):
        return -1
    if one.primitive == "concatenate":
        return sum(given)
    if one.primitive == "split":
        return one.width if one.start >= 0 and one.width > 0 and one.start + one.width <= given[0] else -1
    if one.primitive in ("affine", "diagonal"):
        return _product_width(one, given[0], weights)
    if one.primitive in ("mean", "constant"):
        return 1
    wide = set(given) - {1}
    return -1 if len(wide) > 1 else (wide.pop() if wide else 1)


def _product_width(one: Instruction, inputs: int, weights: Mapping[str, np.ndarray]) -> int:
    weight, bias = weights.get(one.weight or ""), weights.get(one.bias or "")
    if weight is None or (one.bias is not None and bias is None):
        return -1
    stop = weight.shape[-1] if weight.ndim else 0
    shape = (stop,) if one.primitive == "diagonal" else (inputs, stop)
    if weight.shape != shape or (bias is not None and bias.shape != (stop,)):
        return -1
    if not _all_valid(one.columns, stop):
        return -1
    width = sum(last - first for first, last in one.columns)
    return -1 if one.primitive == "diagonal" and width % inputs else width


def _all_valid(columns: Iterable[tuple[int, int]], stop: int) -> bool:
    return all(0 <= first < last <= stop for first, last in columns)
