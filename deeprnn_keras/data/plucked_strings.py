"""Dry signals that resemble a recorded guitar: plucked strings, sweeps, and noise, from a seed."""

from __future__ import annotations

import numpy as np

LOWEST, HIGHEST = 40, 76  # MIDI notes: the open low string of a guitar, and the twelfth fret of the highest
CHORDS = ((0, 7, 12), (0, 7, 12, 16, 19), (0, 7, 12, 15, 19), (0, 5, 9))  # semitones above the lowest note
SWEEP_RANGE = 40.0, 8000.0  # Hz
KINDS = ("notes", "chord", "sweep", "noise", "pause")
PROBABILITIES = (0.5, 0.3, 0.08, 0.07, 0.05)
LEVELS = 0.08, 0.9  # range of the peak of an event


def guitar_signal(size: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return a signal of plucked notes and chords, with some sweeps, bursts of noise, and pauses, (size,).

    Args:
        size: Number of samples.
        sample_rate: Sample rate in Hz.
        rng: Random generator, which determines the signal.
    """
    signal, position = np.zeros(size, "float32"), 0
    while position < size:
        event = _event(str(rng.choice(KINDS, p=PROBABILITIES)), sample_rate, rng)
        signal[position : position + len(event)] = event[: size - position]
        position += len(event)
    return signal


def _event(kind: str, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return one event with a random level; its ends are faded."""
    size = round(sample_rate * rng.uniform(0.5, 2.5))
    make = {"notes": _notes, "chord": _chord, "sweep": _sweep, "noise": _noise, "pause": _pause}[kind]
    event = make(size, sample_rate, rng)
    fade = np.minimum(1, np.arange(size) / (0.002 * sample_rate))
    low, high = np.log(LEVELS)
    level = np.exp(rng.uniform(low, high)) / max(float(np.abs(event).max()), 1e-6)
    return (level * event * fade * fade[::-1]).astype("float32")


def _notes(size: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return notes one after the other, which ring into each other."""
    signal, start = np.zeros(size), 0
    while start < size:
        pitch = int(rng.integers(LOWEST, HIGHEST + 1))
        signal[start:] += rng.uniform(0.4, 1) * _string(size - start, sample_rate, pitch, rng)
        start += round(sample_rate * rng.uniform(0.1, 0.6))
    return signal


def _chord(size: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return a strummed chord."""
    signal, root = np.zeros(size), int(rng.integers(LOWEST, LOWEST + 12))
    for string, interval in enumerate(CHORDS[rng.integers(len(CHORDS))]):
        start = round(string * sample_rate * rng.uniform(0.005, 0.02))
        signal[start:] += _string(size - start, sample_rate, root + interval, rng)
    return signal


def _sweep(size: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return a sine whose frequency rises exponentially, and whose amplitude rises linearly."""
    low, high = np.log(SWEEP_RANGE)
    frequency = np.minimum(np.exp(np.linspace(low, high, size)), 0.45 * sample_rate)
    return np.sin(2 * np.pi * np.cumsum(frequency) / sample_rate) * np.linspace(0.05, 1, size)


def _noise(size: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return white noise that decays."""
    return rng.normal(size=size) * np.exp(-3 * np.arange(size) / size)


def _pause(size: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(size)


def _string(size: int, sample_rate: int, pitch: int, rng: np.random.Generator) -> np.ndarray:
    """Return a plucked string of Karplus & Strong 1983.

    With the period p, a burst x of noise in the first p samples, and the damping ρ:

        y_t = x_t + ρ (y_{t-p} + y_{t-p-1}) / 2

    A whole period depends on earlier ones only, and is computed at once.
    """
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    period = max(2, round(sample_rate / frequency - 0.5))
    damping = 10 ** (-3 / (frequency * rng.uniform(1, 4)))  # -60 dB after 1 to 4 seconds
    periods = -(-size // period) + 1
    signal = np.zeros(period * periods + 1)  # preceded by one zero
    burst = rng.uniform(-1, 1, period)
    signal[1 : period + 1] = np.convolve(burst, np.ones(3) / 3, "same")  # picked with a soft plectrum
    for start in range(period + 1, len(signal), period):
        previous = signal[start - period - 1 : start]
        signal[start : start + period] = 0.5 * damping * (previous[1:] + previous[:-1])
    return signal[1 : size + 1]
