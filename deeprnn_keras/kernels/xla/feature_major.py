"""`FeatureMajor`: a tensor (features, n) on which equations are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from typing_extensions import override

from deeprnn_keras._types import Tensor
from deeprnn_keras.equations.value import Value

PRIMITIVES: dict[str, Callable[..., Tensor]] = {
    "negate": tf.negative,
    "sigmoid": tf.sigmoid,
    "tanh": tf.tanh,
    "relu": tf.nn.relu,
    "hard_sigmoid": lambda a: tf.clip_by_value(a / 6.0 + 0.5, 0.0, 1.0),
    "exp": tf.exp,
    "log": tf.math.log,
    "softplus": tf.math.softplus,
    "sqrt": tf.sqrt,
    "rsqrt": tf.math.rsqrt,
    "sin": tf.sin,
    "cos": tf.cos,
    "add": tf.add,
    "subtract": tf.subtract,
    "multiply": tf.multiply,
    "divide": tf.divide,
    "maximum": tf.maximum,
    "greater": lambda a, b: tf.cast(tf.greater(a, b), a.dtype),
    "where": lambda condition, a, b: tf.where(tf.not_equal(condition, 0), a, b),
}
"""{elementwise primitive: function of tensors}."""


class FeatureMajor(Value):
    """A tensor (..., features, n), where equations assume (..., n, features).

    Attributes:
        tensor: The tensor.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor: Tensor = tensor

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Shape with the features last, as the equations see it."""
        *leading, features, n = self.tensor.shape
        return *leading, n, features

    @override
    def apply(self, primitive: str, *others: object) -> FeatureMajor:
        operands = [self, *(self.lift(primitive, other) for other in others)]
        return FeatureMajor(PRIMITIVES[primitive](*(operand.tensor for operand in operands)))

    @override
    def lift(self, primitive: str, other: object) -> FeatureMajor:
        if isinstance(other, FeatureMajor):
            return other
        return FeatureMajor(tf.convert_to_tensor(other, self.tensor.dtype))

    @override
    def mean(self) -> FeatureMajor:
        return FeatureMajor(tf.reduce_mean(self.tensor, -2, keepdims=True))

    @override
    def concatenate(self, values: Sequence[Any]) -> FeatureMajor:
        return FeatureMajor(tf.concat([value.tensor for value in values], -2))

    @override
    def __getitem__(self, key: object) -> FeatureMajor:
        _, features = key  # pyright: ignore[reportGeneralTypeIssues]  # (..., slice): the equations have been traced
        return FeatureMajor(self.tensor[..., features, :])


def on_values(function: Callable[[Tensor], Tensor]) -> Callable[[FeatureMajor], FeatureMajor]:
    """Return an elementwise function of tensors as a function of `FeatureMajor`."""
    return lambda value: FeatureMajor(function(value.tensor))
