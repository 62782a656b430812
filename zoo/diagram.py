"""Text diagram of the stack of a model with shapes and parameter counts, drawn without building the model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from deeprnn_keras import checks, count_params
from deeprnn_keras._types import CellSpec
from deeprnn_keras.specs import registered_cell
from deeprnn_keras.stack import layer_units, layer_widths, output_width

if TYPE_CHECKING:
    from deeprnn_keras.zoo.configuration import Configuration

MIN_DESCRIPTION_WIDTH = 30  # characters


class Row(NamedTuple):
    """One tensor of the diagram, with the layer that computes it."""

    symbol: str
    shape: str
    description: str
    params: int


def diagram(rows: Sequence[Row]) -> str:
    """Return the lines of the diagram, from the output at the top to the input at the bottom.

    Args:
        rows: The rows, from the input to the output.

    >>> from deeprnn_keras import zoo
    >>> print(zoo.info("kjv_lstm_2x256").diagram())
    O_t    (n, T, 66)   logits of 66 characters             16,962
    ^
    H^(2)  (n, T, 256)  LSTM, 256 units                    525,312
    ^
    H^(1)  (n, T, 256)  LSTM, 256 units                    328,704
    ^
    X_t    (n, T, 64)   embedding of 66 characters           4,224
    """
    symbol_width = max(len(row.symbol) for row in rows)
    shape_width = max(len(row.shape) for row in rows)
    description_width = max(MIN_DESCRIPTION_WIDTH, *(len(row.description) for row in rows))
    lines = []
    for symbol, shape, description, params in reversed(rows):
        count = f"{params:,}" if params else ""
        line = f"{symbol:{symbol_width}}  {shape:{shape_width}}  {description:{description_width}}{count:>12}"
        lines.append(line.rstrip())
    return "\n^\n".join(lines)


def input_rows(config: Configuration) -> list[Row]:
    """Return the row of X: an embedding, one-hot vectors, or features."""
    shape = format_shape(config, True, config.embedding or config.inputs)
    if config.embedding:
        return [Row("X_t", shape, f"embedding of {config.input_description()}", config.inputs * config.embedding)]
    encoding = "one-hot vectors of " if config.one_hot else ""
    return [Row("X_t", shape, f"{encoding}{config.input_description()}", 0)]


def recurrent_rows(config: Configuration) -> list[Row]:
    """Return the rows of H^(1), ..., H^(L).

    The parameter count of a layer is the difference between the counts of the stacks with and without it.
    """
    units = layer_units(config.units, config.num_layers)
    cells = checks.per_layer("cell", config.cell, len(units))
    widths = layer_widths(units, cell=cells)
    geometry: dict[str, Any] = {"connection": config.connection, "bidirectional": config.bidirectional}
    input_dim, params_below, rows = config.embedding or config.inputs, 0, []
    for level, (h, width, cell) in enumerate(zip(units, widths, cells, strict=True), start=1):
        params = count_params(input_dim, units[:level], cell=cells[:level], **geometry)
        has_steps = level < len(units) or config.each_step or config.connection == "skip"
        shape = format_shape(config, has_steps, width * (2 if config.bidirectional else 1))
        normalization = config.count_normalization_params(width)
        description = _layer_description(config, level, cell, h)
        rows.append(Row(f"H^({level})", shape, description, params - params_below + normalization))
        params_below = params
    return rows


def _layer_description(config: Configuration, level: int, cell: CellSpec, h: int) -> str:
    description = f"{cell_label(registered_cell(cell).name)}, {h} units"
    description += " per direction" if config.bidirectional else ""
    if level > 1 and config.dropout:
        description += f", dropout {config.dropout:g} on its input"
    description += ", batch normalization" if config.batch_normalization else ""
    description += ", residual, RMS normalization of its input" if config.normalization else ""
    if level > 1 and config.connection != "stack":
        description += {"residual": ", residual", "skip": ", also reads X"}[config.connection]
    return description


def head_rows(config: Configuration) -> list[Row]:
    """Return the rows of the projection, of the hidden layers of the head, and of O."""
    widths = layer_widths(config.units, config.num_layers, config.cell)
    width = output_width(widths, config.connection, config.bidirectional)
    rows = []
    if config.normalization:
        shape = format_shape(config, config.each_step, width)
        rows.append(Row("", shape, "RMS normalization", config.count_output_normalization_params()))
    if config.projection:
        shape = format_shape(config, config.each_step, config.projection)
        rows.append(Row("", shape, "projection without bias", width * config.projection))
        width = config.projection
    for lower, upper in pairwise((width, *config.head_units)):
        shape = format_shape(config, config.each_step, upper)
        rows.append(Row("", shape, "hidden layer of the head", (lower + 1) * upper))
        width = upper
    outputs, tied = config.outputs, config.tied
    description = f"{config.output_description()}{', transposed embedding' if tied else ''}"
    description += f", dropout {config.output_dropout:g} on its input" if config.output_dropout else ""
    params = outputs if tied else (width + 1) * outputs
    symbol = "O_t" if config.each_step else "O"
    return [*rows, Row(symbol, format_shape(config, config.each_step, outputs), description, params)]


def format_shape(config: Configuration, has_steps: bool, width: int) -> str:
    """Return a shape as text, for example '(n, T, 256)', with T as a number if it is known."""
    return f"(n, {getattr(config, 'length', None) or 'T'}, {width})" if has_steps else f"(n, {width})"


def cell_label(name: str) -> str:
    """Return the name of a cell for cards, for example 'LSTM' or 'DEEP TRANSITION RNN'."""
    return name.replace("_", " ").upper()
