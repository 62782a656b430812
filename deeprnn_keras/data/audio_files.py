"""Recordings in files: reading, and the faults of a recording that training would hide."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from deeprnn_keras._types import PathLike
from deeprnn_keras.extras import import_optional
from deeprnn_keras.reading import DamagedFileError, damage_reported, require_regular_file

EXPECTED = "a recording that soundfile reads (convert it to WAV or FLAC)"
FULL_SCALE = 0.9999  # the largest sample of 16 bits is 0.99997
FLAT = 1e-4  # difference of neighboring samples of a clipped peak
CLIPPED_RUN = 3  # samples; fewer at full scale occur in a recording that has been normalized to its peak
SILENT_PEAK = 1e-4  # -80 dB


@dataclass(frozen=True, eq=False)
class Recording:
    """Samples of one channel of a file.

    Attributes:
        path: Path of the file.
        samples: The samples as float32, (T,); full scale is 1.
        sample_rate: Sample rate in Hz.
    """

    path: str
    samples: np.ndarray
    sample_rate: int


def import_soundfile() -> ModuleType:
    """Return the package soundfile."""
    return import_optional("soundfile", "audio", "Reading and writing recordings")


def read_recording(path: PathLike, channel: int | None = None) -> Recording:
    """Read one channel of a recording.

    Args:
        path: File in a format that soundfile reads.
        channel: Channel, from 0; None for the only one. A file with one channel is read as it is.

    Raises:
        FileNotFoundError: If the file does not exist.
        ImportError: If soundfile is missing.
        ValueError: If the file is not readable, has several channels and none is selected, or is empty, clipped,
            silent, or not finite.
    """
    soundfile, file = import_soundfile(), require_regular_file(path)
    with damage_reported(path, EXPECTED, soundfile.SoundFileError):
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    samples = _select(os.fspath(path), samples, channel)
    _check(os.fspath(path), samples, rate)
    return Recording(os.fspath(path), samples, rate)


def save_recording(samples: np.ndarray, sample_rate: int, path: PathLike) -> None:
    """Write a WAV file of 24 bits; samples beyond full scale are limited to it.

    Args:
        samples: Samples, (T,).
        sample_rate: Sample rate in Hz.
        path: Path of the file, which is overwritten if it exists.
    """
    from deeprnn_keras.writing import atomic_write

    with atomic_write(path) as temporary_path:
        import_soundfile().write(temporary_path, samples, sample_rate, subtype="PCM_24", format="WAV")


def _select(path: str, samples: np.ndarray, channel: int | None) -> np.ndarray:
    """Return one channel, (T,)."""
    count = samples.shape[1]
    if count == 1:
        return samples[:, 0].copy()
    if channel is None or channel >= count:
        raise ValueError(
            f"{path} has {count} channels, got channel={channel}; pass the one to read, from 0 to {count - 1}, or "
            "export the recording in mono"
        )
    return samples[:, channel].copy()


def _check(path: str, samples: np.ndarray, sample_rate: int) -> None:
    """Raise a ValueError that names the first fault of a recording."""
    if not len(samples):
        raise DamagedFileError(path, "the recording is empty; record it again")
    invalid = np.flatnonzero(~np.isfinite(samples))
    if len(invalid):
        raise ValueError(
            f"{path} has {len(invalid):,} NaN or infinite samples, the first at {invalid[0] / sample_rate:.3f} s; "
            "export the recording again"
        )
    peak = np.abs(samples).max()
    if peak < SILENT_PEAK:
        level = f"its peak is {20 * np.log10(peak):.0f} dB" if peak else "all samples are 0"
        raise ValueError(f"{path} is silent: {level}; check the cable and the level, and record it again")
    starts, sizes = _clipped_runs(samples)
    if len(starts):
        raise ValueError(
            f"{path} is clipped: {sizes.sum():,} samples at full scale in {len(starts):,} places, the first at "
            f"{starts[0] / sample_rate:.3f} s; record it again at a lower level"
        )


def _clipped_runs(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first sample and the length of each flat run at full scale."""
    at_limit = np.abs(samples) >= FULL_SCALE
    flat = at_limit[1:] & at_limit[:-1] & (np.abs(np.diff(samples)) <= FLAT)  # pairs of neighbors
    edges = np.diff(np.concatenate([[0], flat.astype("int8"), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    sizes = ends - starts + 1
    return starts[sizes >= CLIPPED_RUN], sizes[sizes >= CLIPPED_RUN]
