"""`AudioPair`: a dry recording and the same signal through a device; `audio_pair` reads one from two files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike
from deeprnn_keras.data.alignment import MAX_LATENCY, check_related, find_latency
from deeprnn_keras.data.audio_files import Recording, read_recording
from deeprnn_keras.data.values import numeric_array

SILENCE = 1e-3  # of the peak of the dry signal, -60 dB: what is below it at both ends is trimmed
TAIL = 0.1  # seconds after the end of the dry signal that are kept, in which the device rings out
VALIDATION_FRACTION = TEST_FRACTION = 0.1


@dataclass(frozen=True, eq=False)
class AudioPair:
    """Dry signal x and wet signal y of a device, sample by sample: y_t is a function of x_1, ..., x_t.

    Attributes:
        dry: Input of the device, (T,), float32.
        wet: Output of the device, (T,), float32.
        sample_rate: Sample rate in Hz.
        latency: Number of samples by which the wet recording was delayed, and which have been removed.
        name: Name in reports.
        knobs: Positions of the knobs of the device, constant during the recording: K numbers, by convention in [0, 1].

    Raises:
        ValueError: If the signals are not finite numbers of shape (T,) with the same T, or a value is out of range.

    >>> import numpy as np
    >>> from deeprnn_keras.data import AudioPair
    >>> x = np.sin(np.arange(480.0))
    >>> pair = AudioPair(x, np.tanh(3 * x), sample_rate=48000, knobs=(0.5,))
    >>> pair.inputs.shape, pair.seconds
    ((480, 2), 0.01)
    """

    dry: np.ndarray
    wet: np.ndarray
    sample_rate: int
    latency: int = 0
    name: str = "audio"
    knobs: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        checks.store(self, dry=_signal("dry", self.dry), wet=_signal("wet", self.wet))
        if len(self.dry) != len(self.wet):
            raise ValueError(
                f"dry and wet must have the same number of samples, got {len(self.dry):,} and {len(self.wet):,}; read "
                "recordings with audio_pair, which aligns them"
            )
        checks.store(
            self,
            sample_rate=checks.positive_int("sample_rate", self.sample_rate),
            latency=checks.integer("latency", self.latency),
            knobs=tuple(checks.number("knobs", knob) for knob in self.knobs),
        )

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.dry) / self.sample_rate

    @property
    def inputs(self) -> np.ndarray:
        """Inputs of a model: the dry signal, and one constant column per knob, (T, 1 + K)."""
        columns = [self.dry, *(np.full(len(self.dry), knob, "float32") for knob in self.knobs)]
        return np.stack(columns, axis=1)

    def slice(self, start: int, stop: int) -> Self:
        """Return the samples from `start` to `stop`, the latter excluded.

        Args:
            start: First sample.
            stop: End.

        Raises:
            ValueError: If there are no samples between them.
        """
        start, stop = checks.non_negative_int("start", start), checks.positive_int("stop", stop)
        return type(self)(
            self.dry[start:stop], self.wet[start:stop], self.sample_rate, self.latency, self.name, self.knobs
        )

    def split(self) -> tuple[Self, Self, Self]:
        """Return the first 80 % for training, the next 10 % for validation, and the last 10 % as a test.

        Raises:
            ValueError: If the pair has fewer than 10 samples.
        """
        size = len(self.dry)
        if size < 10:
            raise ValueError(f"{self.name} must have at least 10 samples to be split, got {size}")
        test = round((1 - TEST_FRACTION) * size)
        validation = round((1 - TEST_FRACTION - VALIDATION_FRACTION) * size)
        return self.slice(0, validation), self.slice(validation, test), self.slice(test, size)


def audio_pair(
    dry: PathLike,
    wet: PathLike,
    *,
    channel: int | None = None,
    latency: int | None = None,
    trim: bool = True,
    knobs: Sequence[float] = (),
    name: str | None = None,
) -> AudioPair:
    """Read a dry and a wet recording, align them, and trim silence at both ends.

    The latency is the delay between the first sample of the dry signal and the first reaction of the device. It is the
    onset of the impulse response h that maps dry to wet in the sense of least squares, computed from the
    cross-correlation of the recordings by the fast Fourier transform (X, Y are their transforms):

        h = F^-1[conj(X) Y / (|X|² + λ mean |X|²)]

    A wet recording that starts too early has a negative latency.

    Args:
        dry: Recording of the input of the device: WAV, FLAC, AIFF, or another format of the package soundfile, with 16,
            24, or 32 bits or floating-point samples, at any rate.
        wet: Recording of its output at the same rate.
        channel: Channel to read, from 0, if a recording has several.
        latency: Latency in samples, if it is known; None to measure it.
        trim: If True, remove silence, below -60 dB of the peak of the dry signal, at both ends.
        knobs: Positions of the knobs of the device; see `AudioPair`. For one model of several positions, pass pairs
            with different knobs to `audio_batches`.
        name: Name in reports; None for the name of the wet file.

    Raises:
        FileNotFoundError: If a file does not exist.
        ImportError: If soundfile or SciPy is missing; the extra `audio` installs them.
        ValueError: If a file is not readable, clipped, silent, or not finite; if the recordings differ in rate,
            number of channels, or length; if no latency is found; or if the wet signal is not a function of the dry
            one.

    >>> import pathlib, soundfile, tempfile
    >>> from deeprnn_keras.data import audio_pair, simulated_amplifier
    >>> amplifier, folder = simulated_amplifier(3.0, seed=1), pathlib.Path(tempfile.mkdtemp())
    >>> soundfile.write(folder / "in.wav", amplifier.dry[250:], 48000)
    >>> soundfile.write(folder / "out.wav", amplifier.wet, 48000)
    >>> audio_pair(folder / "in.wav", folder / "out.wav").latency
    250
    """
    trim = checks.flag("trim", trim)
    channel = None if channel is None else checks.non_negative_int("channel", channel)
    latency = None if latency is None else checks.integer("latency", latency)
    recordings = read_recording(dry, channel), read_recording(wet, channel)
    _check_comparable(*recordings)
    x, y = (recording.samples for recording in recordings)
    rate = recordings[0].sample_rate
    if latency is None:
        latency = find_latency(x, y, rate, (str(dry), str(wet)))
    x, y = _shifted(x, y, latency, rate)
    check_related(x, y, (str(dry), str(wet)), latency)
    if trim:
        start, stop = _sounding(x, rate)
        x, y = x[start:stop], y[start:stop]
    return AudioPair(x, y, rate, latency, name or Path(wet).stem, tuple(knobs))


def _signal(name: str, value: object) -> np.ndarray:
    """Return a signal as float32, (T,)."""
    array = numeric_array(name, value)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} must have the shape (T,) with T at least 1, got shape {array.shape}")
    array = np.ascontiguousarray(array, "float32")
    if not np.isfinite(array).all():
        first = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{name} must hold finite samples, got {array[first]} at sample {first:,}")
    return array


def _check_comparable(dry: Recording, wet: Recording) -> None:
    """Raise a ValueError if two recordings differ in rate, or in length by more than a latency explains."""
    if dry.sample_rate != wet.sample_rate:
        raise ValueError(
            f"{dry.path} has a sample rate of {dry.sample_rate:,} Hz and {wet.path} one of {wet.sample_rate:,} Hz; "
            "record or export both at the same rate"
        )
    seconds = [len(recording.samples) / recording.sample_rate for recording in (dry, wet)]
    if abs(seconds[0] - seconds[1]) > MAX_LATENCY:
        raise ValueError(
            f"{dry.path} lasts {seconds[0]:.3f} s and {wet.path} {seconds[1]:.3f} s, a difference of more than the "
            f"{MAX_LATENCY:g} s that a latency explains; cut both to the same stretch"
        )


def _shifted(dry: np.ndarray, wet: np.ndarray, latency: int, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the stretch that both signals have after the wet one has been advanced by `latency` samples."""
    dry, wet = dry[max(-latency, 0) :], wet[max(latency, 0) :]
    size = min(len(dry), len(wet))
    if not size or abs(latency) > MAX_LATENCY * sample_rate:
        raise ValueError(
            f"latency must be at most {MAX_LATENCY:g} s, which is {MAX_LATENCY * sample_rate:,.0f} samples, and less "
            f"than the recordings, got {latency:,}"
        )
    return dry[:size], wet[:size]


def _sounding(dry: np.ndarray, sample_rate: int) -> tuple[int, int]:
    """Return the first sample of the dry signal that is not silence, and the end of the stretch that is kept."""
    sounding = np.flatnonzero(np.abs(dry) > SILENCE * np.abs(dry).max())
    return int(sounding[0]), min(len(dry), int(sounding[-1]) + 1 + round(TAIL * sample_rate))
