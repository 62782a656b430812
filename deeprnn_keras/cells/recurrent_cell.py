"""`RecurrentCell`: a Keras cell around equations."""

import inspect
from dataclasses import fields
from types import SimpleNamespace

import keras
from keras import ops

from deeprnn_keras import _compat, checks
from deeprnn_keras.cells.initial_values import map_biases, map_weights
from deeprnn_keras.equations import Blocks, Linear

FIRST = ("kernel", "recurrent_kernel", "bias")
ROLES = ("kernel", "recurrent", "hidden", "bias")
_FALLBACK = {role: role for role in ROLES} | {"hidden": "kernel"}


class RecurrentCell(_compat.dropout_rnn_cell(), keras.layers.Layer):
    """The base of cells of one's own: `equations_class` says what a step computes, the cell only owns the weights.

        H_t, ... = equations.step(equations.project_inputs(X_t), H_{t-1}, ...)

    A subclass names an `Equations` class and is done. In return for writing a step with nothing but arithmetic, the
    given activations, and `linear`, it runs in `keras.layers.RNN` on every Keras backend, and in `deeprnn_keras.RNN`
    and `DeepRNN` on the XLA implementation: what does not depend on the state is computed for all steps at once, and
    the gradient is derived, with the weights' gradients as large products after the loop.

    Args:
        units: h.
        Fields of the equations, by position or name, and their activations by name.
        kernel_initializer, recurrent_initializer, hidden_initializer: of the maps of x, of the state, and between
            hidden layers. Each block, a gate's or a stage's, is drawn as a matrix of its own. The defaults:
            kernel, hidden - "glorot_uniform": variances stay where both ways through a map count alike;
            recurrent - "orthogonal", of a diagonal map "ones": each map of the state keeps its length.
        bias_initializer: None: 0, and for gates that keep the state what the equations ask for (LSTM: 1);
            `ForgetBias` and `ChronoBias` act on these gates only.
        kernel_regularizer, recurrent_regularizer, hidden_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, hidden_constraint, bias_constraint: of the same weights, as in Keras; hidden layers
            have those of the kernel unless given.
        dropout, recurrent_dropout: rates on x, and on what the maps of the state read; one mask for all steps. The
            second needs the loop.
        seed: for dropout.

    Attributes:
        equations: the `Equations`.

    Raises:
        ValueError: for sizes out of range and unknown names.

    >>> from dataclasses import dataclass
    >>> from deeprnn_keras import AffineMap, DeepRNN, Equations, RecurrentCell, register_cell
    >>> @dataclass(frozen=True)
    ... class Leaky(Equations):
    ...     "h_t = .9 h_{t-1} + .1 f(x_t W + h_{t-1} U + b)"
    ...     def maps(self, input_dim):
    ...         return [AffineMap("kernel", input_dim, self.units, ("candidate",), bias="bias"),
    ...                 AffineMap("recurrent_kernel", self.units, self.units, ("candidate",), role="recurrent")]
    ...     def step(self, x, states, linear, f):
    ...         z = x["candidate"] + linear("recurrent_kernel", states[0])["candidate"]
    ...         return [.9 * states[0] + .1 * f.activation(z)]
    >>> @register_cell("leaky")
    ... class LeakyCell(RecurrentCell):
    ...     equations_class = Leaky
    >>> DeepRNN(8, num_layers=2, cell="leaky").num_layers
    2
    """

    equations_class = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.equations_class is not None and "__init__" not in vars(cls):
            cls.__signature__ = _signature(cls.equations_class)

    def __init__(self, units, *sizes, dropout=0.0, recurrent_dropout=0.0, seed=None, **options):
        written = self.equations_class
        if written is None:
            raise ValueError(f"{type(self).__name__} must set equations_class, a subclass of Equations")
        missing = sorted(written.__abstractmethods__)
        if missing:
            raise ValueError(f"{written.__name__}, the equations of {type(self).__name__}, must define {missing}")
        names = [field.name for field in fields(written)][1:]
        if len(sizes) > len(names):
            raise ValueError(f"{type(self).__name__} takes units and {names} by position, got {(units, *sizes)}")
        given = dict(zip(names, sizes, strict=False)) | {name: options.pop(name) for name in names if name in options}
        functions = {name: options.pop(name, default) for name, default in written.activations.items()}
        initializers, regularizers, constraints = (
            {role: options.pop(f"{role}_{kind}", None) for role in ROLES}
            for kind in ("initializer", "regularizer", "constraint")
        )
        super().__init__(**options)
        self.equations = written(units, **given)
        self.units = self.equations.units
        self.functions = {name: _activation(name, function) for name, function in functions.items()}
        self.initializers = {
            role: None if value is None else keras.initializers.get(value) for role, value in initializers.items()
        }
        self.regularizers = {role: keras.regularizers.get(value) for role, value in regularizers.items()}
        self.constraints = {role: keras.constraints.get(value) for role, value in constraints.items()}
        self.dropout = checks.rate("dropout", dropout)
        self.recurrent_dropout = checks.rate("recurrent_dropout", recurrent_dropout)
        self.seed = checks.seed("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        count = len(self.equations.states)
        self.state_size = self.units if count == 1 else [self.units] * count
        self.output_size = self.units

    def build(self, input_shape):
        self.input_dim = input_shape[-1]
        maps = self.equations.maps(self.input_dim)
        weights = map_weights(maps, self.initializers) | map_biases(self.equations, maps, self.initializers["bias"])
        for name in [*(name for name in FIRST if name in weights), *(name for name in weights if name not in FIRST)]:
            shape, draw, role = weights[name]
            weight = self.add_weight(
                shape=shape,
                initializer=draw,
                regularizer=self.regularizers[role] or self.regularizers[_FALLBACK[role]],
                constraint=self.constraints[role] or self.constraints[_FALLBACK[role]],
                name=name,
            )
            setattr(self, name, weight)

    def project_inputs(self, inputs, training=False):
        """Return the `Blocks` of (n, d) or (n, T, d) that do not depend on the state, for all steps at once."""
        if training and self.dropout:
            step = inputs if len(inputs.shape) == 2 else inputs[:, 0]
            mask = self.get_dropout_mask(step)
            inputs = inputs * (mask if len(inputs.shape) == 2 else mask[:, None])
        return self.equations.project_inputs(inputs, self._linear(None), self.activations)

    def step(self, projected: Blocks, states, training=False):
        """Return the new states (n, h) from what `project_inputs` gave for a step, and the states before it."""
        mask = self.get_recurrent_dropout_mask(states[0]) if training and self.recurrent_dropout else None
        return self.equations.step(projected, list(states), self._linear(mask), self.activations)

    def call(self, inputs, states, training=False):
        states = states if isinstance(states, (list, tuple)) else [states]
        new = self.step(self.project_inputs(inputs, training), states, training)
        return new[0], new

    @property
    def activations(self):
        """The activation functions, as attributes."""
        return SimpleNamespace(**self.functions)

    def _linear(self, mask):
        def product(known, blocks, a):
            if mask is not None and known.role == "recurrent":
                a = a * mask
            z = known.product(ops, a, _columns(getattr(self, known.name), known, blocks))
            return z if known.bias is None else z + _columns(getattr(self, known.bias), known, blocks)

        return Linear(self.equations.maps(self.input_dim), product)

    def get_initial_state(self, batch_size=None):
        return [ops.zeros((batch_size, self.units), self.compute_dtype) for _ in self.equations.states]

    def get_config(self):
        equations = {field.name: getattr(self.equations, field.name) for field in fields(self.equations)}
        functions = {name: keras.activations.serialize(function) for name, function in self.functions.items()}
        initializers = _serialized("initializer", self.initializers, keras.initializers.serialize)
        regularizers = _serialized("regularizer", self.regularizers, keras.regularizers.serialize)
        constraints = _serialized("constraint", self.constraints, keras.constraints.serialize)
        rest = {"dropout": self.dropout, "recurrent_dropout": self.recurrent_dropout, "seed": self.seed}
        return {
            **super().get_config(),
            **equations,
            **functions,
            **initializers,
            **{name: value for name, value in (regularizers | constraints).items() if value is not None},
            **rest,
        }


def _serialized(kind, by_role, serialize):
    return {f"{role}_{kind}": None if value is None else serialize(value) for role, value in by_role.items()}


def _columns(weight, known, blocks):
    """The blocks of W, or of b, side by side."""
    if blocks == known.blocks:
        return weight
    parts = [weight[..., known.columns(block)] for block in blocks]
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)


def _activation(name, function):
    try:
        return keras.activations.get(function)
    except ValueError:
        known = [known for known in dir(keras.activations) if not known.startswith("_")]
        raise ValueError(f"unknown {name} {function!r}{checks.nearest(function, known)}") from None


def _signature(equations):
    """Of a cell: the fields of its equations, its activations, and the rest by name."""
    kinds = inspect.Parameter
    parameters = [
        kinds(
            field.name,
            kinds.POSITIONAL_OR_KEYWORD,
            default=kinds.empty if field.name == "units" else field.default,
        )
        for field in fields(equations)
    ]
    named = [kinds(name, kinds.KEYWORD_ONLY, default=value) for name, value in equations.activations.items()]
    return inspect.Signature([*parameters, *named, kinds("options", kinds.VAR_KEYWORD)])
