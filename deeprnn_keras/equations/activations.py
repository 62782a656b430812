"""Keras' activations, composed of primitives; so they run wherever the equations do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from deeprnn_keras import checks
from deeprnn_keras.equations import primitives as p
from deeprnn_keras.equations.maps import Array
from deeprnn_keras.equations.trace import UntraceableError

Function: TypeAlias = Callable[[Array], Array]

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017, arXiv:1706.02515


def _elu(a: Array, alpha: float = 1.0) -> Array:
    return p.where(a > 0.0, a, alpha * (p.exp(_minimum(a, 0.0)) - 1.0))


def _minimum(a: Array, limit: float) -> Array:
    return -p.maximum(-a, -limit)


def _clipped(a: Array, low: float, high: float) -> Array:
    return _minimum(p.maximum(a, low), high)


ACTIVATIONS: dict[str, Function] = {
    "linear": lambda a: a,
    "tanh": p.tanh,
    "sigmoid": p.sigmoid,
    "relu": p.relu,
    "hard_sigmoid": p.hard_sigmoid,
    "exponential": p.exp,
    "softplus": p.softplus,
    "softsign": lambda a: a / (1.0 + p.maximum(a, -a)),
    "silu": lambda a: a * p.sigmoid(a),
    "hard_silu": lambda a: a * p.hard_sigmoid(a),
    "log_sigmoid": lambda a: -p.softplus(-a),
    "mish": lambda a: a * p.tanh(p.softplus(a)),
    "elu": _elu,
    "celu": _elu,  # with Keras' default, alpha = 1
    "selu": lambda a: SELU_SCALE * _elu(a, SELU_ALPHA),
    "leaky_relu": lambda a: p.maximum(a, 0.2 * a),
    "relu6": lambda a: _clipped(a, 0.0, 6.0),
    "hard_tanh": lambda a: _clipped(a, -1.0, 1.0),
    "tanh_shrink": lambda a: a - p.tanh(a),
    "squareplus": lambda a: 0.5 * (a + p.sqrt(a * a + 4.0)),
}
"""{name of a Keras activation with its default arguments: function}."""


def activation(function: str | Function | None) -> Function:
    """Return a function of values for the name of a Keras activation, or the function itself.

    Raises:
        UntraceableError: If the activation is not composed of primitives.
    """
    if function is None:
        return ACTIVATIONS["linear"]
    if not isinstance(function, str):
        return function
    if function not in ACTIVATIONS:
        hint = checks.suggestion(function, ACTIVATIONS)
        raise UntraceableError(f"activation {function!r}{hint}; supported are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[function]
