"""One recurrent layer of a stack: a whole Keras layer, so that it keeps its fast kernel."""

import keras

from deeprnn_keras.initializers import ForgetBias, PerGate, ScaledIdentity
from deeprnn_keras.initializers.seeding import draw, reseeded
from deeprnn_keras.layers.drop_ins import GRU, LSTM, SimpleRNN
from deeprnn_keras.layers.rnn import RNN
from deeprnn_keras.specs import named

LAYERS = {"rnn": SimpleRNN, "gru": GRU, "lstm": LSTM}
CELL_MEMBERS = ("call", "state_size")


def refuse_what_custom_cells_ignore(stack):
    """A ValueError for arguments of a `DeepRNN` that its cells made by a callable would not see."""
    for level, (cell, activation) in enumerate(zip(stack.cells, stack.activations, strict=True), start=1):
        if callable(cell) and activation is not None:
            raise ValueError(
                f"activation: layer {level} uses the cell made by {cell!r}, which brings its own activation; "
                "give None for this layer"
            )
    if all(callable(cell) for cell in stack.cells):
        for name in ("kernel_initializer", "recurrent_initializer", "bias_initializer"):
            if getattr(stack, name) is not None:
                raise ValueError(f"{name} has no effect on cells made by a callable; set it in the callable")


def default_initializers(cell, activation):
    """{role: initializer} for a named cell; the reasons stand in `DeepRNN`'s docstring."""
    relu_rnn = cell == "rnn" and activation is keras.activations.relu
    return {
        "kernel": PerGate("glorot_uniform"),
        "recurrent": ScaledIdentity() if relu_rnn else PerGate("orthogonal"),
        "bias": ForgetBias(1.0) if cell == "lstm" else keras.initializers.Zeros(),
    }


class _Float32Draw(keras.initializers.Initializer):
    """Draws in float32 whatever the layer's dtype: Keras' orthogonal initializer fails in half precision."""

    def __init__(self, initializer):
        self.initializer = initializer

    def __call__(self, shape, dtype=None):
        return draw(self.initializer, shape, dtype)


def _initializers(cell, activation, given, place):
    chosen = default_initializers(cell, activation) | {role: init for role, init in given.items() if init is not None}
    ready = {}
    for role, initializer in chosen.items():
        if hasattr(initializer, "for_cell"):
            initializer = initializer.for_cell(cell)
        ready[f"{role}_initializer"] = _Float32Draw(reseeded(initializer, place))
    return ready


def named_layer(cell, units, activation, initializers, place, **kwargs):
    """A recurrent layer for the named cell.

    Args:
        cell: a name, or {"name": name, **options}.
        activation: a function, or None for the cell's own.
        initializers: {role: initializer or None for the default}.
        place: number of the layer in the stack: layers that share an initializer object draw different numbers.
        kwargs: arguments of `keras.layers.RNN`, and `implementation`.
    """
    spec, options = named(cell)
    if spec.make is not None:
        return _written_layer(spec, options, units, activation, initializers, place, **kwargs)
    kwargs |= _initializers(spec.name, activation, initializers, place)
    if activation is not None:
        kwargs["activation"] = activation
    if spec.name == "lstm":
        kwargs["unit_forget_bias"] = False  # the bias initializer says it all
    return LAYERS[spec.name](units, **kwargs)


def _written_layer(spec, options, units, activation, initializers, place, **kwargs):
    """A layer around a cell that is not one of Keras'."""
    given = {f"{role}_initializer": reseeded(init, place) for role, init in initializers.items() if init is not None}
    if activation is not None:
        given["activation"] = activation
    cell = checked_cell(lambda h: spec.cell(h, dtype=kwargs.get("dtype"), **options, **given), units)
    cell.name = f"{spec.name}_cell"  # not a number that counts on: weights have the same path in every model
    return RNN(cell, **kwargs)


def custom_layer(make_cell, units, **kwargs):
    """A recurrent layer for `make_cell(units)`, a Keras cell."""
    return RNN(checked_cell(make_cell, units), **kwargs)


def checked_cell(make_cell, units):
    """`make_cell(units)`, if it is a Keras cell that a stack can hold."""
    cell = make_cell(units)
    missing = [member for member in CELL_MEMBERS if not hasattr(cell, member)]
    if missing:
        raise ValueError(
            f"cell must be a name or a callable(units) that returns a Keras cell, but {make_cell!r} returned "
            f"{type(cell).__name__} without {' and '.join(missing)}"
        )
    sizes = cell.state_size if isinstance(cell.state_size, (list, tuple)) else [cell.state_size]
    if not all(isinstance(size, int) for size in sizes):
        raise ValueError(
            f"cell: state_size must be a number or a flat list of numbers, but {make_cell!r} returned a cell with "
            f"{cell.state_size!r}; stack cells by num_layers instead of StackedRNNCells"
        )
    output = getattr(cell, "output_size", None) or sizes[0]
    if output != units:
        raise ValueError(f"cell: {make_cell!r} was called with units = {units} and returned a cell of output {output}")
    return cell
