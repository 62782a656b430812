"""Widths and parameter counts of a deep RNN, computed from its arguments without building it or importing Keras."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from deeprnn_keras import checks, limits
from deeprnn_keras._types import CellSpec
from deeprnn_keras.specs import parse_cell

CONNECTIONS = ("stack", "residual", "skip")


def layer_units(units: int | Sequence[int], num_layers: int | None = None) -> list[int]:
    """Return the widths [h_1, ..., h_L] of the layers.

    Args:
        units: h, or one value per layer.
        num_layers: L; None for the number of values in `units`.

    Raises:
        ValueError: If a value is not a positive integer, if `units` does not have `num_layers` values, or if the number
            of layers exceeds the memory limit.

    >>> from deeprnn_keras.stack import layer_units
    >>> layer_units(8, num_layers=3)
    [8, 8, 8]
    """
    num_layers = checks.positive_int_or_none("num_layers", num_layers)
    if isinstance(units, (list, tuple)) and not units:
        raise ValueError("units must be a positive integer or a list of them, one per layer, got an empty list")
    limits.check_num_layers(num_layers or (len(units) if isinstance(units, (list, tuple)) else 1))
    if isinstance(units, (list, tuple)):
        return [checks.positive_int("units", h) for h in checks.per_layer("units", units, num_layers or len(units))]
    return [checks.positive_int("units", units)] * (num_layers or 1)


def layer_widths(
    units: int | Sequence[int], num_layers: int | None = None, cell: CellSpec | Sequence[CellSpec] = "lstm"
) -> list[int]:
    """Return the numbers of output features of the layers per direction, which are h_1, ..., h_L for most cells.

    Args:
        units: As in `layer_units`.
        num_layers: As in `layer_units`.
        cell: As in `DeepRNN`. The output of a callable is assumed to have h features.

    Raises:
        ValueError: As `layer_units`, or if a cell is not supported.

    >>> from deeprnn_keras.stack import layer_widths
    >>> layer_widths([8, 6], cell=[{"name": "projected_lstm", "projection": 3}, "gru"])
    [3, 6]
    """
    units = layer_units(units, num_layers)
    return [_layer_width(one, h) for one, h in zip(checks.per_layer("cell", cell, len(units)), units, strict=True)]


def _layer_width(cell: CellSpec, units: int) -> int:
    if callable(cell):
        return units
    spec, options = parse_cell(cell)
    return spec.output_width(units, **options)


def check_connection(connection: str, widths: Sequence[int]) -> str:
    """Return `connection` if it is supported for layers whose outputs have these widths.

    Raises:
        ValueError: If the name is unknown, or residual layers do not have equal widths.
    """
    checks.one_of("connection", connection, CONNECTIONS)
    if connection == "residual" and len(set(widths)) > 1:
        raise ValueError(
            f"connection='residual' adds the output of a layer to that of the layer below, so their widths must be "
            f"equal, got {widths}; use equal units, or connection='skip', which concatenates the outputs"
        )
    return connection


def check_block_size(block_size: int, connection: str, num_layers: int) -> int:
    """Return `block_size` if the stack can be divided into residual blocks of this many layers.

    Raises:
        ValueError: If `block_size` does not divide `num_layers`, or is above 1 without residual connections.
    """
    block_size = checks.positive_int("block_size", block_size)
    if block_size > 1 and connection != "residual":
        raise ValueError(f"block_size={block_size} requires connection='residual', got connection={connection!r}")
    if num_layers % block_size:
        raise ValueError(f"block_size must divide num_layers = {num_layers}, got {block_size}")
    return block_size


def layer_input_dims(
    widths: Sequence[int], input_dim: int, connection: str = "stack", bidirectional: bool = False
) -> list[int]:
    """Return the number of input features of each layer, starting with the lowest layer.

    Args:
        widths: Widths of the outputs of the layers, from `layer_widths`.
        input_dim: d.
        connection: As in `DeepRNN`.
        bidirectional: As in `DeepRNN`.
    """
    outputs = [width * (2 if bidirectional else 1) for width in widths]
    shortcut = input_dim if connection == "skip" else 0
    return [input_dim, *(width + shortcut for width in outputs[:-1])]


def output_width(widths: Sequence[int], connection: str = "stack", bidirectional: bool = False) -> int:
    """Return the number of output features of a stack whose layers have outputs of these widths.

    >>> from deeprnn_keras.stack import output_width
    >>> output_width([8, 4], connection="skip", bidirectional=True)
    24
    """
    width = sum(widths) if connection == "skip" else widths[-1]
    return width * (2 if bidirectional else 1)


def count_params(
    input_dim: int,
    units: int | Sequence[int],
    num_layers: int | None = None,
    cell: CellSpec | Sequence[CellSpec] = "lstm",
    connection: str = "stack",
    bidirectional: bool = False,
    *,
    use_bias: bool = True,
    reset_after: bool = True,
) -> int:
    """Return the number of parameters of `DeepRNN(units, num_layers, cell, ...)` without building it.

    The result equals `layer.count_params()` for every named cell with equations.

    Args:
        input_dim: d, features per step.
        units: As in `DeepRNN`.
        num_layers: As in `DeepRNN`.
        cell: As in `DeepRNN`; callables are not supported.
        connection: As in `DeepRNN`.
        bidirectional: As in `DeepRNN`.
        use_bias: As in `DeepRNN`.
        reset_after: As in `DeepRNN`.

    Raises:
        ValueError: If `DeepRNN` does not support the arguments, or a cell has no name or no equations. Build the layer
            to count the parameters of such a cell.

    >>> from deeprnn_keras import count_params
    >>> count_params(input_dim=200, units=200, num_layers=2)      # Zaremba's small LSTM without embedding and softmax
    641600
    """
    input_dim = checks.positive_int("input_dim", input_dim)
    bidirectional, use_bias, reset_after = checks.flags(
        bidirectional=bidirectional, use_bias=use_bias, reset_after=reset_after
    )
    units = layer_units(units, num_layers)
    cells = [parse_cell(one) for one in checks.per_layer("cell", cell, len(units))]
    widths = [spec.output_width(h, **options) for (spec, options), h in zip(cells, units, strict=True)]
    check_connection(connection, widths)
    switches = {name: False for name, value in (("use_bias", use_bias), ("reset_after", reset_after)) if not value}
    input_dims = layer_input_dims(widths, input_dim, connection, bidirectional)
    per_direction = sum(
        spec.count_params(d, h, **switches | options)
        for (spec, options), d, h in zip(cells, input_dims, units, strict=True)
    )
    return per_direction * (2 if bidirectional else 1)


def count_known_params(input_dim: int, units: Sequence[int], cell: Sequence[CellSpec], **options: Any) -> int:
    """Return `count_params` of a stack, or 0 if a cell has no equations, so that their number is unknown.

    Args:
        input_dim: As in `count_params`.
        units: Number of units of each layer.
        cell: Cell of each layer.
        **options: Other arguments of `count_params`.
    """
    if any(callable(one) or parse_cell(one)[0].equations is None for one in cell):
        return 0
    return count_params(input_dim, units, cell=cell, **options)


def count_head_params(
    inputs: int,
    outputs: int,
    width: int,
    *,
    embedding: int | None = None,
    projection: int | None = None,
    tied: bool = False,
    head_units: Sequence[int] = (),
) -> int:
    """Return the number of parameters of a model outside its recurrent layers: embedding, projection, and head.

    Args:
        inputs: Number of features d or, with an embedding, of ids.
        outputs: Number of outputs, q.
        width: Number of output features of the recurrent layers.
        embedding: Width of the embedding, or None.
        projection: Width of the projection between the recurrent layers and the head, or None.
        tied: If True, the head has a bias only.
        head_units: Widths of the hidden layers of the head.
    """
    below_head = inputs * (embedding or 0) + width * (projection or 0)
    if tied:
        return below_head + outputs
    widths = (projection or width, *head_units, outputs)
    return below_head + sum((lower + 1) * upper for lower, upper in pairwise(widths))
