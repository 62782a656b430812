"""Losses and metric of audio effects: values and gradients against NumPy, SciPy, and PyTorch."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from refusals import outcome
from scipy.signal import lfilter, stft

from deeprnn_keras.models import ESR, ErrorToSignal, MultiResolutionSTFT

SMALL = ((16, 5, 12), (32, 8, 32))


@pytest.fixture
def signals(rng):
    """Return a target and an output, (3, 40), and weights of 0 and 1."""
    target = rng.normal(size=(3, 40))
    weights = np.ones((3, 40))
    weights[0, :7], weights[2] = 0, 0
    return target, target + 0.3 * rng.normal(size=(3, 40)) + 0.2, weights


def loss_and_gradient(loss, target, output, weights=None):
    output = tf.constant(output, "float64")
    with tf.GradientTape() as tape:
        tape.watch(output)
        value = loss(target, output, weights)
    return float(value), np.asarray(tape.gradient(value, output))


def slope(function, output, index, step=1e-6):
    shift = np.zeros_like(output)
    shift[index] = step
    return (function(output + shift) - function(output - shift)) / (2 * step)


# === Error-to-signal ratio ===


def error_to_signal(target, output, weights, pre_emphasis=0.85, dc=1.0, epsilon=1e-5):
    """Return the loss of Wright et al. with the filter of SciPy, row by row."""
    error = energy = offsets = plain = 0.0
    for y, prediction, w in zip(target, output, weights, strict=True):
        filtered, of_error = (lfilter([1, -pre_emphasis], [1], one) for one in (y, y - prediction))
        error, energy, plain = error + w @ of_error**2, energy + w @ filtered**2, plain + w @ y**2
        if w.sum():
            offsets += w.sum() * (w @ (y - prediction) / w.sum()) ** 2
    count = weights.sum()
    return error / max(energy, count * epsilon) + dc * offsets / max(plain, count * epsilon)


@pytest.mark.parametrize("options", [{}, {"pre_emphasis": 0.0, "dc": 0.0}, {"dc": 0.3, "epsilon": 10.0}])
def test_error_to_signal_and_its_gradient_equal_those_of_numpy(options, signals):
    target, output, weights = signals
    loss = ErrorToSignal(dtype="float64", **options)
    value, gradient = loss_and_gradient(loss, target[..., None], output[..., None], weights)
    assert value == pytest.approx(error_to_signal(target, output, weights, **options), rel=1e-9)
    for index in ((0, 6), (0, 7), (1, 0), (1, 39), (2, 5)):
        expected = slope(lambda one: error_to_signal(target, one, weights, **options), output, index)
        assert gradient[(*index, 0)] == pytest.approx(expected, abs=1e-7)


def test_burn_in_is_a_weight_of_zero(signals):
    target, output, _ = signals
    weights = np.ones(target.shape)
    weights[:, :9] = 0
    for make in (ErrorToSignal, lambda **options: MultiResolutionSTFT(SMALL, **options)):
        skipped, weighted = make(burn_in=9)(target, output), make()(target, output, weights)
        if make is ErrorToSignal:
            assert float(skipped) == pytest.approx(float(weighted), rel=1e-5)
        assert float(skipped) != pytest.approx(float(make()(target, output)), rel=1e-3)
    assert float(ErrorToSignal()(target, output, weights[:, :, None])) == pytest.approx(
        float(ErrorToSignal()(target, output, weights)), rel=1e-6
    )


def test_silence_has_a_finite_loss_and_gradient():
    for target in (np.zeros((1, 1100)), np.ones((1, 1100))):
        for weights in (None, np.zeros((1, 1100))):
            value, gradient = loss_and_gradient(ErrorToSignal(stft=1.0), target, np.zeros((1, 1100)), weights)
            assert np.isfinite(value) and np.isfinite(gradient).all()


def test_one_sample_and_masks(signals):
    target, output, weights = signals
    assert float(ErrorToSignal(0.0, dc=0.0)([[2.0]], [[1.0]])) == 0.25
    masked = tf.constant(output, "float32")
    masked._keras_mask = tf.constant(weights, "bool")
    assert float(ErrorToSignal()(target, masked)) == pytest.approx(error_to_signal(target, output, weights), rel=1e-5)


# === Spectra ===


def spectral_distance(target, output, resolutions):
    total = 0.0
    for fft, hop, window in resolutions:
        pair = []
        for signal in (target, output):
            options = {"window": "hann", "nperseg": window, "noverlap": window - hop, "nfft": fft, "boundary": None}
            padded = np.pad(signal, [[0, 0], [fft // 2, fft // 2]], mode="reflect")
            shift = (fft - window) // 2  # the window is in the middle of its frame
            _, _, z = stft(padded[:, shift : padded.shape[1] - (fft - window - shift)], padded=False, **options)
            scale = np.hanning(window + 1)[:-1].sum()  # SciPy divides by the sum of the window
            pair.append(np.sqrt(np.maximum(np.abs(z * scale) ** 2, 1e-8)))
        total += np.linalg.norm(pair[0] - pair[1]) / np.linalg.norm(pair[0])
        total += np.abs(np.log(pair[0]) - np.log(pair[1])).mean()
    return total / len(resolutions)


def test_spectral_distance_and_its_gradient_equal_those_of_scipy(signals):
    target, output, _ = signals
    value, gradient = loss_and_gradient(MultiResolutionSTFT(SMALL, dtype="float64"), target, output)
    assert value == pytest.approx(spectral_distance(target, output, SMALL), rel=1e-6)
    for index in ((0, 0), (1, 17), (2, 39)):
        expected = slope(lambda one: spectral_distance(target, one, SMALL), output, index)
        assert gradient[index] == pytest.approx(expected, abs=1e-5)
    both = ErrorToSignal(stft=0.5)
    both._spectra = MultiResolutionSTFT(SMALL)
    alone = ErrorToSignal()(target, output) + 0.5 * MultiResolutionSTFT(SMALL)(target, output)
    assert float(both(target, output)) == pytest.approx(float(alone), rel=1e-6)


# === Metric ===


def test_metric_is_that_of_all_samples(signals):
    target, output, weights = signals
    metric, filtered = ESR(), ESR(pre_emphasis=0.85, burn_in=9)
    for rows in (slice(0, 2), slice(2, 3)):
        metric.update_state(target[rows, :, None], output[rows, :, None], weights[rows])
        filtered.update_state(target[rows], output[rows])
    assert float(metric.result()) == pytest.approx(
        (weights * (target - output) ** 2).sum() / (weights * target**2).sum(), rel=1e-5
    )
    error, energy = (lfilter([1, -0.85], [1], one)[:, 9:] for one in (target - output, target))
    assert float(filtered.result()) == pytest.approx((error**2).sum() / (energy**2).sum(), rel=1e-5)
    metric.reset_state()
    assert np.isnan(metric.result())


# === Configuration and refusals ===


def test_configurations_are_complete():
    losses = (ErrorToSignal(0.5, 0.1, 0.2, 3, 1e-3), MultiResolutionSTFT(SMALL, 3))
    for one, module in ((losses[0], keras.losses), (losses[1], keras.losses), (ESR(0.5, 3), keras.metrics)):
        again = module.deserialize(module.serialize(one))
        assert type(again) is type(one) and again.get_config() == one.get_config()


def test_refusals():
    y = np.zeros((1, 20))
    cases = [
        (lambda: ErrorToSignal(1.0), "pre_emphasis must be"),
        (lambda: ErrorToSignal(dc=-1.0), "dc must be"),
        (lambda: ErrorToSignal(epsilon=0.0), "epsilon must be"),
        (lambda: ErrorToSignal(burn_in=-1), "burn_in must be"),
        (lambda: ErrorToSignal(burn_in=20)(y, y), "burn_in must be below .* 20, got 20"),
        (lambda: ErrorToSignal()(np.zeros((1, 20, 2)), y), r"y_true must have shape .* got \(1, 20, 2\)"),
        (lambda: ErrorToSignal()(y, y, np.zeros((1, 20, 3))), "sample_weight must have shape"),
        (lambda: MultiResolutionSTFT([]), "resolutions must have at least 1"),
        (lambda: MultiResolutionSTFT([(16, 4)]), "resolutions must have entries"),
        (lambda: MultiResolutionSTFT([(16, 4, 17)]), "windows no longer than their FFT, got 16 and 17"),
        (lambda: MultiResolutionSTFT(burn_in=4)(y, y), "more than 1024 samples after burn_in=4, .* got 20"),
        (lambda: ESR(dtype="float16"), "unknown dtype .float16"),
    ]
    wrong = [f"{message}: {found}" for call, message in cases if (found := outcome(call, message))]
    assert not wrong, "\n".join(wrong)
