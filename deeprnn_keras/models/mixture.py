"""`StrokeNLL`: likelihood of pen strokes under mixtures of bivariate Gaussians."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from deeprnn_keras._types import Tensor
from deeprnn_keras.generation.strokes import MAX_CORRELATION, MAX_LOG_DEVIATION, PER_COMPONENT
from deeprnn_keras.keras_objects import ChecksConfig


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class StrokeNLL(ChecksConfig, keras.losses.Loss):
    """Negative log-likelihood of pen strokes, in nats per step.

    The next point (x_1, x_2, e) has offsets x, and the end of a stroke e in {0, 1}. The offsets have a mixture of M
    bivariate Gaussians, and e is a Bernoulli variable, independent given the past (Graves 2013, equations 18 to 25):

        loss = -log Σ_j π_j N(x | μ_j, σ_j, ρ_j) - e log p - (1 - e) log(1 - p)

    The q = 6 M + 1 outputs of the model are, in this order: ê, π̂_1..M, μ̂_1, μ̂_2, σ̂_1, σ̂_2, ρ̂ of all components, with
    p = sigmoid(ê), π = softmax(π̂), μ = μ̂, σ = exp(σ̂), and ρ = tanh(ρ̂). (In the source, p = sigmoid(-ê).) σ̂ is limited
    to [-10, 10] and ρ̂ to [-9, 9], where the density remains finite in float32.

    Args:
        reduction: Keras reduction over the steps.
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.

    >>> import numpy as np
    >>> from deeprnn_keras.models import StrokeNLL
    >>> round(float(StrokeNLL()(np.zeros((1, 2, 3)), np.zeros((1, 2, 7)))), 3)       # log 2π + log 2
    2.531
    """

    def __init__(self, reduction: str = "mean_with_sample_weight", name: str = "stroke_nll", **kwargs: Any) -> None:
        super().__init__(reduction=reduction, name=name, **kwargs)

    @override
    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true = ops.cast(y_true, y_pred.dtype)
        end, components = y_pred[..., 0], ops.split(y_pred[..., 1:], PER_COMPONENT, axis=-1)
        weights, mean_1, mean_2, log_1, log_2, correlation = components
        log_1, log_2 = (ops.clip(one, -MAX_LOG_DEVIATION, MAX_LOG_DEVIATION) for one in (log_1, log_2))
        correlation = ops.clip(correlation, -MAX_CORRELATION, MAX_CORRELATION)
        z_1 = (y_true[..., 0:1] - mean_1) * ops.exp(-log_1)
        z_2 = (y_true[..., 1:2] - mean_2) * ops.exp(-log_2)
        log_rest = _log_one_minus_squared_tanh(correlation)  # log(1 - ρ^2)
        distance = ops.square(z_1) + ops.square(z_2 - ops.tanh(correlation) * z_1) * ops.exp(-log_rest)
        log_density = -(distance + log_rest) / 2 - log_1 - log_2 - math.log(2 * math.pi)
        log_offsets = ops.logsumexp(ops.log_softmax(weights, axis=-1) + log_density, axis=-1)
        return ops.softplus(end) - y_true[..., 2] * end - log_offsets


def _log_one_minus_squared_tanh(x: Tensor) -> Tensor:
    """Return log(1 - tanh(x)^2) without cancellation."""
    return 2 * (math.log(2) - x - ops.softplus(-2 * x))


def expected_points(outputs: np.ndarray) -> np.ndarray:
    """Return the mean offsets and the more probable value of the end of a stroke: (T, 6 M + 1) -> (T, 3)."""
    end, components = outputs[..., 0], np.split(outputs[..., 1:], PER_COMPONENT, axis=-1)
    powers = np.exp(components[0] - components[0].max(-1, keepdims=True))
    weights = powers / powers.sum(-1, keepdims=True)
    means = [(weights * component).sum(-1) for component in components[1:3]]
    return np.stack([*means, (end > 0).astype(outputs.dtype)], axis=-1)
