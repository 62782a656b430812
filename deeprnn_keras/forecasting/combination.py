"""`CombinedQuantiles`: quantiles of any horizon from the outputs of a network that weighs simple forecasts."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from deeprnn_keras._types import Tensor
from deeprnn_keras.forecasting.likelihoods import DECILES
from deeprnn_keras.forecasting.smoothing_bank import CANDIDATES
from deeprnn_keras.keras_objects import ChecksConfig

KNOTS = (1, 3, 8, 20, 50, 120)
"""Steps ahead for which the network has outputs; those between are interpolated in log h, those beyond are the last."""
PROBABILITIES = (0.05, *DECILES, 0.95)
NUM_CANDIDATES, NUM_QUANTILES = len(CANDIDATES), len(PROBABILITIES)
PARAMETERS = NUM_CANDIDATES + 1 + NUM_QUANTILES  # of a knot
NUM_OUTPUTS = len(KNOTS) * PARAMETERS
SCORES = np.array([NormalDist().inv_cdf(probability) for probability in PROBABILITIES], np.float32)
MAX_LOG_SPREAD = 6.0
COLUMNS = 3 + NUM_CANDIDATES
"""Numbers of a target: weight, value, position of the horizon among the knots, candidates."""


def knot_position(steps: np.ndarray) -> np.ndarray:
    """Return the positions of horizons among the knots: 0 for the first, 1.5 between the second and the third."""
    return np.interp(np.log(steps), np.log(KNOTS), np.arange(len(KNOTS)))


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class CombinedQuantiles(ChecksConfig, keras.losses.Loss):
    """Pinball loss of forecasts that combine simple forecasts c_k with weights from the network.

    The outputs of a step have, for each knot, the logits a_k of the weights, the logarithm g of a spread, and the
    distances r_p of the quantiles. They are interpolated between the knots for each horizon h:

        q_p(h) = Σ_k softmax(a(h))_k c_k(h) + exp(g(h)) (Φ⁻¹(p) + r_p(h))
        loss   = mean over p of 2 max(p (y - q_p), (p - 1) (y - q_p))

    Args:
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.
    """

    def __init__(self, name: str | None = "combined_quantiles", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    @override
    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each step, (n, T).

        Args:
            y_true: Targets of J horizons, (n, T, J `COLUMNS`).
            y_pred: Outputs of the network, (n, T, `NUM_OUTPUTS`).
        """
        weight, value, forecasts = targets_and_forecasts(ops.cast(y_true, y_pred.dtype), y_pred)
        error = value[..., None] - forecasts
        p = ops.convert_to_tensor(PROBABILITIES, dtype=y_pred.dtype)
        pinball = ops.mean(2 * ops.maximum(p * error, (p - 1) * error), axis=-1)
        return ops.mean(weight * pinball, axis=-1)


def targets_and_forecasts(y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return weights and values, (n, T, J), and quantiles, (n, T, J, quantiles), of J horizons of each step.

    Args:
        y_true: As in `CombinedQuantiles.call`.
        y_pred: As in `CombinedQuantiles.call`.
    """
    shape = ops.shape(y_pred)
    targets = ops.reshape(y_true, (shape[0], shape[1], -1, COLUMNS))
    knots = ops.reshape(y_pred, (shape[0], shape[1], len(KNOTS), PARAMETERS))
    shares = ops.relu(1 - ops.abs(targets[..., 2:3] - ops.cast(ops.arange(len(KNOTS)), y_pred.dtype)))
    forecasts = combine(ops.matmul(shares, knots), targets[..., 3:])
    return targets[..., 0], targets[..., 1], forecasts


def combine(parameters: Tensor, candidates: Tensor) -> Tensor:
    """Return the quantiles, (..., quantiles), of interpolated outputs, (..., `PARAMETERS`), in units of the scale."""
    weights = ops.softmax(parameters[..., :NUM_CANDIDATES], axis=-1)
    center = ops.sum(weights * candidates, axis=-1, keepdims=True)
    spread = ops.exp(ops.clip(parameters[..., NUM_CANDIDATES : NUM_CANDIDATES + 1], -MAX_LOG_SPREAD, MAX_LOG_SPREAD))
    return center + spread * (ops.convert_to_tensor(SCORES) + parameters[..., NUM_CANDIDATES + 1 :])
