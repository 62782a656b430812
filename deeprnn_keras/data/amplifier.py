"""`simulated_amplifier`: a guitar amplifier with known equations, to test models of devices with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.data.audio import AudioPair
from deeprnn_keras.data.plucked_strings import guitar_signal
from deeprnn_keras.extras import import_optional

COUPLING, SCOOP, SCOOP_GAIN = 80.0, 500.0, 0.5  # Hz, Hz, -6 dB: the tone stack
SAG, SAG_TIME = 1.5, 0.08  # strength, seconds
BIAS = 0.2  # operating point of the stage
LAG_WEIGHT, LAG_WIDTH = 0.15, 0.05  # hysteresis of the output transformer
SPEAKER = 60.0, 5500.0  # Hz
LEVEL = 0.6
CHUNKS = 2048  # stretches of a signal that `play` computes side by side


def simulated_amplifier(
    seconds: float,
    sample_rate: int = 48_000,
    *,
    drive: float = 4.0,
    seed: int = 0,
    latency: int = 0,
    knobs: Sequence[float] = (),
) -> AudioPair:
    """Return a signal of plucked strings, and the same signal through a simulated guitar amplifier.

    The amplifier has the parts that make a device hard to model: linear filters, a static nonlinearity, and two kinds
    of memory. With the dry signal x at time t:

        u = T[x]                                       tone stack: high-pass at 80 Hz, -6 dB around 500 Hz
        e_t = a e_{t-1} + (1 - a) |u_t|                envelope, a = exp(-1 / (0.08 s f))
        g_t = drive / (1 + 1.5 e_t)                    sag of the supply voltage
        v_t = tanh(g_t u_t + 0.2) - tanh(0.2)          stage with an asymmetric operating point
        p_t = min(max(p_{t-1}, v_t - r), v_t + r)      play operator, the hysteresis of a core, r = 0.05
        w = 0.6 S[0.85 v + 0.15 p]                     speaker: band-pass from 60 to 5,500 Hz

    T and S are analog filters of order 1 and 2 under the bilinear transform. No sample of w depends on a later one of
    x.

    Args:
        seconds: Duration, at least 0.1.
        sample_rate: Sample rate f in Hz, at least 16,000.
        drive: Gain of the stage, between 0 and 100.
        seed: Random seed of the dry signal; the amplifier has no random part.
        latency: Number of samples by which the wet signal is delayed, as by the converters of an audio interface;
            `AudioPair.latency` of the result is 0, since it is not removed.
        knobs: `AudioPair.knobs` of the result, for example `(drive,)`.

    Raises:
        ImportError: If SciPy is missing; the extra `audio` installs it.
        ValueError: If an argument is out of range.

    >>> from deeprnn_keras.data import simulated_amplifier
    >>> pair = simulated_amplifier(0.5)
    >>> pair.name, pair.seconds, pair.dry.shape == pair.wet.shape
    ('simulated amplifier', 0.5, True)
    """
    seconds = checks.number("seconds", seconds, low=0.0999, supported="a number of seconds of at least 0.1")
    sample_rate = checks.positive_int("sample_rate", sample_rate)
    if sample_rate < 16000:
        raise ValueError(f"sample_rate must be at least 16,000, got {sample_rate:,}")
    drive = checks.number("drive", drive, 0.0, 100.0, "a number between 0 and 100")
    seed, latency = checks.non_negative_int("seed", seed), checks.non_negative_int("latency", latency)
    size = round(seconds * sample_rate)
    dry = guitar_signal(size, sample_rate, np.random.default_rng(seed))
    wet = np.concatenate([np.zeros(latency), _amplified(dry.astype("float64"), sample_rate, drive)])[:size]
    return AudioPair(dry, wet, sample_rate, name="simulated amplifier", knobs=tuple(knobs))


def _amplified(dry: np.ndarray, sample_rate: int, drive: float) -> np.ndarray:
    """Return the output of the amplifier."""
    signal = import_optional("scipy.signal", "audio", "Simulating an amplifier")
    coupled = signal.lfilter(*signal.butter(1, COUPLING, "highpass", fs=sample_rate), dry)
    omega = 2 * np.pi * SCOOP
    scoop = [1, SCOOP_GAIN * omega, omega**2], [1, omega, omega**2]
    u = signal.lfilter(*signal.bilinear(*scoop, fs=sample_rate), coupled)
    a = np.exp(-1 / (SAG_TIME * sample_rate))
    gain = drive / (1 + SAG * signal.lfilter([1 - a], [1, -a], np.abs(u)))
    v = np.tanh(gain * u + BIAS) - np.tanh(BIAS)
    core = (1 - LAG_WEIGHT) * v + LAG_WEIGHT * play(v, LAG_WIDTH)
    speaker = signal.butter(1, SPEAKER[0], "highpass", fs=sample_rate)
    cone = signal.butter(2, SPEAKER[1], "lowpass", fs=sample_rate)
    return LEVEL * signal.lfilter(*cone, signal.lfilter(*speaker, core))


def play(values: np.ndarray, width: float) -> np.ndarray:
    """Return p_t = min(max(p_{t-1}, v_t - width), v_t + width) with p_0 = 0, (T,).

    A step limits p to an interval, and so do several steps in a row. The signal is therefore cut into stretches: the
    interval of each is computed for all stretches side by side, then the first value of each, then all values.

    Args:
        values: v, (T,).
        width: Half of the width of the play.
    """
    steps = max(1, -(-len(values) // CHUNKS))
    padded = np.concatenate([values, np.full(-len(values) % steps, values[-1])]).reshape(-1, steps).T
    low, high = np.full(padded.shape[1], -np.inf), np.full(padded.shape[1], np.inf)
    for v in padded:
        low, high = (np.clip(bound, v - width, v + width) for bound in (low, high))
    state, first = 0.0, np.empty_like(low)
    for chunk, interval in enumerate(zip(low, high, strict=True)):
        first[chunk], state = state, min(max(state, interval[0]), interval[1])
    result, state = np.empty_like(padded), first
    for step, v in enumerate(padded):
        state = result[step] = np.clip(state, v - width, v + width)
    return result.T.reshape(-1)[: len(values)]
