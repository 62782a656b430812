"""`process_file`: a recording in a file through a model of an audio effect, into another file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike
from deeprnn_keras.data.audio_files import EXPECTED, import_soundfile
from deeprnn_keras.program.program import Program
from deeprnn_keras.reading import damage_reported, require_regular_file
from deeprnn_keras.streaming.audio import BLOCK, Effect
from deeprnn_keras.writing import atomic_write

if TYPE_CHECKING:
    import keras

FLOAT_SUBTYPES = ("FLOAT", "DOUBLE")


@dataclass(frozen=True)
class ProcessedFile:
    """Result of `process_file`.

    Attributes:
        path: Path of the file.
        seconds: Duration of the recording.
        elapsed: Time that reading, processing, and writing took, in seconds.
        clipped: Number of samples beyond full scale, which were limited to it.
    """

    path: Path
    seconds: float
    elapsed: float
    clipped: int

    @property
    def speed(self) -> float:
        """Duration of the recording divided by the time that its processing took."""
        return self.seconds / max(self.elapsed, 1e-9)

    def __str__(self) -> str:
        """Return the result as text."""
        text = f"{self.path}: {self.seconds:.1f} s of audio in {self.elapsed:.2f} s, {self.speed:.0f} times real time"
        if self.clipped:
            text += f"; {self.clipped:,} samples beyond full scale were limited to it"
        return text


def process_file(
    model: keras.Model | Program,
    source: PathLike,
    target: PathLike,
    *,
    knobs: Sequence[float] = (),
    resample: bool = False,
    overwrite: bool = False,
) -> ProcessedFile:
    """Write a recording that has passed through a model of an audio effect.

    The file is read, processed, and written in blocks. The result has the sample rate, channels, and sample format of
    the source, and as many samples; each channel passes through the model alone. It is written beside the target and
    renamed.

    Args:
        model: An `AudioEffect`, or a `Program` or Keras model from features (n, T, d) to (n, T, 1).
        source: File that soundfile reads: WAV, FLAC, AIFF, ...
        target: File to write; its suffix selects the format.
        knobs: Positions of the knobs, one number for each input of the model after the first.
        resample: If True, resample a recording of another sample rate to that of the model, and the result back.
        overwrite: Replace an existing target.

    Raises:
        FileExistsError: If the target exists and `overwrite` is False.
        FileNotFoundError: If the source does not exist.
        ImportError: If soundfile is missing.
        ValueError: If soundfile does not read the source, the suffix of the target is unknown, the sample rates differ
            and `resample` is False, or `knobs` do not fit the model.

    >>> import tempfile
    >>> import numpy as np, soundfile
    >>> from deeprnn_keras import AudioEffect
    >>> from deeprnn_keras.streaming import process_file
    >>> directory = tempfile.mkdtemp()
    >>> soundfile.write(f"{directory}/in.wav", np.sin(np.arange(4800.0)), 48_000)
    >>> process_file(AudioEffect(4), f"{directory}/in.wav", f"{directory}/out.flac").seconds
    0.1
    """
    resample, overwrite = checks.flags(resample=resample, overwrite=overwrite)
    target, source = Path(target), require_regular_file(source)
    soundfile = import_soundfile()
    file_format = _format(soundfile, target)
    if target.exists() and not overwrite:
        raise FileExistsError(f"target {str(target)!r} exists; pass another path or overwrite=True")
    with damage_reported(source, EXPECTED, soundfile.SoundFileError):
        read = soundfile.SoundFile(source)
    with read:
        effect = Effect(model, read.channels, knobs)
        ratio = effect.rate_ratio(read.samplerate, resample)
        supported = soundfile.check_format(file_format, read.subtype)
        subtype = read.subtype if supported else soundfile.default_subtype(file_format)
        options = {"samplerate": read.samplerate, "channels": read.channels, "subtype": subtype, "format": file_format}
        start, written, clipped = time.perf_counter(), 0, 0
        with atomic_write(target) as temporary_path, soundfile.SoundFile(temporary_path, "w", **options) as write:
            for block in effect.run(_blocks(soundfile, read, source), ratio):
                block = block[: read.tell() - written]
                clipped += 0 if subtype in FLOAT_SUBTYPES else int(np.count_nonzero(np.abs(block) > 1))
                write.write(block)
                written += len(block)
        seconds = written / read.samplerate
    return ProcessedFile(target, seconds, time.perf_counter() - start, clipped)


def _format(soundfile: Any, target: Path) -> str:  # noqa: ANN401 - a module
    """Return the format of a suffix."""
    formats, name = soundfile.available_formats(), target.suffix[1:].upper()
    name = {"AIF": "AIFF", "OGA": "OGG"}.get(name, name)
    if name not in formats:
        known = ", ".join(f".{one.lower()}" for one in formats)
        raise ValueError(f"target must have the suffix of an audio format, got {str(target)!r}; supported are {known}")
    return name


def _blocks(soundfile: Any, read: Any, source: Path) -> Iterator[np.ndarray]:  # noqa: ANN401 - module, SoundFile
    """Yield the samples of an open file, (T, channels)."""
    block = None
    while block is None or len(block):
        with damage_reported(source, EXPECTED, soundfile.SoundFileError):
            block = read.read(BLOCK, dtype="float32", always_2d=True)
        yield block
