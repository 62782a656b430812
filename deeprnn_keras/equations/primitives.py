"""Functions that equations may use besides arithmetic: on values, NumPy arrays, and arrays of the Keras backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deeprnn_keras.equations.maps import Array
from deeprnn_keras.equations.value import Value


def _namespace(*values: object) -> Any:  # noqa: ANN401 - NumPy or keras.ops
    if all(isinstance(value, (np.ndarray, np.generic, float, int)) for value in values):
        return np
    from keras import ops

    return ops


def _value(*values: object) -> Value | None:
    return next((value for value in values if isinstance(value, Value)), None)


def _unary(primitive: str, function: str, a: Array) -> Array:
    return a.apply(primitive) if isinstance(a, Value) else getattr(_namespace(a), function)(a)


def exp(a: Array) -> Array:
    """Return e^a."""
    return _unary("exp", "exp", a)


def log(a: Array) -> Array:
    """Return the natural logarithm of a."""
    return _unary("log", "log", a)


def sqrt(a: Array) -> Array:
    """Return the square root of a."""
    return _unary("sqrt", "sqrt", a)


def rsqrt(a: Array) -> Array:
    """Return 1 / sqrt(a)."""
    return a.apply("rsqrt") if isinstance(a, Value) else 1.0 / _namespace(a).sqrt(a)


def sin(a: Array) -> Array:
    """Return the sine of a."""
    return _unary("sin", "sin", a)


def cos(a: Array) -> Array:
    """Return the cosine of a."""
    return _unary("cos", "cos", a)


def tanh(a: Array) -> Array:
    """Return the hyperbolic tangent of a."""
    return _unary("tanh", "tanh", a)


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + e^-a)."""
    if isinstance(a, Value):
        return a.apply("sigmoid")
    return 0.5 + 0.5 * tanh(0.5 * a)


def softplus(a: Array) -> Array:
    """Return log(1 + e^a)."""
    if isinstance(a, Value):
        return a.apply("softplus")
    xp = _namespace(a)
    return xp.logaddexp(a, xp.zeros_like(a))


def relu(a: Array) -> Array:
    """Return the larger of a and 0."""
    return a.apply("relu") if isinstance(a, Value) else _namespace(a).maximum(a, 0.0)


def hard_sigmoid(a: Array) -> Array:
    """Return a / 6 + 1 / 2, limited to [0, 1]."""
    return a.apply("hard_sigmoid") if isinstance(a, Value) else _namespace(a).clip(a / 6.0 + 0.5, 0.0, 1.0)


def maximum(a: Array, b: Array) -> Array:
    """Return the larger of a and b, elementwise."""
    if _value(a, b) is None:
        return _namespace(a, b).maximum(a, b)
    return a.apply("maximum", b) if isinstance(a, Value) else b.apply("maximum", a)


def where(condition: Array, a: Array, b: Array) -> Array:
    """Return a where the condition holds, for example `x > 0`, and b elsewhere."""
    if isinstance(condition, Value):
        return condition.apply("where", a, b)
    return _namespace(condition, a, b).where(condition, a, b)


def mean(a: Array) -> Array:
    """Return the mean over the features, (..., 1)."""
    return a.mean() if isinstance(a, Value) else _namespace(a).mean(a, axis=-1, keepdims=True)


def concatenate(values: Sequence[Array]) -> Array:
    """Return arrays concatenated along the features."""
    first = _value(*values)
    if first is not None:
        return first.concatenate(values)
    return _namespace(*values).concatenate(list(values), axis=-1)
