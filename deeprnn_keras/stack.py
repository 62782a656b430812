"""The geometry of a deep RNN, worked out from its arguments alone: nothing is built, Keras is not imported."""

from deeprnn_keras import checks
from deeprnn_keras.specs import parse_cell

CONNECTIONS = ("stack", "residual", "skip")


def layer_units(units, num_layers=None):
    """[h_1, ..., h_L] from `units` (h, or one per layer) and `num_layers` (L); a ValueError if they disagree.

    >>> from deeprnn_keras.stack import layer_units
    >>> layer_units(8, num_layers=3)
    [8, 8, 8]
    """
    if num_layers is not None:
        num_layers = checks.positive_int("num_layers", num_layers)
    if isinstance(units, (list, tuple)):
        if not units:
            raise ValueError("units must be a number or a list with one entry per layer, got an empty list")
        return [checks.positive_int("units", h) for h in checks.per_layer("units", units, num_layers or len(units))]
    return [checks.positive_int("units", units)] * (num_layers or 1)


def check_connection(connection, units):
    """`connection`, if these widths allow it."""
    checks.one_of("connection", connection, CONNECTIONS)
    if connection == "residual" and len(set(units)) > 1:
        raise ValueError(
            f"connection='residual' adds the output of a layer to that of the layer below, so all units must be "
            f"equal, got {units}; use equal units, or connection='skip', which concatenates"
        )
    return connection


def check_block_size(block_size, connection, num_layers):
    """`block_size`, if residual blocks of so many layers fill the stack."""
    block_size = checks.positive_int("block_size", block_size)
    if block_size > 1 and connection != "residual":
        raise ValueError(f"block_size={block_size} needs connection='residual', got connection={connection!r}")
    if num_layers % block_size:
        raise ValueError(f"block_size must divide num_layers = {num_layers}, got {block_size}")
    return block_size


def layer_input_dims(units, input_dim, connection="stack", bidirectional=False):
    """Return the number of features that each layer reads, from the lowest layer up."""
    widths = [h * (2 if bidirectional else 1) for h in units]
    shortcut = input_dim if connection == "skip" else 0
    return [input_dim, *(width + shortcut for width in widths[:-1])]


def output_width(units, connection="stack", bidirectional=False):
    """Return the number of features of the output of layers of these `units`, a list.

    >>> from deeprnn_keras.stack import output_width
    >>> output_width([8, 4], connection="skip", bidirectional=True)
    24
    """
    top = sum(units) if connection == "skip" else units[-1]
    return top * (2 if bidirectional else 1)


def count_params(
    input_dim,
    units,
    num_layers=None,
    cell="lstm",
    connection="stack",
    bidirectional=False,
    *,
    use_bias=True,
    reset_after=True,
):
    """Return the number of weights of `DeepRNN(units, num_layers, cell, ...)` without building it.

    Equal to `layer.count_params()` for every named cell.

    Args:
        input_dim: d, features per step.
        units, num_layers, cell, connection, bidirectional, use_bias, reset_after: As in `DeepRNN`.

    Raises:
        ValueError: For what `DeepRNN` refuses too, and for a cell without a name (build the layer to count it).

    >>> from deeprnn_keras import count_params
    >>> count_params(input_dim=200, units=200, num_layers=2)      # Zaremba's small LSTM without embedding and softmax
    641600
    """
    checks.positive_int("input_dim", input_dim)
    units = layer_units(units, num_layers)
    check_connection(connection, units)
    cells = [parse_cell(one) for one in checks.per_layer("cell", cell, len(units))]
    switches = {"use_bias": use_bias, "reset_after": reset_after}
    reads = layer_input_dims(units, input_dim, connection, bidirectional)
    per_direction = sum(
        spec.count_params(d, h, **switches | options) for (spec, options), d, h in zip(cells, reads, units, strict=True)
    )
    return per_direction * (2 if bidirectional else 1)
