"""The stack of a model as a picture in text, with shapes and weights; nothing is built."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from deeprnn_keras import checks, count_params
from deeprnn_keras.specs import registered_cell
from deeprnn_keras.stack import layer_units, output_width

if TYPE_CHECKING:
    from deeprnn_keras.zoo.configuration import Configuration

    Row = tuple[str, str, str, int]  # symbol, shape, description, weights


def diagram(config: Configuration) -> str:
    """Return lines from the output at the top down to the input.

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
    rows = [*input_rows(config), *recurrent_rows(config), *head_rows(config)][::-1]
    symbols, shapes, words = (max(len(row[column]) for row in rows) for column in range(3))
    lines = []
    for symbol, shape, what, weights in rows:
        count = f"{weights:,}" if weights else ""
        lines.append(f"{symbol:{symbols}}  {shape:{shapes}}  {what:{max(words, 30)}}{count:>12}".rstrip())
    return "\n^\n".join(lines)


def input_rows(config: Configuration) -> list[Row]:
    """Return the row of X: an embedding, one-hot vectors, or features."""
    shape = shape_of(config, True, config.embedding or config.inputs)
    if config.embedding:
        return [("X_t", shape, f"embedding of {config.input_description()}", config.inputs * config.embedding)]
    words = f"one-hot vectors of {config.input_description()}" if config.one_hot else config.input_description()
    return [("X_t", shape, words, 0)]


def recurrent_rows(config: Configuration) -> list[Row]:
    """Return the rows of H^(1), ..., H^(L); weights are the difference that each layer makes."""
    units = layer_units(config.units, config.num_layers)
    cells = checks.per_layer("cell", config.cell, len(units))
    shape = {"connection": config.connection, "bidirectional": config.bidirectional}
    inputs, below, rows = config.embedding or config.inputs, 0, []
    for level, (h, cell) in enumerate(zip(units, cells, strict=True), start=1):
        weights = count_params(inputs, units[:level], cell=cells[:level], **shape)
        steps = level < len(units) or config.each_step or config.connection == "skip"
        width = h * (2 if config.bidirectional else 1)
        rows.append(
            (f"H^({level})", shape_of(config, steps, width), _layer_words(config, level, cell, h), weights - below)
        )
        below = weights
    return rows


def _layer_words(config: Configuration, level: int, cell: Any, h: int) -> str:
    words = f"{registered_cell(cell).name.upper()}, {h} units"
    words += " each way" if config.bidirectional else ""
    if level > 1 and config.dropout:
        words += f", dropout {config.dropout:g} below"
    if level > 1 and config.connection != "stack":
        words += {"residual": ", + H below", "skip": ", reads X too"}[config.connection]
    return words


def head_rows(config: Configuration) -> list[Row]:
    """Return the rows of hidden layers of the head and of O."""
    units = layer_units(config.units, config.num_layers)
    below = output_width(units, config.connection, config.bidirectional)
    rows = []
    if config.projection:
        shape = shape_of(config, config.each_step, config.projection)
        rows.append(("", shape, "projection without bias", below * config.projection))
        below = config.projection
    for width, above in pairwise((below, *config.head_units)):
        rows.append(("", shape_of(config, config.each_step, above), "hidden layer of the head", (width + 1) * above))
        below = above
    outputs, tied = config.outputs, config.tied
    words = f"{config.output_description()}{', the embedding read backwards' if tied else ''}"
    words += f", dropout {config.output_dropout:g} below" if config.output_dropout else ""
    weights = outputs if tied else (below + 1) * outputs
    symbol = "O_t" if config.each_step else "O"
    return [*rows, (symbol, shape_of(config, config.each_step, outputs), words, weights)]


def shape_of(config: Configuration, steps: bool, width: int) -> str:
    """Return a shape such as '(n, T, 256)', with T as a number where it is known."""
    return f"(n, {getattr(config, 'length', None) or 'T'}, {width})" if steps else f"(n, {width})"
