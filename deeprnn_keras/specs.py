"""The recurrences that go by name: their equations, gates, and states.

Gates are always addressed by name; the order in which they are stored is that of the equations' maps.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any

from deeprnn_keras import checks
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.highway import RecurrentHighway
from deeprnn_keras.equations.mlp_gates import MLPGateGRU, MLPGateLSTM, MLPGateRNN
from deeprnn_keras.equations.standard import GRUEquations, LSTMEquations, SimpleRNNEquations
from deeprnn_keras.equations.transition import TransitionGRU, TransitionLSTM, TransitionRNN
from deeprnn_keras.registry import Registry


@dataclass(frozen=True)
class CellSpec:
    """What is known of a recurrence without building it.

    Attributes:
        name: The name in `DeepRNN(cell=...)`.
        equations: Callable (units, **options) -> `Equations`; None for a Keras cell that is known as a function only.
        make: Callable (units, **options) -> Keras cell, or "module:name" of one; None for "rnn", "gru", "lstm", which
            are layers of Keras.
    """

    name: str
    equations: Callable[..., Equations] | None = None
    make: Callable[..., Any] | str | None = None

    @cached_property
    def sample(self) -> Equations | None:
        """The equations for one unit."""
        return None if self.equations is None else self.equations(1)

    @property
    def gates(self) -> tuple[str, ...]:
        """The blocks of kernel, recurrent kernel, and bias of a Keras layer, in order; empty for other cells."""
        return self.sample.gates if self.make is None else ()

    @property
    def states(self) -> tuple[str, ...]:
        """The tensors carried from step to step, the output first."""
        return ("h",) if self.sample is None else self.sample.states

    @property
    def keep_gate(self) -> str | None:
        """The gate that, at 1, keeps the old state; None if there is none."""
        return None if self.sample is None else next(iter(self.sample.keep_gates), None)

    @property
    def write_gate(self) -> str | None:
        """The gate that lets the candidate in, where it is not 1 - keep_gate."""
        return None if self.sample is None else next(iter(self.sample.write_gates), None)

    def options(self) -> set[str]:
        """Return the names of the options in {"name": name, **options}."""
        if self.sample is None:
            return set()
        sizes = {field.name for field in fields(self.sample)} - {"units"}
        return sizes | set(self.sample.activations) | DROPOUTS

    def count_params(self, input_dim: int, units: int, **options: Any) -> int:
        """Return the number of weights of one layer.

        Raises:
            ValueError: For a cell without equations.
        """
        if self.equations is None:
            raise ValueError(f"cell {self.name!r} is known by its function alone; build the layer to count its weights")
        sizes = {field.name for field in fields(self.sample)}
        return self.equations(units, **{key: options[key] for key in options.keys() & sizes}).count_params(input_dim)

    def cell(self, units: int, **options: Any) -> Any:
        """Return the Keras cell of a recurrence that is not one of Keras' layers."""
        make = self.make
        if isinstance(make, str):
            module, _, name = make.partition(":")
            make = getattr(importlib.import_module(module), name)
        return make(units, **options)


CELLS = Registry("cell")
DROPOUTS = {"dropout", "recurrent_dropout", "seed"}  # of every cell with equations

for _name, _equations, _make in (
    # Keras' update gate z keeps: h' = z h + (1 - z) candidate
    ("rnn", SimpleRNNEquations, None),
    ("gru", GRUEquations, None),
    ("lstm", LSTMEquations, None),
    ("mlp_gate_rnn", MLPGateRNN, "deeprnn_keras.cells:MLPGateRNNCell"),
    ("mlp_gate_gru", MLPGateGRU, "deeprnn_keras.cells:MLPGateGRUCell"),
    ("mlp_gate_lstm", MLPGateLSTM, "deeprnn_keras.cells:MLPGateLSTMCell"),
    ("deep_transition_rnn", TransitionRNN, "deeprnn_keras.cells:deep_transition_rnn"),
    ("deep_transition_gru", TransitionGRU, "deeprnn_keras.cells:deep_transition_gru"),
    ("deep_transition_lstm", TransitionLSTM, "deeprnn_keras.cells:deep_transition_lstm"),
    ("rhn", RecurrentHighway, "deeprnn_keras.cells:RHNCell"),
):
    CELLS.add(_name, CellSpec(_name, _equations, _make))


def cell_spec(cell):
    """The `CellSpec` of a name, or of {"name": name, **options}; a ValueError suggests the nearest names.

    >>> from deeprnn_keras.specs import cell_spec
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
    if spec.equations is not None:
        for option in options:
            checks.one_of(f"option of cell {spec.name!r}", option, spec.options())
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
    >>> from deeprnn_keras import DeepRNN, register_cell
    >>> from deeprnn_keras.cells import RHNCell
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
    return CellSpec(name, partial(equations, **{key: options[key] for key in options.keys() & sizes}), make)
