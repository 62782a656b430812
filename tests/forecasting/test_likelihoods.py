"""Likelihoods compared with the densities and quantiles of scipy and with direct formulas."""

import keras
import numpy as np
import pytest
from scipy import stats

from deeprnn_keras.forecasting import Gaussian, Likelihood, NegativeBinomial, PointForecast, Quantiles, StudentT
from deeprnn_keras.forecasting.likelihoods import LIKELIHOODS, get_likelihood, log_gamma_ratio, softplus

RNG = np.random.default_rng(0)
OUTPUTS = RNG.normal(scale=2.0, size=(40, 5, 3)).astype("float32")
Z = RNG.normal(scale=3.0, size=(40, 5))
SCALE = np.exp(RNG.normal(size=(40, 1)))
COUNTS = RNG.poisson(SCALE * 3, size=(40, 5))


def distribution(likelihood, outputs, scale):
    """Return the distribution of scipy that the outputs describe."""
    first, second = outputs[..., 0].astype(float), softplus(outputs[..., 1].astype(float)) + 1e-4
    if isinstance(likelihood, Gaussian):
        return stats.norm(first, second)
    if isinstance(likelihood, StudentT):
        return stats.t(2 + softplus(outputs[..., 2].astype(float)), first, second)
    mean = scale * (softplus(first) + 1e-4)
    return stats.nbinom(1 / second, 1 / (1 + second * mean))


def targets(likelihood):
    if likelihood.counts:
        return np.stack([COUNTS, np.broadcast_to(SCALE, COUNTS.shape)], axis=-1).astype("float32")
    return Z[..., None].astype("float32")


DISTRIBUTIONS = [Gaussian(), StudentT(), NegativeBinomial()]
EACH = pytest.mark.parametrize("likelihood", DISTRIBUTIONS, ids=lambda one: one.name)


@EACH
def test_loss_is_the_negative_log_likelihood_of_scipy(likelihood):
    outputs = OUTPUTS[..., : likelihood.num_parameters]
    exact = distribution(likelihood, outputs, SCALE)
    density = exact.logpmf(COUNTS) if likelihood.counts else exact.logpdf(Z.astype("float32"))
    losses = np.asarray(likelihood.call(targets(likelihood), outputs))
    np.testing.assert_allclose(losses, -density, rtol=2e-5, atol=2e-5)
    weights = (RNG.random(Z.shape) < 0.7).astype("float32")
    mean = float(likelihood(targets(likelihood), outputs, sample_weight=weights))
    assert mean == pytest.approx(np.sum(-density * weights) / weights.sum(), rel=1e-4)


@EACH
def test_outputs_of_all_steps_at_once_have_the_same_loss(likelihood):
    outputs = OUTPUTS[..., : likelihood.num_parameters]
    joined = np.asarray(likelihood.call(targets(likelihood), outputs.reshape(len(outputs), -1)))
    np.testing.assert_array_equal(joined, np.asarray(likelihood.call(targets(likelihood), outputs)))


@EACH
@pytest.mark.parametrize("probability", [0.01, 0.1, 0.5, 0.975])
def test_quantiles_equal_those_of_scipy(likelihood, probability):
    outputs = OUTPUTS[..., : likelihood.num_parameters]
    expected = distribution(likelihood, outputs, SCALE).ppf(probability)
    expected = expected / SCALE if likelihood.counts else expected
    np.testing.assert_allclose(likelihood.quantile(outputs, probability, SCALE), expected, rtol=1e-4, atol=1e-5)


@EACH
def test_samples_have_the_distribution(likelihood):
    outputs = np.broadcast_to(
        np.array([1.0, 0.5, 1.0])[: likelihood.num_parameters], (20_000, likelihood.num_parameters)
    )
    scale = np.full(20_000, 4.0)
    samples = likelihood.sample(outputs, scale, np.random.default_rng(1))
    exact = distribution(likelihood, outputs[:1], 4.0)
    unit = 4.0 if likelihood.counts else 1.0
    for probability in (0.1, 0.5, 0.9):
        share = np.mean(samples * unit <= exact.ppf(probability) + 1e-9)
        assert share == pytest.approx(exact.cdf(exact.ppf(probability))[0], abs=0.012)


def test_log_gamma_ratio_keeps_its_digits():
    from scipy.special import loggamma

    a = np.array([1e-3, 0.3, 1.0, 7.5, 100.0, 1e4, 1e7])
    for b in (0.0, 0.5, 3.0, 250.0):
        exact = loggamma(a.astype(np.longdouble).astype(float) + b) - loggamma(a)
        actual = np.asarray(log_gamma_ratio(a.astype("float32"), np.full(a.shape, b, "float32")))
        np.testing.assert_allclose(actual, exact, rtol=5e-6, atol=5e-6)


@EACH
def test_gradient_equals_finite_differences(likelihood):
    import tensorflow as tf

    outputs = tf.Variable(OUTPUTS[:4, :2, : likelihood.num_parameters], dtype="float64")
    y = targets(likelihood)[:4, :2].astype("float64")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(likelihood.call(y, outputs))
    gradient = np.asarray(tape.gradient(loss, outputs))
    for index in [(0, 0, 0), (2, 1, 1), (3, 0, likelihood.num_parameters - 1)]:
        step = np.zeros(outputs.shape)
        step[index] = 1e-6
        above, below = (float(tf.reduce_sum(likelihood.call(y, outputs + sign * step))) for sign in (1, -1))
        assert gradient[index] == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-7)


def test_quantile_loss_is_the_pinball_loss():
    likelihood = Quantiles((0.1, 0.5, 0.9))
    errors = Z[..., None] - OUTPUTS
    p = np.array([0.1, 0.5, 0.9])
    expected = 2 * np.where(errors > 0, p * errors, (p - 1) * errors).mean(-1)
    np.testing.assert_allclose(
        np.asarray(likelihood.call(Z[..., None].astype("float32"), OUTPUTS)), expected, rtol=1e-5
    )


def test_quantiles_are_sorted_and_interpolated():
    likelihood, outputs = Quantiles((0.1, 0.5, 0.9)), np.array([[3.0, 1.0, 2.0]])
    values = [likelihood.quantile(outputs, p, np.ones(1))[0] for p in (0.1, 0.3, 0.5, 0.8, 0.9)]
    assert values == pytest.approx([1.0, 1.5, 2.0, 2.75, 3.0])
    with pytest.raises(
        ValueError, match=r"quantiles must be between 0.1 and 0.9, .*, got 0.95; train with likelihood="
    ):
        likelihood.quantile(outputs, 0.95, np.ones(1))


@pytest.mark.parametrize("error, function", [("squared", np.square), ("absolute", np.abs)])
def test_point_forecasts(error, function):
    likelihood = PointForecast(error)
    losses = np.asarray(likelihood.call(Z[..., None].astype("float32"), OUTPUTS[..., :1]))
    np.testing.assert_allclose(losses, function(Z - OUTPUTS[..., 0]), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"not supported by a point forecast, got 0\.9; pass quantiles="):
        likelihood.quantile(OUTPUTS[..., :1], 0.9, SCALE)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_configuration_round_trip(name):
    likelihood = get_likelihood(name)
    restored = keras.losses.deserialize(keras.losses.serialize(likelihood))
    assert type(restored) is type(likelihood) and restored.get_config() == likelihood.get_config()
    assert isinstance(restored, Likelihood) and restored.num_parameters == likelihood.num_parameters


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: get_likelihood("studentt"), "unknown likelihood 'studentt'; did you mean 'student_t'"),
        (lambda: Quantiles((0.5, 0.1)), "probabilities must be ascending numbers between 0 and 1"),
        (lambda: Quantiles((0.5, 1.5)), r"probabilities must be a number in \(0, 1\), got 1.5"),
        (lambda: Quantiles(()), "probabilities must be ascending"),
        (lambda: PointForecast("cubic"), "unknown error 'cubic'"),
    ],
)
def test_invalid_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
