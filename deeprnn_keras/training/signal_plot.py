"""Picture of the output of an audio model beside the recorded one: waveforms and spectrograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras._types import PathLike
from deeprnn_keras.training.plotting import (
    MUTED_COLOR,
    TEXT_COLOR,
    VALIDATION_COLOR,
    import_pyplot,
    save_figure,
    set_legend,
    set_title,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES, COLORS = ("target", "model", "difference"), (TEXT_COLOR, VALIDATION_COLOR, MUTED_COLOR)
CLOSE_UP = 0.02  # seconds
FFT, MAX_FRAMES = 1024, 1500
RANGE = 80.0  # dB below the loudest bin
COLUMNS = 2000  # of a waveform, each drawn from its least to its greatest sample


def plot_signals(target: np.ndarray, output: np.ndarray, sample_rate: int, path: PathLike, title: str) -> None:
    """Plot target, output, and their difference as waveforms and spectrograms, as a PNG file.

    Args:
        target: Recorded output of a device, (T,).
        output: Output of the model, (T,).
        sample_rate: Sample rate in Hz.
        path: Path of the file.
        title: Title of the plot.
    """
    signals = (target, output, target - output)
    figure = import_pyplot().figure(figsize=(12, 8.5), dpi=110, layout="constrained")
    close_up, *rows = figure.subplots(4, 2, width_ratios=(1, 1.6), height_ratios=(1.15, 1, 1, 1))
    grid = close_up[0].get_gridspec()
    for axes in close_up:
        axes.remove()
    wide = figure.add_subplot(grid[0, :])
    _plot_close_up(wide, signals, sample_rate)
    limit = 1.05 * max(float(np.abs(signal).max()) for signal in signals[:2]) or 1.0
    spectra = [_decibels(signal, sample_rate) for signal in signals]
    top = max(float(spectrum.max()) for spectrum in spectra[:2])
    seconds = len(target) / sample_rate
    image = None
    for (wave, picture), name, signal, spectrum, color in zip(rows, NAMES, signals, spectra, COLORS, strict=True):
        _plot_wave(wave, signal, sample_rate, color)
        wave.set(ylabel=name, ylim=(-limit, limit), xlim=(0, seconds))
        extent = (0, seconds, 0, sample_rate / 2000)
        options = {"aspect": "auto", "origin": "lower", "cmap": "magma", "interpolation": "nearest"}
        image = picture.imshow(spectrum, extent=extent, vmin=top - RANGE, vmax=top, **options)
        picture.set(ylabel="kHz")
    for axes in rows[-1]:
        axes.set_xlabel("seconds")
    figure.colorbar(image, ax=[row[1] for row in rows], label="dB", shrink=0.9)
    set_legend(figure, wide, "outside right upper", columns=1)
    set_title(figure, title)
    save_figure(figure, path)


def _plot_close_up(axes: Axes, signals: Sequence[np.ndarray], sample_rate: int) -> None:
    """Plot the 20 ms around the loudest sample of the target."""
    size = min(round(CLOSE_UP * sample_rate), len(signals[0]))
    start = int(np.clip(np.abs(signals[0]).argmax() - size // 2, 0, len(signals[0]) - size))
    times = 1000 * np.arange(size) / sample_rate
    for name, signal, color, width in zip(NAMES, signals, COLORS, (2.4, 1.0, 1.0), strict=True):
        axes.plot(times, signal[start : start + size], color=color, linewidth=width, label=name)
    axes.set(xlabel=f"milliseconds after {start / sample_rate:.3f} s", xlim=(0, times[-1] or 1))
    style_axes(axes)


def _plot_wave(axes: Axes, signal: np.ndarray, sample_rate: int, color: str) -> None:
    """Plot a waveform as the range of the samples of each column."""
    step = max(1, len(signal) // COLUMNS)
    columns = signal[: len(signal) // step * step].reshape(-1, step)
    times = step * np.arange(len(columns)) / sample_rate
    axes.fill_between(times, columns.min(1), columns.max(1), color=color, linewidth=0.4)
    style_axes(axes)


def _decibels(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the power of a spectrogram in dB, (frequencies, frames)."""
    padded = np.pad(signal, (0, max(0, FFT - len(signal))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, FFT)
    hop = max(FFT // 4, -(-len(windows) // MAX_FRAMES))
    spectrum = np.fft.rfft(windows[::hop] * np.hanning(FFT), axis=1)
    return 10 * np.log10(np.abs(spectrum.T) ** 2 / FFT + 1e-12)
