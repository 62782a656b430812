"""Operations of recurrent layers: those of Keras, the drop-ins, `DeepRNN`, and `Bidirectional`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.standard import GRUEquations, LSTMEquations, SimpleRNNEquations
from deeprnn_keras.equations.trace import explain, trace
from deeprnn_keras.equations.zoneout import ExpectedZoneout
from deeprnn_keras.program import operations as op
from deeprnn_keras.program.builder import Builder, KerasLayer, Value, as_array, keras_function_name, rule
from deeprnn_keras.program.refusal import refuse

STANDARD = {SimpleRNNEquations: "rnn", LSTMEquations: "lstm"}


# === One recurrence ===


def _recurrence(
    b: Builder,
    layer: KerasLayer,
    cell: KerasLayer,
    value: Value,
    name: str,
    reverse: bool = False,
    rate: int = 1,
    zoneout: Sequence[float] = (),
    initial: Sequence[Any] = (),
) -> Value:
    """Append the recurrence of a cell; its value keeps the positions of the inputs.

    Args:
        b: The builder.
        layer: The layer, for messages.
        cell: The cell.
        value: The inputs.
        name: Name of the recurrence.
        reverse: Read the sequence from its end.
        rate: Dilation rate.
        zoneout: Zoneout rate of each state; empty without zoneout.
        initial: Variables with the states before the first step; empty for zeros.
    """
    from deeprnn_keras.cells.keras_cells import cell_name, cell_recurrence

    if value.kind != "sequence":
        refuse(layer, f"it must read a sequence (n, T, d), got {value.name!r} ({value.kind})")
    recurrence = cell_recurrence(cell)
    if recurrence is None:
        refuse(
            layer,
            f"its cell {type(cell).__name__} has no equations; write it as a RecurrentCell, whose step is defined by "
            "`Equations`",
        )
    equations = recurrence.equations
    functions = {key: keras_function_name(function) or function for key, function in recurrence.activations}
    options: dict[str, Any] = {"reverse": reverse, "rate": rate, "initial": tuple(map(b.variable, initial))}
    is_standard = all(function in op.STANDARD_ACTIVATIONS for function in functions.values())
    if cell_name(cell) is not None and is_standard and not zoneout:
        weights = {key: b.weight(cell, key) for key in ("kernel", "recurrent_kernel", "bias")}
        kind = STANDARD.get(type(equations)) or ("gru" if cell.reset_after else "gru_reset_before")
        return b.append(
            op.Recurrent, name, [value], equations.output_width, cell=kind, **functions, **weights, **options
        )
    try:
        traced = ExpectedZoneout(equations.units, equations, tuple(zoneout)) if zoneout else equations
        step = trace(traced, value.width, functions)
    except Exception as error:  # user-defined equations may raise any
        refuse(
            layer, f"the equations of its cell {type(cell).__name__} are not composed of primitives: {explain(error)}"
        )
    used = {name for one in step.instructions for name in (one.weight, one.bias) if name is not None}
    stored = _stored(b, cell, equations, name)
    weights = tuple((key, stored[key]) for key in sorted(used))
    options |= {"step": step, "state_names": tuple(equations.state_widths()), "weights": weights}
    return b.append(op.Cell, name, [value], equations.output_width, **options)


def _stored(b: Builder, cell: Any, equations: Equations, name: str) -> dict[str, str]:  # noqa: ANN401 - a Keras cell
    """Return {name in the equations: name in the program} of the weights of a cell."""
    variables = {variable.name: variable for variable in cell.weights}
    if not isinstance(equations, GRUEquations) or np.ndim(variables.get("bias", ())) != 2:
        return {key: b.variable(variable) for key, variable in variables.items()}
    arrays = equations.from_keras({key: as_array(variable) for key, variable in variables.items()})
    return {
        key: b.array(f"{name}/{key}", array) if key.endswith("bias") else b.variable(variables[key])
        for key, array in arrays.items()
    }


def _cells(layer: KerasLayer, name: str) -> list[tuple[Any, str]]:
    """Return the cells of a layer and the names of their recurrences: stacked cells are layers above each other."""
    if type(layer.cell).__name__ != "StackedRNNCells":
        return [(layer.cell, name)]
    return [(cell, f"{name}/cell_{number}") for number, cell in enumerate(layer.cell.cells, start=1)]


# === Layers of Keras and the drop-ins ===


@rule("RNN", "LSTM", "GRU", "SimpleRNN")
def _rnn(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> Value:
    return _as_returned(b, layer, inputs[0], name)


def _as_returned(b: Builder, layer: KerasLayer, value: Value, name: str, flip: bool = False) -> Value:
    """Append a layer and return its output: the last step that it reads, or all steps in the order that it reads them.

    Args:
        b: The builder.
        layer: The layer.
        value: Its input.
        name: Its name.
        flip: Reverse the order of all steps.
    """
    for cell, cell_name in _cells(layer, name):
        value = _recurrence(b, layer, cell, value, cell_name, reverse=layer.go_backwards)
    if layer.go_backwards != (flip and layer.return_sequences):
        value = b.reverse(value, f"{name}/reverse")
    return value if layer.return_sequences else b.last(value, f"{name}/last")


@rule("Bidirectional")
def _bidirectional(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> list[Value]:
    both = [
        _as_returned(b, one, inputs[0], f"{name}/{one.name}", flip)
        for one, flip in ((layer.forward_layer, False), (layer.backward_layer, True))
    ]
    mode = layer.merge_mode
    if mode is None:
        return both
    if mode == "concat":
        return [b.concatenate(both, name)]
    if mode == "sum":
        return [b.add(layer, both, name)]
    if mode == "ave":
        return [b.elementwise(layer, b.add(layer, both, f"{name}/sum"), name, lambda a: 0.5 * a)]
    return refuse(layer, f"merge_mode must be 'concat', 'sum', 'ave', or None, got {mode!r}")


# === DeepRNN ===


@rule("DeepRNN")
def _deep_rnn(b: Builder, layer: KerasLayer, inputs: list[Value], name: str) -> list[Value]:
    x = b.reverse(inputs[0], f"{name}/reverse") if layer.go_backwards else inputs[0]
    stack = _Stack(b, layer, x, name)
    output = stack.outputs[-1:]
    if layer.return_all_layers:
        output = stack.outputs
    elif layer.connection == "skip":
        output = [b.concatenate(stack.outputs, f"{name}/concatenate")]
    if not layer.return_sequences:
        output = stack.last_outputs()
    return output


class _Stack:
    """The levels of a `DeepRNN`.

    Attributes:
        outputs: Output of all steps of each level.
    """

    def __init__(self, b: Builder, layer: KerasLayer, x: Value, name: str) -> None:
        self.b, self.layer, self.name = b, layer, name
        self.outputs: list[Value] = []
        self.directions: list[list[Value]] = []  # without shortcuts
        for level, recurrent_layers in enumerate(layer.levels):
            inputs = self._inputs(level, x)
            values = [
                _recurrence(
                    *(b, layer, one.cell, inputs, f"{name}/{one.name}"),
                    reverse=one.go_backwards,
                    rate=layer.dilation[level],
                    zoneout=one.zoneout.rates if one.zoneout else (),
                    initial=one.initial_state.vectors if one.initial_state else (),
                )
                for one in recurrent_layers
            ]
            self.directions.append(values)
            output = b.concatenate(values, f"{name}/concatenate_{level + 1}")
            self.outputs.append(self._with_shortcut(level, output, self.outputs))

    def _inputs(self, level: int, x: Value) -> Value:
        below = self.outputs[-1] if level else x
        if not self.layer.connections.reads_input(level):
            return below
        return self.b.concatenate([below, x], f"{self.name}/inputs_{level + 1}")

    def _with_shortcut(self, level: int, value: Value, outputs: Sequence[Value], suffix: str = "") -> Value:
        source = self.layer.connections.shortcut_source(level)
        if source is None:
            return value
        return self.b.add(self.layer, [value, outputs[source]], f"{self.name}/add_{level + 1}{suffix}")

    def last_outputs(self) -> list[Value]:
        """Append and return the outputs of the last step that each direction reads: of all levels, or of the stack."""
        count = self.layer.num_layers
        wanted = range(count) if self.layer.return_all_layers or self.layer.connection == "skip" else [count - 1]
        if self.layer.bidirectional:
            last = cache(self._last_of_directions)
        else:
            last = cache(lambda level: self.b.last(self.outputs[level], f"{self.name}/last_{level + 1}"))
        values = [last(level) for level in wanted]
        if self.layer.connection == "skip" and not self.layer.return_all_layers:
            return [self.b.concatenate(values, f"{self.name}/last")]
        return values

    def _last_of_directions(self, level: int) -> Value:
        forward, backward = self.directions[level]
        name = f"{self.name}/last_{level + 1}"
        backward = self.b.reverse(backward, f"{name}/reverse")
        ends = [self.b.last(forward, f"{name}/forward"), self.b.last(backward, f"{name}/backward")]
        value = self.b.concatenate(ends, name)
        source = self.layer.connections.shortcut_source(level)
        if source is None:
            return value
        return self.b.add(self.layer, [value, self._last_of_directions(source)], f"{name}/add")
