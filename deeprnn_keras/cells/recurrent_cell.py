"""`RecurrentCell`: Keras cell whose step is defined by `Equations`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from types import SimpleNamespace
from typing import Any, cast

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras import _compat, checks
from deeprnn_keras._types import Config, Constraint, Regularizer, Shape, Tensor
from deeprnn_keras.cells.initial_values import map_biases, map_weights
from deeprnn_keras.equations import Blocks, Equations, Linear
from deeprnn_keras.equations.maps import NamedMap
from deeprnn_keras.equations.trace import untraceable_reason
from deeprnn_keras.equations.unitwise import UnitStep, unitwise
from deeprnn_keras.initializers.seeding import InitializerObject
from deeprnn_keras.keras_objects import ChecksConfig

FIRST_WEIGHTS = ("kernel", "recurrent_kernel", "bias")  # in the order of Keras' cells; other weights follow
ROLES = ("kernel", "recurrent", "hidden", "bias")


class RecurrentCell(ChecksConfig, _compat.dropout_rnn_cell(), keras.layers.Layer):
    """Base class of user-defined cells: `equations_class` defines the step, the cell holds the weights.

        H_t, ... = equations.step(equations.project_inputs(X_t), H_{t-1}, ...)

    A subclass only sets `equations_class`, a subclass of `Equations`. The methods of that class must use only
    arithmetic, the activations, and `linear`. The cell therefore runs in `keras.layers.RNN` on every Keras backend, and
    in `deeprnn_keras.RNN` and `DeepRNN` with the XLA implementation. That implementation computes the part that does
    not depend on the state for all steps at once, derives the gradient from the equations, and computes the gradients
    of the weights after the loop as large matrix products.

    Args:
        units: h.
        *sizes: The other fields of the equations, in order; they may also be passed as keywords.
        kernel_initializer: Initializer of the maps of x. Each block (a gate or a stage) is initialized as a separate
            matrix. The default "glorot_uniform" balances the variances of the forward and the backward pass.
        recurrent_initializer: Initializer of the maps of the state. The defaults "orthogonal", and "ones" for diagonal
            maps, preserve the norm of the state.
        hidden_initializer: Initializer of the maps between hidden layers, "glorot_uniform" by default.
        bias_initializer: By default (None), all biases are 0 except those of gates that keep the state, which start at
            the value defined by the equations (LSTM: 1). `ForgetBias` and `ChronoBias` set the biases of gates that
            keep or write the state; all other biases are 0.
        kernel_regularizer: Regularizer of the maps of x.
        recurrent_regularizer: Regularizer of the maps of the state.
        hidden_regularizer: Regularizer of the maps between hidden layers; by default `kernel_regularizer`.
        bias_regularizer: Regularizer of the biases.
        kernel_constraint: Constraint of the maps of x.
        recurrent_constraint: Constraint of the maps of the state.
        hidden_constraint: Constraint of the maps between hidden layers; by default `kernel_constraint`.
        bias_constraint: Constraint of the biases.
        dropout: Dropout rate of x, with the same mask in all steps.
        recurrent_dropout: Dropout rate of the inputs of the recurrent maps, with the same mask in all steps, which must
            have the width of the output. It is supported by the loop implementation only.
        seed: Random seed of the dropout.
        **options: The activations of the equations by name, the initializers, regularizers, and constraints above, and
            arguments of `keras.layers.Layer`.

    Attributes:
        equations: The `Equations`.
        activation_functions: {name: activation function}.

    Raises:
        ValueError: If a size is out of range or a name is unknown.

    >>> from dataclasses import dataclass
    >>> from deeprnn_keras import AffineMap, DeepRNN, Equations, RecurrentCell, register_cell
    >>> @dataclass(frozen=True)
    ... class Leaky(Equations):
    ...     "Leaky RNN, h_t = 0.9 h_{t-1} + 0.1 f(x_t W + h_{t-1} U + b)."
    ...     def maps(self, input_dim):
    ...         return [AffineMap("kernel", input_dim, self.units, ("candidate",), bias="bias"),
    ...                 AffineMap("recurrent_kernel", self.units, self.units, ("candidate",), role="recurrent")]
    ...     def step(self, x, states, linear, f):
    ...         z = x["candidate"] + linear("recurrent_kernel", states[0])["candidate"]
    ...         return [0.9 * states[0] + 0.1 * f.activation(z)]
    >>> @register_cell("leaky")
    ... class LeakyCell(RecurrentCell):
    ...     equations_class = Leaky
    >>> DeepRNN(8, num_layers=2, cell="leaky").num_layers
    2
    """

    equations_class: type[Equations] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.equations_class is not None and "__init__" not in vars(cls):
            cls.__signature__ = _signature(cls.equations_class)

    def __init__(
        self,
        units: int,
        *sizes: Any,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        equations_class = _implemented_equations(type(self).__name__, self.equations_class)
        names = [field.name for field in fields(equations_class)][1:]
        if len(sizes) > len(names):
            raise ValueError(
                f"{type(self).__name__} accepts units and {names} as positional arguments, got {(units, *sizes)}"
            )
        arguments = dict(zip(names, sizes, strict=False))
        arguments |= {name: options.pop(name) for name in names if name in options}
        functions = {name: options.pop(name, default) for name, default in equations_class.activations.items()}
        initializers, regularizers, constraints = (
            {role: options.pop(f"{role}_{kind}", None) for role in ROLES}
            for kind in ("initializer", "regularizer", "constraint")
        )
        super().__init__(**options)
        self.equations: Equations = equations_class(units, **arguments)
        self.units: int = self.equations.units
        self.activation_functions: dict[str, Callable[..., Tensor]] = {
            name: _activation(name, function) for name, function in functions.items()
        }
        self.initializers: dict[str, InitializerObject | None] = {
            role: None if value is None else keras.initializers.get(value) for role, value in initializers.items()
        }
        self.regularizers: dict[str, Regularizer] = {
            role: keras.regularizers.get(value) for role, value in regularizers.items()
        }
        self.constraints: dict[str, Constraint] = {
            role: keras.constraints.get(value) for role, value in constraints.items()
        }
        self.dropout: float = checks.rate("dropout", dropout)
        self.recurrent_dropout: float = _checked_recurrent_dropout(recurrent_dropout, self.equations)
        self.seed: int | None = checks.seed("seed", seed)
        self.seed_generator: keras.random.SeedGenerator = keras.random.SeedGenerator(self.seed)
        widths = list(self.equations.state_widths().values())
        self.state_size: int | list[int] = widths[0] if len(widths) == 1 else widths
        self.output_size: int = widths[0]

    @override
    def build(self, input_shape: Shape) -> None:
        self.input_dim: int = cast("int", input_shape[-1])  # the feature axis has a static size
        maps = self.equations.maps(self.input_dim)
        weights = map_weights(maps, self.initializers) | map_biases(self.equations, maps, self.initializers["bias"])
        first = [name for name in FIRST_WEIGHTS if name in weights]
        for name in [*first, *(name for name in weights if name not in FIRST_WEIGHTS)]:
            shape, initial_value, role = weights[name]
            weight = self.add_weight(
                shape=shape,
                initializer=initial_value,
                regularizer=self._of_role(self.regularizers, role),
                constraint=self._of_role(self.constraints, role),
                name=name,
            )
            setattr(self, name, weight)

    @staticmethod
    def _of_role(by_role: Mapping[str, Any], role: str) -> Any:  # noqa: ANN401 - a regularizer or constraint
        """Return the regularizer or constraint of a role; that of x if hidden layers have none of their own."""
        return by_role.get(role) or (by_role["kernel"] if role == "hidden" else None)

    def project_inputs(self, inputs: Tensor, training: bool = False) -> Blocks:
        """Return the part of the step that depends only on the inputs.

        Args:
            inputs: Inputs x, (n, d) or (n, T, d).
            training: Apply the dropout of the inputs.
        """
        if training and self.dropout:
            step = inputs if len(inputs.shape) == 2 else inputs[:, 0]
            mask = self.get_dropout_mask(step)
            inputs = inputs * (mask if len(inputs.shape) == 2 else mask[:, None])
        return self.equations.project_inputs(inputs, self._linear(None), self.activations)

    def step(self, projected: Blocks, states: Sequence[Tensor], training: bool = False) -> list[Tensor]:
        """Return the new states, (n, width) each, the output first.

        Args:
            projected: Result of `project_inputs` for the step.
            states: States before the step.
            training: Apply the recurrent dropout.
        """
        mask = self.get_recurrent_dropout_mask(states[0]) if training and self.recurrent_dropout else None
        return self.equations.step(projected, list(states), self._linear(mask), self.activations)

    @override
    def call(
        self, inputs: Tensor, states: Tensor | Sequence[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        states = states if isinstance(states, (list, tuple)) else [states]
        new_states = self.step(self.project_inputs(inputs, training), states, training)
        return new_states[0], new_states

    @cached_property
    def untraceable(self) -> str:
        """Operation of the equations that is not one of the primitives; "" if there is none."""
        return untraceable_reason(self.equations)

    @cached_property
    def unit_step(self) -> UnitStep | None:
        """The step of single units, if the recurrence is elementwise, so that the cell can run as a scan; else None."""
        from deeprnn_keras.cells.keras_cells import cell_recurrence

        recurrence = cell_recurrence(self)
        return None if recurrence is None else unitwise(recurrence.equations, dict(recurrence.activations))

    @property
    def activations(self) -> SimpleNamespace:
        """Activation functions, as attributes."""
        return SimpleNamespace(**self.activation_functions)

    def _linear(self, mask: Tensor | None) -> Linear:
        """Return the function that applies maps with the weights of the cell; `mask` is the recurrent dropout mask."""

        def product(named_map: NamedMap, blocks: tuple[str, ...], a: Tensor) -> Tensor:
            if mask is not None and named_map.role == "recurrent":
                a = a * mask
            z = named_map.product(ops, a, named_map.select(ops, getattr(self, named_map.name), blocks))
            return z if named_map.bias is None else z + named_map.select(ops, getattr(self, named_map.bias), blocks)

        return Linear(self.equations.maps(self.input_dim), product)

    @override
    def get_initial_state(self, batch_size: int | Tensor | None = None) -> list[Tensor]:
        widths = self.equations.state_widths().values()
        return [ops.zeros((batch_size, width), self.compute_dtype) for width in widths]

    @override
    def get_config(self) -> Config:
        equations = {field.name: getattr(self.equations, field.name) for field in fields(self.equations)}
        functions = {
            name: keras.activations.serialize(function) for name, function in self.activation_functions.items()
        }
        initializers = _serialized("initializer", self.initializers, keras.initializers.serialize)
        regularizers = _serialized("regularizer", self.regularizers, keras.regularizers.serialize)
        constraints = _serialized("constraint", self.constraints, keras.constraints.serialize)
        dropout = {"dropout": self.dropout, "recurrent_dropout": self.recurrent_dropout, "seed": self.seed}
        return {
            **super().get_config(),
            **equations,
            **functions,
            **initializers,
            **{name: value for name, value in (regularizers | constraints).items() if value is not None},
            **dropout,
        }


def _implemented_equations(cell: str, equations_class: type[Equations] | None) -> type[Equations]:
    """Return the equations class of a cell class if it is set and implements all abstract methods."""
    if equations_class is None:
        raise ValueError(f"{cell} must set equations_class to a subclass of Equations")
    missing = sorted(equations_class.__abstractmethods__)
    if missing:
        raise ValueError(
            f"{equations_class.__name__}, the equations_class of {cell}, must implement {' and '.join(missing)}"
        )
    return equations_class


def _checked_recurrent_dropout(rate: float, equations: Equations) -> float:
    """Return the rate if it is in [0, 1) and one mask fits the inputs of all recurrent maps."""
    rate = checks.rate("recurrent_dropout", rate)
    for one in equations.maps(1) if rate else []:
        if one.role == "recurrent" and one.input_dim != equations.output_width:
            raise ValueError(
                f"recurrent_dropout={rate:g} drops features of the output, of width {equations.output_width}, but the "
                f"map {one.name!r} of {type(equations).__name__} reads width {one.input_dim}; use recurrent_dropout=0, "
                "or give the map another role"
            )
    return rate


def _serialized(
    kind: str, by_role: Mapping[str, object], serialize: Callable[[object], object]
) -> dict[str, object | None]:
    """Return {role_kind: configuration or None}, for example {"kernel_regularizer": ...}."""
    return {f"{role}_{kind}": None if value is None else serialize(value) for role, value in by_role.items()}


def _activation(name: str, function: object) -> Callable[..., Tensor]:
    """Return a Keras activation function; `name` is the argument's name for the error message."""
    try:
        return keras.activations.get(function)
    except ValueError:
        names = [known for known in dir(keras.activations) if not known.startswith("_")]
        raise ValueError(f"unknown {name} {function!r}{checks.suggestion(function, names)}") from None


def _signature(equations_class: type[Equations]) -> inspect.Signature:
    """Return the signature of a cell: the fields of its equations, its activations, and other options by name."""
    parameter = inspect.Parameter
    parameters = [
        parameter(
            field.name,
            parameter.POSITIONAL_OR_KEYWORD,
            default=parameter.empty if field.name == "units" else field.default,
            annotation=field.type,
        )
        for field in fields(equations_class)
    ]
    activations = [
        parameter(name, parameter.KEYWORD_ONLY, default=value) for name, value in equations_class.activations.items()
    ]
    return inspect.Signature([*parameters, *activations, parameter("options", parameter.VAR_KEYWORD)])
