"""`process`: whole recordings through a model of an audio effect, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.program.program import Program
from deeprnn_keras.streaming.resampling import resampled
from deeprnn_keras.streaming.stream import Stream

if TYPE_CHECKING:
    import keras

BLOCK = 1 << 16
"""Samples that are processed at a time; the memory does not depend on the length of a recording."""


class Effect:
    """A model of an audio effect with its states, for one or several channels that are independent of each other.

    Args:
        model: An `AudioEffect`, or a `Program` or Keras model from features (n, T, d) to (n, T, 1).
        channels: Number of channels of the audio, the batch size of the stream.
        knobs: Positions of the knobs: one number for each input after the first.
        stream: Stream of the model whose states are used; None for a new one.

    Raises:
        ValueError: If the model is of another kind, or `knobs` or `stream` do not fit.
    """

    def __init__(
        self,
        model: keras.Model | Program,
        channels: int = 1,
        knobs: Sequence[float] = (),
        stream: Stream | None = None,
    ) -> None:
        self.stream = Stream(model, channels) if stream is None else stream
        self.program = self.stream.program
        _check_program(self.program)
        if self.stream.batch_size != channels:
            raise ValueError(
                f"stream must have a batch size of {channels}, the number of channels, got {self.stream.batch_size}"
            )
        self.knobs = [checks.number("knobs", knob) for knob in knobs]
        expected = self.program.inputs[0].width - 1
        if len(self.knobs) != expected:
            raise ValueError(
                f"knobs must have {expected} numbers for model {self.program.name!r}, which reads {expected + 1} "
                f"channels, got {len(self.knobs)}"
            )

    def rate_ratio(self, sample_rate: int | None, resample: bool) -> Fraction:
        """Return the sample rate of the model divided by that of the audio.

        Raises:
            ValueError: If they differ and `resample` is False.
        """
        own = self.program.attributes.get("sample_rate")
        if sample_rate is None or own in (None, sample_rate):
            return Fraction(1)
        if not resample:
            raise ValueError(
                f"sample_rate must be that of model {self.program.name!r}, {own:,} Hz, got {sample_rate:,} Hz: at "
                "another rate the model is another effect; pass resample=True (--resample), or a recording at that rate"
            )
        return Fraction(own, sample_rate)

    def run(self, blocks: Iterable[np.ndarray], ratio: Fraction = Fraction(1)) -> Iterator[np.ndarray]:
        """Yield the output of each block of audio, (T, channels) -> (T, channels), in blocks of other lengths.

        Args:
            blocks: Blocks of float32.
            ratio: Sample rate of the model divided by that of the audio; the audio is resampled there and back.

        Raises:
            ValueError: If a sample is not finite.
        """
        if ratio == 1:
            return self._outputs(_finite(blocks))
        there = resampled(_finite(blocks), ratio.numerator, ratio.denominator)
        return resampled(self._outputs(there), ratio.denominator, ratio.numerator)

    def _outputs(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            x = np.empty((block.shape[1], len(block), 1 + len(self.knobs)), np.float32)
            x[:, :, 0], x[:, :, 1:] = block.T, self.knobs
            out = np.empty((*x.shape[:2], 1), np.float32)
            self.stream.push(x, out=out)
            yield out[:, :, 0].T


def _check_program(program: Program) -> None:
    reads_audio = len(program.inputs) == 1 and not program.inputs[0].ids
    widths = [program.widths[name] for name in program.outputs]
    if not reads_audio or widths != [1]:
        raise ValueError(
            f"model must be a model of an audio effect, from features (n, T, d) to (n, T, 1), got {program.name!r} "
            f"with {len(program.inputs)} inputs and outputs of width {widths}"
        )


def _finite(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    start = 0
    for block in blocks:
        invalid = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(invalid):
            raise ValueError(
                f"audio must be finite, but sample {start + invalid[0]:,} is NaN or infinite; export it again"
            )
        start += len(block)
        yield block


def process(
    model: keras.Model | Program,
    audio: Any,  # noqa: ANN401 - an array or nested sequence
    sample_rate: int | None = None,
    *,
    knobs: Sequence[float] = (),
    stream: Stream | None = None,
    resample: bool = False,
) -> np.ndarray:
    """Return audio that has passed through a model of an audio effect.

    The states are carried from block to block, so that the result does not depend on the blocks. It equals that of the
    native library for the whole signal at once.

    Args:
        model: An `AudioEffect`, or a `Program` or Keras model from features (n, T, d) to (n, T, 1).
        audio: Samples, (T,), or (T, C) for C channels, each of which passes through the model alone.
        sample_rate: Sample rate of the audio in Hz; None for that of the model.
        knobs: Positions of the knobs, one number for each input of the model after the first.
        stream: A stream of the model, of batch size C, that continues: its states are used and advanced. By default,
            the model starts in its initial states.
        resample: If True, resample audio of another sample rate to that of the model, and the result back.

    Returns:
        The result, float32, of the shape of `audio`.

    Raises:
        ImportError: If SciPy is missing, which resamples.
        ValueError: If an argument does not fit the model, the sample rates differ and `resample` is False, or a sample
            is not finite.

    >>> import numpy as np
    >>> from deeprnn_keras import AudioEffect
    >>> from deeprnn_keras.streaming import process
    >>> process(AudioEffect(4), np.sin(np.arange(1000.0)), sample_rate=48_000).shape
    (1000,)
    """
    sample_rate, resample = checks.positive_int_or_none("sample_rate", sample_rate), checks.flag("resample", resample)
    signal = np.asarray(audio)
    if signal.dtype.kind != "f" or signal.ndim not in (1, 2) or 0 in signal.shape[1:]:
        raise ValueError(
            "audio must be floating-point numbers of shape (T,) or (T, C) with full scale 1, got "
            f"{signal.dtype} of shape {signal.shape}"
        )
    signal = signal[:, None] if signal.ndim == 1 else signal
    result = np.empty(signal.shape, np.float32)
    effect = Effect(model, signal.shape[1], knobs, stream)
    ratio = effect.rate_ratio(sample_rate, resample)
    if stream is not None and ratio != 1:
        raise ValueError("stream is not supported with resampling, whose filter has no state; resample the audio first")
    blocks = (signal[start : start + BLOCK].astype(np.float32, copy=False) for start in range(0, len(signal), BLOCK))
    position = 0
    for block in effect.run(blocks, ratio):
        block = block[: len(result) - position]
        result[position : position + len(block)] = block
        position += len(block)
    return result.reshape(np.shape(audio))
