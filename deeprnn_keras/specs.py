"""The recurrences that go by name: which gates and states each has, in which order, and how many weights.

Gates are always addressed by name; the order in which Keras concatenates them is written down only here.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

from deeprnn_keras import checks
from deeprnn_keras.equations.highway import RecurrentHighway
from deeprnn_keras.equations.mlp_gates import MLPGateGRU, MLPGateLSTM, MLPGateRNN
from deeprnn_keras.equations.transition import TransitionGRU, TransitionLSTM, TransitionRNN
from deeprnn_keras.registry import Registry


@dataclass(frozen=True)
class CellSpec:
    """What is known of a recurrence without building it.

    Attributes:
        name: the name in `DeepRNN(cell=...)`.
        gates: the blocks of kernel, recurrent kernel and bias, in Keras' order; empty where `make` knows them.
        states: the tensors carried from step to step, the output first.
        bias_vectors: bias vectors per gate (2: input and recurrent projection have their own).
        keep_gate: the gate that, at 1, keeps the old state; None if there is none.
        write_gate: the gate that lets the candidate in, where it is not 1 - keep_gate.
        equations: called with units and options it gives the `Equations`; None for the three of Keras.
        make: called with units and options it gives the Keras cell; or "module:name" of such a function.
    """

    name: str
    gates: tuple[str, ...] = ()
    states: tuple[str, ...] = ("h",)
    bias_vectors: int = 1
    keep_gate: str | None = None
    write_gate: str | None = None
    equations: Callable | None = None
    make: Callable | str | None = None

    def count_params(self, inputs, units, **options):
        """Weights of one layer: gates x (inputs x units + units^2 + bias_vectors x units), or what the equations say.

        Raises:
            ValueError: for a cell that is neither one of Keras' nor written as equations.
        """
        if self.equations is not None:
            sizes = {field.name for field in fields(self.equations(1))}
            sizes = {name: value for name, value in options.items() if name in sizes}
            return self.equations(units, **sizes).count_params(inputs)
        if not self.gates:
            raise ValueError(f"cell {self.name!r} is known by its function alone; build the layer to count its weights")
        return len(self.gates) * units * (inputs + units + self.bias_vectors)

    def cell(self, units, **options):
        """The Keras cell, of a recurrence that is not one of Keras'."""
        make = self.make
        if isinstance(make, str):
            module, _, name = make.partition(":")
            make = getattr(importlib.import_module(module), name)
        return make(units, **options)


CELLS = Registry("cell")
DROPOUTS = {"dropout", "recurrent_dropout"}  # of every cell that is written as equations


def _add(*specs):
    for spec in specs:
        CELLS.add(spec.name, spec)


def _written(name, equations, make):
    """The spec of a recurrence that is written as equations."""
    sample = equations(1)
    keep = next(iter(sample.keep_gates), None)
    return CellSpec(name, states=sample.states, keep_gate=keep, equations=equations, make=make)


_add(
    CellSpec("rnn", gates=("candidate",)),
    # Keras' update gate z keeps: h' = z h + (1 - z) candidate. `reset_after=True` has two bias vectors.
    CellSpec("gru", gates=("update", "reset", "candidate"), bias_vectors=2, keep_gate="update"),
    CellSpec(
        "lstm",
        gates=("input", "forget", "candidate", "output"),
        states=("h", "c"),
        keep_gate="forget",
        write_gate="input",
    ),
    _written("mlp_gate_rnn", MLPGateRNN, "deeprnn_keras.cells:MLPGateRNNCell"),
    _written("mlp_gate_gru", MLPGateGRU, "deeprnn_keras.cells:MLPGateGRUCell"),
    _written("mlp_gate_lstm", MLPGateLSTM, "deeprnn_keras.cells:MLPGateLSTMCell"),
    _written("deep_transition_rnn", TransitionRNN, "deeprnn_keras.cells:deep_transition_rnn"),
    _written("deep_transition_gru", TransitionGRU, "deeprnn_keras.cells:deep_transition_gru"),
    _written("deep_transition_lstm", TransitionLSTM, "deeprnn_keras.cells:deep_transition_lstm"),
    _written("rhn", RecurrentHighway, "deeprnn_keras.cells:RHNCell"),
)


def cell_spec(cell):
    """The `CellSpec` of a name, or of {"name": name, **options}; a ValueError suggests the nearest names.

    >>> from deeprnn_keras import cell_spec
    >>> cell_spec("lstm").gates
    ('input', 'forget', 'candidate', 'output')
    """
    return named(cell)[0]


def named(cell):
    """A name, or {"name": name, **options}, as (`CellSpec`, options).

    Raises:
        ValueError: for an unknown name, or options of a cell that has none.
    """
    options = dict(cell) if isinstance(cell, dict) else {"name": cell}
    if "name" not in options:
        raise ValueError(f'cell must be a name or {{"name": name, **options}}, got {cell!r}')
    spec = CELLS[options.pop("name")]
    if options and spec.make is None:
        raise ValueError(f"cell {spec.name!r} has no options, got {options}")
    if options and spec.equations is not None:
        known = {field.name for field in fields(spec.equations(1))} | set(spec.equations(1).activations)
        for option in options:
            checks.one_of(f"option of cell {spec.name!r}", option, (known - {"units"}) | DROPOUTS)
    return spec, options


def register_cell(name, make=None):
    """Makes a cell of one's own known as `DeepRNN(cell=name)`, and countable by `count_params`.

    Args:
        name: a new one.
        make: a subclass of `RecurrentCell`, or any callable(units, **options) -> Keras cell. None: to be used as a
            decorator.

    Returns `make`. A model that is loaded needs the registration before, as any class of one's own does.

    Raises:
        ValueError: if the name is taken, or `make` cannot be called.

    >>> from functools import partial
    >>> from deeprnn_keras import DeepRNN, RHNCell, register_cell
    >>> register_cell("rhn_of_depth_7", partial(RHNCell, depth=7)).keywords
    {'depth': 7}
    >>> DeepRNN(8, num_layers=2, cell="rhn_of_depth_7").cells
    ['rhn_of_depth_7', 'rhn_of_depth_7']
    """
    if make is None:
        return partial(register_cell, name)
    if not callable(make):
        raise ValueError(f"make must be a callable(units, **options) that gives a Keras cell, got {make!r}")
    CELLS.add(name, _spec_of(name, make))
    return make


def _spec_of(name, make):
    function, options = (make.func, make.keywords) if isinstance(make, partial) else (make, {})
    equations = getattr(function, "equations_class", None)
    if equations is None:
        return CellSpec(name, make=make)
    sizes = {field.name for field in fields(equations)}
    return _written(name, partial(equations, **{key: options[key] for key in options.keys() & sizes}), make)
