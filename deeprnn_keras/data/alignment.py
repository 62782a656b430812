"""Alignment of the recordings of a device: latency by cross-correlation, and coherence of the two signals."""

from __future__ import annotations

import numpy as np

MAX_LATENCY = 1.0  # seconds
REGULARIZATION = 0.01  # λ, as a fraction of the mean power of the dry signal
ONSET = 0.15  # of the peak of the impulse response: the least magnitude between its onset and its peak
MIN_PROMINENCE = 12.0  # peak of the impulse response relative to its root mean square
COHERENCE_SEGMENT = 4096  # samples
MIN_COHERENCE = 0.1


def find_latency(dry: np.ndarray, wet: np.ndarray, sample_rate: int, names: tuple[str, str]) -> int:
    """Return the number of samples by which the wet signal is delayed; see `audio_pair`.

    Args:
        dry: Dry signal, (T,).
        wet: Wet signal, (T,).
        sample_rate: Sample rate in Hz.
        names: Names of both for the error message.

    Raises:
        ValueError: If the impulse response has no distinct peak.
    """
    limit = min(int(MAX_LATENCY * sample_rate), min(len(dry), len(wet)) - 1)
    response = impulse_response(dry, wet, limit)
    magnitude = np.abs(response)
    peak = int(magnitude.argmax())
    prominence = magnitude[peak] / max(float(np.sqrt(np.mean(magnitude**2))), 1e-30)
    if prominence < MIN_PROMINENCE:
        raise ValueError(
            f"the latency between {names[0]} and {names[1]} was not found: the largest correlation within "
            f"{MAX_LATENCY:g} s is {prominence:.1f} times the mean one, and at least {MIN_PROMINENCE:g} times is "
            "required; check that both files belong together, or pass the latency in samples"
        )
    before = np.flatnonzero(magnitude[:peak] < ONSET * magnitude[peak])
    return (int(before[-1]) + 1 if len(before) else 0) - limit


def impulse_response(dry: np.ndarray, wet: np.ndarray, limit: int) -> np.ndarray:
    """Return the impulse response from dry to wet in the sense of least squares, at lags -limit, ..., limit."""
    size = 1 << (max(len(dry), len(wet)) + limit).bit_length()
    spectrum = np.fft.rfft(dry, size)
    power = np.abs(spectrum) ** 2
    cross = np.conj(spectrum) * np.fft.rfft(wet, size)
    response = np.fft.irfft(cross / (power + REGULARIZATION * power.mean()), size)
    return np.concatenate([response[size - limit :], response[: limit + 1]])


def check_related(dry: np.ndarray, wet: np.ndarray, names: tuple[str, str], latency: int) -> None:
    """Raise a ValueError if the wet signal is not a function of the dry one.

    Args:
        dry: Dry signal, (T,).
        wet: Wet signal without its latency, (T,).
        names: Names of both for the error message.
        latency: Latency that has been removed, for the error message.
    """
    fraction = coherence(dry, wet)
    if fraction < MIN_COHERENCE:
        correlation = float(np.corrcoef(dry, wet)[0, 1])
        raise ValueError(
            f"{names[1]} is not a function of {names[0]}: their coherence is {fraction:.3f}, below {MIN_COHERENCE:g}, "
            f"and their correlation {correlation:.3f}, at a latency of {latency:,} samples; check that both files "
            "belong together"
        )


def coherence(dry: np.ndarray, wet: np.ndarray) -> float:
    """Return the fraction of the power of the wet signal that is a linear function of the dry one.

    With the spectra X and Y of windows of 4,096 samples and the mean <> over the windows, it is
    Σ_f (|<conj(X) Y>|² / <|X|²>) / Σ_f <|Y|²>, less its expected value 1 / windows for unrelated signals.
    """
    size = min(COHERENCE_SEGMENT, max(2, len(dry) // 8))
    spectra = []
    for signal in (dry, wet):
        windows = np.lib.stride_tricks.sliding_window_view(signal, size)[:: size // 2]
        spectra.append(np.fft.rfft(windows * np.hanning(size).astype("float32"), axis=1))
    x, y = spectra
    cross = np.abs(np.mean(np.conj(x) * y, axis=0)) ** 2
    power = np.mean(np.abs(x) ** 2, axis=0)
    predicted = cross / np.maximum(power, 1e-12 * power.max() + 1e-30)
    fraction = float(predicted.sum() / np.maximum(np.mean(np.abs(y) ** 2, axis=0).sum(), 1e-30))
    return max(0.0, fraction - 1 / len(x))
