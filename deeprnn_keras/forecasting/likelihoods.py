"""Likelihoods of forecasts: loss, quantiles, and samples of the distribution that the outputs of a network describe."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import Config, Tensor
from deeprnn_keras.extras import import_optional
from deeprnn_keras.keras_objects import ChecksConfig

DECILES = tuple(round(0.1 * number, 1) for number in range(1, 10))
MIN_SCALE = 1e-4  # in units of the scaled series; keeps the density finite where a series repeats its values
MIN_DEGREES_OF_FREEDOM = 2.0  # of the Student-t distribution; above it the variance is finite
SHIFT, SERIES_TERMS = 8, (1 / 12, -1 / 360, 1 / 1260)  # Stirling's series, exact to float32 from 8 on


class Likelihood(ChecksConfig, keras.losses.Loss, ABC):
    """Base class: a loss of the outputs of a network, and the distribution that the outputs describe.

    The outputs have `num_parameters` values per step in their last axis, in units of the scaled series,
    z = (y - shift) / scale.

    Args:
        name: Name of the loss.
        reduction: Keras reduction. Steps of weight 0, such as missing values, are not counted.
        **kwargs: Arguments of `keras.losses.Loss`.

    Attributes:
        num_parameters: Values per step.
        density: True if the loss is the negative logarithm of a density of z.
        counts: True if the targets are counts, which are scaled but not shifted.
        samples: True if `sample` is supported.
        has_quantiles: True if `quantile` is supported.

    >>> import keras, numpy as np
    >>> from deeprnn_keras.forecasting import Likelihood
    >>> class Laplace(Likelihood):
    ...     "Laplace distribution of scale 1, -log p(z) = |z - a| + log 2."
    ...     density = True
    ...     def negative_log_likelihood(self, y_true, y_pred):
    ...         return keras.ops.abs(y_true[..., 0] - y_pred[..., 0]) + np.log(2)
    ...     def quantile(self, outputs, probability, scale):
    ...         distance = probability - 0.5
    ...         return outputs[..., 0] - np.sign(distance) * np.log(1 - 2 * abs(distance))
    ...     def sample(self, outputs, scale, rng):
    ...         return rng.laplace(outputs[..., 0])
    >>> round(float(Laplace()(np.zeros((1, 1, 1)), np.ones((1, 1, 1)))), 3)
    1.693
    """

    num_parameters: int = 1
    density: ClassVar[bool] = False
    counts: ClassVar[bool] = False
    samples: ClassVar[bool] = True
    has_quantiles: ClassVar[bool] = True

    def __init__(self, name: str | None = None, reduction: str = "mean_with_sample_weight", **kwargs: Any) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)

    @override
    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each step.

        Args:
            y_true: Targets, (..., 1); for counts (..., 2), the counts and the scale.
            y_pred: Outputs of the network, (..., `num_parameters`), or (n, H `num_parameters`) for all steps at once.
        """
        y_true = ops.cast(y_true, y_pred.dtype)
        if len(y_pred.shape) < len(y_true.shape):
            y_pred = ops.reshape(y_pred, (-1, y_true.shape[1], self.num_parameters))
        return self.negative_log_likelihood(y_true, y_pred)

    @abstractmethod
    def negative_log_likelihood(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each step.

        Args:
            y_true: Targets, as in `call`.
            y_pred: Outputs of the network, (..., `num_parameters`).
        """

    @abstractmethod
    def quantile(self, outputs: np.ndarray, probability: float, scale: np.ndarray) -> np.ndarray:
        """Return a quantile of each step, in units of the scaled series.

        Args:
            outputs: Outputs of the network, (..., `num_parameters`).
            probability: Probability of the quantile.
            scale: Scale of the series, broadcastable to (...).
        """

    @abstractmethod
    def sample(self, outputs: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return one sample of each step, in units of the scaled series.

        Args:
            outputs: Outputs of the network, (..., `num_parameters`).
            scale: Scale of the series, broadcastable to (...).
            rng: Random generator.
        """


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class Gaussian(Likelihood):
    """Normal distribution with mean m = a and standard deviation s = softplus(b) + 0.0001 for outputs (a, b).

        -log p(z) = (z - m)² / (2 s²) + log s + log(2π) / 2

    Args:
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.

    >>> import numpy as np
    >>> from deeprnn_keras.forecasting import Gaussian
    >>> round(float(Gaussian()(np.zeros((1, 1, 1)), np.array([[[0.0, 0.5413]]]))), 3)      # softplus(0.5413) = 1
    0.919
    """

    num_parameters = 2
    density = True

    def __init__(self, name: str | None = "gaussian", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    @override
    def negative_log_likelihood(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        scale = ops.softplus(y_pred[..., 1]) + MIN_SCALE
        z = (y_true[..., 0] - y_pred[..., 0]) / scale
        return 0.5 * z * z + ops.log(scale) + 0.5 * math.log(2 * math.pi)

    @override
    def quantile(self, outputs: np.ndarray, probability: float, scale: np.ndarray) -> np.ndarray:
        ndtri = _scipy_special().ndtri
        return outputs[..., 0] + (softplus(outputs[..., 1]) + MIN_SCALE) * ndtri(probability)

    @override
    def sample(self, outputs: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return outputs[..., 0] + (softplus(outputs[..., 1]) + MIN_SCALE) * rng.standard_normal(outputs.shape[:-1])


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class StudentT(Likelihood):
    """Student's t distribution, whose heavy tails tolerate outliers.

        -log p(z) = log Γ(ν/2) - log Γ((ν + 1)/2) + log(νπ) / 2 + log s + (ν + 1)/2 log(1 + (z - m)² / (ν s²))

    For outputs (a, b, c), the location is m = a, the scale s = softplus(b) + 0.0001, and ν = 2 + softplus(c) is the
    number of degrees of freedom.

    Args:
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.

    >>> import numpy as np
    >>> from deeprnn_keras.forecasting import StudentT
    >>> outputs = np.array([[[0.0, 0.5413, 0.5413]]])                         # location 0, scale 1, ν = 3
    >>> round(float(StudentT()(np.zeros((1, 1, 1)), outputs)), 3)
    1.001
    """

    num_parameters = 3
    density = True

    def __init__(self, name: str | None = "student_t", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    @override
    def negative_log_likelihood(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        scale = ops.softplus(y_pred[..., 1]) + MIN_SCALE
        freedom = ops.softplus(y_pred[..., 2]) + MIN_DEGREES_OF_FREEDOM
        z = (y_true[..., 0] - y_pred[..., 0]) / scale
        normalizer = 0.5 * ops.log(freedom * math.pi) - log_gamma_ratio(0.5 * freedom, 0.5)
        return normalizer + ops.log(scale) + 0.5 * (freedom + 1) * ops.log1p(z * z / freedom)

    @override
    def quantile(self, outputs: np.ndarray, probability: float, scale: np.ndarray) -> np.ndarray:
        freedom = softplus(outputs[..., 2]) + MIN_DEGREES_OF_FREEDOM
        quantiles = _scipy_special().stdtrit(freedom, probability)
        return outputs[..., 0] + (softplus(outputs[..., 1]) + MIN_SCALE) * quantiles

    @override
    def sample(self, outputs: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        freedom = softplus(outputs[..., 2]) + MIN_DEGREES_OF_FREEDOM
        # Bailey 1994: two uniform numbers per sample, so that a sample does not depend on the parameters of others
        uniform, angle = 1 - rng.random(freedom.shape), 2 * np.pi * rng.random(freedom.shape)
        sample = np.sqrt(freedom * np.expm1(-2 / freedom * np.log(uniform))) * np.cos(angle)
        return outputs[..., 0] + (softplus(outputs[..., 1]) + MIN_SCALE) * sample


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class NegativeBinomial(Likelihood):
    """Negative binomial distribution of counts y, with mean μ = scale softplus(a) and shape α = softplus(b) + 0.0001.

        p(y) = Γ(y + 1/α) / (Γ(y + 1) Γ(1/α)) (1 / (1 + αμ))^(1/α) (αμ / (1 + αμ))^y

    The variance is μ + αμ². The targets are pairs of a count and the scale of its series.

    Args:
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.

    Source: Salinas et al. 2017 (arXiv:1704.04110).

    >>> import numpy as np
    >>> from deeprnn_keras.forecasting import NegativeBinomial
    >>> outputs = np.array([[[0.5413, 0.5412]]])                              # mean 1, shape 1: geometric
    >>> round(float(np.exp(-NegativeBinomial()(np.array([[[2.0, 1.0]]]), outputs))), 3)
    0.125
    """

    num_parameters = 2
    counts = True

    def __init__(self, name: str | None = "negative_binomial", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    @override
    def negative_log_likelihood(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y, mean = y_true[..., 0], y_true[..., 1] * (ops.softplus(y_pred[..., 0]) + MIN_SCALE)
        shape = ops.softplus(y_pred[..., 1]) + MIN_SCALE
        log_odds = ops.log1p(shape * mean)
        log_coefficient = log_gamma_ratio(1 / shape, y) - log_gamma_ratio(ops.ones_like(y), y)
        return log_odds / shape - y * (ops.log(shape * mean) - log_odds) - log_coefficient

    @override
    def quantile(self, outputs: np.ndarray, probability: float, scale: np.ndarray) -> np.ndarray:
        successes, success = self._parameters(outputs, scale)
        nbinom = import_optional("scipy.stats", "forecast", "Quantiles of counts").nbinom
        return nbinom.ppf(probability, successes, success) / scale

    @override
    def sample(self, outputs: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.negative_binomial(*self._parameters(outputs, scale)) / scale

    @staticmethod
    def _parameters(outputs: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of successes 1/α and the probability of success 1 / (1 + αμ)."""
        mean = scale * (softplus(outputs[..., 0]) + MIN_SCALE)
        shape = softplus(outputs[..., 1]) + MIN_SCALE
        return 1 / shape, 1 / (1 + shape * mean)


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class Quantiles(Likelihood):
    """Quantiles of any distribution, estimated by the pinball loss, one output per quantile.

        loss = mean over p of 2 max(p (z - a_p), (p - 1) (z - a_p))

    Outputs that cross are sorted. Quantiles between those of the training are interpolated linearly.

    Args:
        probabilities: Probabilities of the quantiles, ascending.
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.

    Raises:
        ValueError: If the probabilities are not ascending numbers between 0 and 1.

    >>> import numpy as np
    >>> from deeprnn_keras.forecasting import Quantiles
    >>> float(Quantiles((0.5,))(np.ones((1, 1, 1)), np.zeros((1, 1, 1))))     # half the quantiles: the absolute error
    1.0
    """

    samples = False

    def __init__(self, probabilities: Sequence[float] = DECILES, name: str | None = "quantiles", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.probabilities = check_probabilities("probabilities", probabilities)
        if not self.probabilities or list(self.probabilities) != sorted(set(self.probabilities)):
            raise ValueError(f"probabilities must be ascending numbers between 0 and 1, got {probabilities!r}")
        self.num_parameters = len(self.probabilities)

    @override
    def negative_log_likelihood(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        error, p = y_true[..., :1] - y_pred, ops.convert_to_tensor(self.probabilities, dtype=y_pred.dtype)
        return ops.mean(2 * ops.maximum(p * error, (p - 1) * error), axis=-1)

    @override
    def quantile(self, outputs: np.ndarray, probability: float, scale: np.ndarray) -> np.ndarray:
        known = np.asarray(self.probabilities)
        if not known[0] <= probability <= known[-1]:
            raise ValueError(
                f"quantiles must be between {known[0]:g} and {known[-1]:g}, the outermost of the training, got "
                f"{probability:g}; train with likelihood=Quantiles([..., {probability:g}, ...])"
            )
        ordered = np.sort(outputs, axis=-1)
        upper = int(np.searchsorted(known, probability))
        lower = max(upper - 1, 0)
        width = known[upper] - known[lower]
        share = (probability - known[lower]) / width if width else 0.0
        return ordered[..., lower] * (1 - share) + ordered[..., upper] * share

    @override
    def sample(self, outputs: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Raise a ValueError: quantiles leave the tails of the distribution open.

        Args:
            outputs: As in `quantile`.
            scale: As in `quantile`.
            rng: Random generator.
        """
        raise ValueError(
            "samples are not supported by likelihood='quantiles'; train with 'student_t', 'gaussian', or "
            "'negative_binomial'"
        )

    @override
    def get_config(self) -> Config:
        return {**super().get_config(), "probabilities": list(self.probabilities)}


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class PointForecast(Likelihood):
    """Forecast of one number per step, without a distribution: the mean or the median.

        loss = (z - a)²  or  |z - a|

    Args:
        error: "squared" estimates the mean, "absolute" the median.
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.

    Raises:
        ValueError: If `error` is neither "squared" nor "absolute".

    >>> import numpy as np
    >>> from deeprnn_keras.forecasting import PointForecast
    >>> float(PointForecast("absolute")(np.full((1, 1, 1), 3.0), np.zeros((1, 1, 1))))
    3.0
    """

    has_quantiles = False

    def __init__(self, error: str = "squared", name: str | None = "point_forecast", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.error = checks.one_of("error", error, ("squared", "absolute"))

    @override
    def negative_log_likelihood(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        error = y_true[..., 0] - y_pred[..., 0]
        return ops.square(error) if self.error == "squared" else ops.abs(error)

    @override
    def quantile(self, outputs: np.ndarray, probability: float, scale: np.ndarray) -> np.ndarray:
        if probability != 0.5:
            raise ValueError(
                f"quantiles are not supported by a point forecast, got {probability:g}; pass quantiles=(), or train "
                "with likelihood='student_t', 'gaussian', 'negative_binomial', or 'quantiles'"
            )
        return outputs[..., 0]

    @override
    def sample(self, outputs: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return outputs[..., 0]

    @override
    def get_config(self) -> Config:
        return {**super().get_config(), "error": self.error}


# === Names ===

LikelihoodSpec: TypeAlias = "str | Likelihood"
"""A likelihood, or the name of one."""

LIKELIHOODS: dict[str, tuple[type[Likelihood], dict[str, Any]]] = {
    "student_t": (StudentT, {}),
    "gaussian": (Gaussian, {}),
    "negative_binomial": (NegativeBinomial, {}),
    "quantiles": (Quantiles, {}),
    "mse": (PointForecast, {"error": "squared"}),
    "mae": (PointForecast, {"error": "absolute"}),
}
"""Classes and their arguments by name."""


def get_likelihood(likelihood: LikelihoodSpec) -> Likelihood:
    """Return a likelihood by name, or the likelihood itself.

    Raises:
        ValueError: If the name is unknown.
    """
    if isinstance(likelihood, Likelihood):
        return likelihood
    likelihood_class, arguments = LIKELIHOODS[checks.one_of("likelihood", likelihood, LIKELIHOODS)]
    return likelihood_class(**arguments)


def check_probabilities(name: str, probabilities: Sequence[float]) -> tuple[float, ...]:
    """Return probabilities as a tuple of floats between 0 and 1."""
    if isinstance(probabilities, (str, bytes)) or not np.iterable(probabilities):
        raise ValueError(f"{name} must be a list of numbers between 0 and 1, got {probabilities!r}")
    return tuple(checks.fraction(name, probability) for probability in probabilities)


# === Arithmetic ===


def softplus(x: np.ndarray) -> np.ndarray:
    """Return log(1 + exp(x)) in NumPy."""
    return np.logaddexp(0.0, x)


def log_gamma_ratio(a: Tensor, b: Tensor | float) -> Tensor:
    """Return log Γ(a + b) - log Γ(a) for a > 0 and b >= 0 by `keras.ops`, differentiable.

    The difference of two values of log Γ would lose all digits for large a. With A = a + 8 and Stirling's series r,

        (A - 1/2) log(1 + b/A) + b log(A + b) - b + r(A + b) - r(A) - Σ_{k<8} log(1 + b / (a + k))
    """
    high = a + SHIFT
    stirling = (high - 0.5) * ops.log1p(b / high) + b * ops.log(high + b) - b
    lower_terms = ops.log1p(b / a)
    for k in range(1, SHIFT):
        lower_terms = lower_terms + ops.log1p(b / (a + k))
    return stirling + _stirling_remainder(high + b) - _stirling_remainder(high) - lower_terms


def _stirling_remainder(x: Tensor) -> Tensor:
    """Return the first terms of Stirling's series of log Γ(x)."""
    inverse = 1 / x
    first, second, third = SERIES_TERMS
    return inverse * (first + inverse * inverse * (second + inverse * inverse * third))


def _scipy_special() -> Any:  # noqa: ANN401 - a module
    return import_optional("scipy.special", "forecast", "Quantiles of a distribution")
