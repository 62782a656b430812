"""Registry of recurrent cells by name, with their equations, gates, and states.

Gates are always addressed by name; the maps of the equations define their storage order.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any, TypeVar, overload

from deeprnn_keras import checks
from deeprnn_keras._types import Cell, CellSpec
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.coupled import CoupledLSTM
from deeprnn_keras.equations.fast_gated import FastGRNN
from deeprnn_keras.equations.gated_linear import GatedLinearUnit
from deeprnn_keras.equations.highway import RecurrentHighway
from deeprnn_keras.equations.independent import IndependentRNN
from deeprnn_keras.equations.layer_norm import LayerNormGRU, LayerNormLSTM
from deeprnn_keras.equations.linear_recurrent import LinearRecurrentUnit
from deeprnn_keras.equations.minimal_gated import MinimalGatedUnit
from deeprnn_keras.equations.minimal_parallel import MinimalGRU, MinimalLSTM
from deeprnn_keras.equations.mlp_gates import MLPGateGRU, MLPGateLSTM, MLPGateRNN
from deeprnn_keras.equations.multiplicative import MultiplicativeLSTM
from deeprnn_keras.equations.peephole import PeepholeLSTM
from deeprnn_keras.equations.projected import ProjectedLSTM
from deeprnn_keras.equations.quasi_recurrent import QuasiRecurrent
from deeprnn_keras.equations.simple_recurrent_unit import SimpleRecurrentUnit
from deeprnn_keras.equations.standard import GRUEquations, LSTMEquations, SimpleRNNEquations, StandardEquations
from deeprnn_keras.equations.trace import untraceable_reason
from deeprnn_keras.equations.transition import TransitionGRU, TransitionLSTM, TransitionRNN
from deeprnn_keras.equations.update_gate import UpdateGateRNN
from deeprnn_keras.registry import Registry

Constructor = TypeVar("Constructor", bound=Callable[..., Any])

TRACED_UNITS = 4
"""Size with which the equations of a cell are checked when it is registered."""

DROPOUT_OPTIONS = {"dropout", "recurrent_dropout", "seed"}
"""Options that every cell with equations accepts."""


@dataclass(frozen=True)
class RegisteredCell:
    """Registered cell: its equations, which define gates, states, and weight counts, and its constructor.

    Attributes:
        name: Name in `DeepRNN(cell=...)`.
        equations: Callable (units, **options) -> `Equations`; None for a Keras cell without equations.
        constructor: Callable (units, **options) -> Keras cell, or "module:name" of one; None for "rnn", "gru", and
            "lstm", for which Keras layers are built.
    """

    name: str
    equations: Callable[..., Equations] | None = None
    constructor: Callable[..., Cell] | str | None = None

    @cached_property
    def example_equations(self) -> Equations | None:
        """Equations with one unit, from which gates and states are read; None for a cell without equations."""
        return None if self.equations is None else self.equations(1)

    @property
    def gates(self) -> tuple[str, ...]:
        """Blocks of the kernel, recurrent kernel, and bias of a Keras layer, in order; empty for other cells."""
        equations = self.example_equations
        return equations.gates if self.constructor is None and isinstance(equations, StandardEquations) else ()

    @property
    def states(self) -> tuple[str, ...]:
        """Tensors carried from step to step, the output first."""
        return ("h",) if self.example_equations is None else tuple(self.example_equations.state_widths())

    @property
    def keep_gate(self) -> str | None:
        """Gate that keeps the previous state where it is 1; None if the cell has none."""
        return None if self.example_equations is None else next(iter(self.example_equations.keep_gates), None)

    @property
    def write_gate(self) -> str | None:
        """Gate that multiplies the candidate; None if its factor is 1 - keep_gate."""
        return None if self.example_equations is None else next(iter(self.example_equations.write_gates), None)

    def options(self) -> set[str]:
        """Return the names of the options in {"name": name, **options}."""
        if self.example_equations is None:
            return set()
        sizes = {field.name for field in fields(self.example_equations)} - {"units"}
        return sizes | set(self.example_equations.activations) | DROPOUT_OPTIONS

    def count_params(self, input_dim: int, units: int, **options: Any) -> int:
        """Return the number of parameters of one layer.

        Args:
            input_dim: d.
            units: h.
            **options: Options of the cell. Options that are not fields of its equations are ignored.

        Raises:
            ValueError: For a cell without equations.
        """
        if self.equations is None:
            raise ValueError(
                f"cell {self.name!r} has no equations, so its weights are not known before it is built; "
                "build the layer and call its count_params()"
            )
        return self._equations_with(units, options).count_params(input_dim)

    def output_width(self, units: int, **options: Any) -> int:
        """Return the number of features of the output of one layer; h for a cell without equations.

        Args:
            units: h.
            **options: As in `count_params`.
        """
        return units if self.equations is None else self._equations_with(units, options).output_width

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise a ValueError if an option of a cell with equations is out of range for every number of units."""
        self._equations_with(checks.MAX_INT, options)  # an option may have to be at most the number of units
        for name in ("dropout", "recurrent_dropout"):
            checks.rate(name, options.get(name, 0.0))
        checks.seed("seed", options.get("seed"))

    def _equations_with(self, units: int, options: Mapping[str, Any]) -> Equations:
        """Return the equations with those of the options that are their fields."""
        assert self.equations is not None, "called for cells with equations only"
        sizes = _field_names(self.equations(1))
        return self.equations(units, **{key: options[key] for key in options.keys() & sizes})

    def cell(self, units: int, **options: Any) -> Cell:
        """Return a new Keras cell.

        Args:
            units: h.
            **options: Options of the cell.

        Raises:
            ValueError: For "rnn", "gru", and "lstm", which are built as Keras layers.
        """
        constructor = self.constructor
        if constructor is None:
            raise ValueError(f"cell {self.name!r} is built as a Keras layer and has no cell constructor")
        if isinstance(constructor, str):
            module, _, name = constructor.partition(":")
            constructor = getattr(importlib.import_module(module), name)
        return constructor(units, **options)


def _field_names(equations: Equations | type[Equations]) -> set[str]:
    return {field.name for field in fields(equations)}


CELLS: Registry[RegisteredCell] = Registry("cell")
"""Registry of the cells by name."""

for _name, _equations, _constructor in (
    # Keras' update gate z multiplies the old state: h' = z h + (1 - z) candidate
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
    ("mgu", MinimalGatedUnit, "deeprnn_keras.cells:MGUCell"),
    ("ugrnn", UpdateGateRNN, "deeprnn_keras.cells:UGRNNCell"),
    ("coupled_lstm", CoupledLSTM, "deeprnn_keras.cells:CoupledLSTMCell"),
    ("peephole_lstm", PeepholeLSTM, "deeprnn_keras.cells:PeepholeLSTMCell"),
    ("projected_lstm", ProjectedLSTM, "deeprnn_keras.cells:ProjectedLSTMCell"),
    ("multiplicative_lstm", MultiplicativeLSTM, "deeprnn_keras.cells:MultiplicativeLSTMCell"),
    ("layer_norm_lstm", LayerNormLSTM, "deeprnn_keras.cells:LayerNormLSTMCell"),
    ("layer_norm_gru", LayerNormGRU, "deeprnn_keras.cells:LayerNormGRUCell"),
    ("indrnn", IndependentRNN, "deeprnn_keras.cells:IndRNNCell"),
    ("fast_grnn", FastGRNN, "deeprnn_keras.cells:FastGRNNCell"),
    ("min_gru", MinimalGRU, "deeprnn_keras.cells:MinGRUCell"),
    ("min_lstm", MinimalLSTM, "deeprnn_keras.cells:MinLSTMCell"),
    ("qrnn", QuasiRecurrent, "deeprnn_keras.cells:QRNNCell"),
    ("sru", SimpleRecurrentUnit, "deeprnn_keras.cells:SRUCell"),
    ("lru", LinearRecurrentUnit, "deeprnn_keras.cells:LRUCell"),
    ("rg_lru", GatedLinearUnit, "deeprnn_keras.cells:RGLRUCell"),
):
    CELLS.add(_name, RegisteredCell(_name, _equations, _constructor))


def registered_cell(cell: CellSpec) -> RegisteredCell:
    """Return the registered cell of a name or of {"name": name, **options}.

    Raises:
        ValueError: If no cell has this name; the message suggests similar names.

    >>> from deeprnn_keras.specs import registered_cell
    >>> registered_cell("lstm").gates
    ('input', 'forget', 'candidate', 'output')
    """
    return parse_cell(cell)[0]


def parse_cell(cell: CellSpec) -> tuple[RegisteredCell, dict[str, Any]]:
    """Return the registered cell and the options of a name or of {"name": name, **options}.

    Raises:
        ValueError: If the name is unknown, the cell does not have one of the options, or an option is out of range.
    """
    options: dict[str, Any] = checks.to_python(dict(cell)) if isinstance(cell, dict) else {"name": cell}
    if "name" not in options:
        raise ValueError(f'cell must be a name or {{"name": name, **options}}, got {cell!r}')
    spec = CELLS[options.pop("name")]
    if spec.equations is not None:
        for option in options:
            checks.one_of(f"option of cell {spec.name!r}", option, spec.options())
        spec.check_options(options)
    return spec, options


@overload
def register_cell(name: str, constructor: None = None) -> Callable[[Constructor], Constructor]: ...


@overload
def register_cell(name: str, constructor: Constructor) -> Constructor: ...


def register_cell(
    name: str, constructor: Constructor | None = None
) -> Constructor | Callable[[Constructor], Constructor]:
    """Register a user-defined cell as `DeepRNN(cell=name)`, and for `count_params` if it has equations.

    A saved model can be loaded only after its cells have been registered, as with any user-defined class.

    Args:
        name: Name of the cell; must not be registered yet.
        constructor: A subclass of `RecurrentCell`, or any callable(units, **options) that returns a Keras cell. If
            None, `register_cell(name)` is a decorator.

    Returns:
        `constructor`, or the decorator.

    Raises:
        ValueError: If the name is taken, `constructor` is not callable, or the equations use an operation that is not
            one of the primitives of `deeprnn_keras.equations.trace`; the message names it.

    >>> from functools import partial
    >>> from deeprnn_keras import DeepRNN, register_cell
    >>> from deeprnn_keras.cells import RHNCell
    >>> register_cell("rhn_of_depth_7", partial(RHNCell, depth=7)).keywords
    {'depth': 7}
    >>> DeepRNN(8, num_layers=2, cell="rhn_of_depth_7").cells
    ['rhn_of_depth_7', 'rhn_of_depth_7']
    """
    if constructor is None:
        return partial(register_cell, name)
    if not callable(constructor):
        raise ValueError(
            f"constructor must be a callable(units, **options) that returns a Keras cell, got {constructor!r}"
        )
    CELLS.add(name, _described(name, constructor))
    return constructor


def _described(name: str, constructor: Callable[..., Cell]) -> RegisteredCell:
    """Return the registry entry of a constructor, with the equations of a `RecurrentCell` or of a `partial` of one."""
    is_partial = isinstance(constructor, partial)
    function, options = (constructor.func, constructor.keywords) if is_partial else (constructor, {})
    equations = getattr(function, "equations_class", None)
    if equations is None:
        return RegisteredCell(name, constructor=constructor)
    sizes = _field_names(equations)
    with_sizes = partial(equations, **{key: options[key] for key in options.keys() & sizes})
    if not equations.__abstractmethods__:  # else the cell raises an error when it is created
        _check_traceable(name, with_sizes)
    return RegisteredCell(name, with_sizes, constructor)


def _check_traceable(name: str, equations: Callable[..., Equations]) -> None:
    """Raise a ValueError if equations use anything but primitives, so that models with them could not be exported."""
    try:
        example = equations(TRACED_UNITS)
    except TypeError as error:
        raise ValueError(
            f"cell {name!r}: its equations must have defaults for all fields but units: {error}"
        ) from error
    reason = untraceable_reason(example)
    if reason:
        raise ValueError(
            f"cell {name!r}: its equations must use only arithmetic, the activations in f, linear, slices of the "
            f"features, and the functions of deeprnn_keras.equations.primitives, got {reason}"
        )
