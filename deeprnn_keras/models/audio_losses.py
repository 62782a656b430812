"""Losses and metric of audio effects: `ErrorToSignal`, `MultiResolutionSTFT`, and `ESR`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras import _compat, checks
from deeprnn_keras._types import Config, Tensor
from deeprnn_keras.keras_objects import ChecksConfig

PRE_EMPHASIS = 0.85
RESOLUTIONS = ((512, 50, 240), (1024, 120, 600), (2048, 240, 1200))
"""FFT length, hop, and window length in samples, of Yamamoto, Song, and Kim 2020."""

MIN_POWER = 1e-8
"""Smallest power of a bin of a spectrum: the square root and the logarithm have no gradient at 0."""


class _SignalLoss(ChecksConfig, keras.losses.Loss):
    """Loss of whole signals, which is one number for a batch.

    Args:
        burn_in: Number of samples at the start of each sequence that are not counted.
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.
    """

    def __init__(self, burn_in: int, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, reduction=None, **kwargs)
        self.burn_in = checks.non_negative_int("burn_in", burn_in)

    @override
    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            y_true: Target, (n, T) or (n, T, 1).
            y_pred: Output of a model, of the same shape.
            sample_weight: Weights, (n,), (n, T), or (n, T, 1); 0 for samples that are not counted. None for 1.

        Raises:
            ValueError: If a shape is not supported, or no sample is left after `burn_in`.
        """
        mask = _compat.keras_mask(y_pred)
        target, output = (ops.convert_to_tensor(one, self.dtype) for one in (y_true, y_pred))
        with keras.name_scope(self.name):
            return self.of_signals(*_signals(target, output, [mask, sample_weight], self.burn_in))

    def of_signals(self, target: Tensor, error: Tensor, weights: Tensor) -> Tensor:
        """Return the loss of whole signals.

        Args:
            target: y, (n, T).
            error: y - ŷ, (n, T).
            weights: Weights, (n, T), 0 in the burn-in.
        """
        raise NotImplementedError

    @override
    def get_config(self) -> Config:
        config = super().get_config()
        config.pop("reduction")
        return {**config, "burn_in": self.burn_in}


def _signals(
    target: Tensor, output: Tensor, factors: Sequence[Tensor | None], burn_in: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return target, error, and weights, each (n, T); the weights of the first `burn_in` samples are 0."""
    target, output = (_mono(name, one) for name, one in (("y_true", target), ("y_pred", output)))
    if target.shape[1] is not None and target.shape[1] <= burn_in:
        raise ValueError(f"burn_in must be below the number of samples of a sequence, {target.shape[1]}, got {burn_in}")
    steps = ops.arange(ops.shape(target)[1])
    weights = ops.cast(steps >= burn_in, target.dtype) * ops.ones_like(target)
    for factor in factors:
        if factor is not None:
            factor = ops.cast(factor, target.dtype)
            weights = weights * (factor[:, None] if len(factor.shape) == 1 else _mono("sample_weight", factor))
    return target, target - output, weights


def _mono(name: str, signal: Tensor) -> Tensor:
    """Return a signal (n, T) or (n, T, 1) as (n, T)."""
    if len(signal.shape) == 3 and signal.shape[2] == 1:
        return signal[:, :, 0]
    if len(signal.shape) != 2:
        raise ValueError(f"{name} must have shape (n, T) or (n, T, 1), got {tuple(signal.shape)}")
    return signal


def _emphasized(signal: Tensor, coefficient: float) -> Tensor:
    """Return x_t - coefficient x_{t-1}, with 0 before the first sample."""
    if not coefficient:
        return signal
    return signal - coefficient * ops.pad(signal[:, :-1], [[0, 0], [1, 0]])


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class ErrorToSignal(_SignalLoss):
    """Error-to-signal ratio of pre-emphasized signals plus a term for the offset (Wright et al. 2019).

        loss = Σ (y'_t - ŷ'_t)² / Σ y'_t² + dc Σ_rows T (mean_t(y_t - ŷ_t))² / Σ y_t² + stft MultiResolutionSTFT,
        y'_t = y_t - pre_emphasis y_{t-1}

    The sums run over all samples of the batch, weighted by the sample weights; 0 is perfect, and 1 is the loss of
    silence. The filter gives high frequencies, which have little energy and are heard well, more weight.
    Normalization by the energy of the target gives quiet passages as much weight as loud ones.

    Args:
        pre_emphasis: Coefficient of the filter, from 0 (none) to below 1.
        dc: Weight of the term for the offset, >= 0.
        stft: Weight of `MultiResolutionSTFT`, >= 0; 0 leaves it out.
        burn_in: Number of samples at the start of each sequence that are not counted: those in which the states of a
            model settle. With carried states, pass sample weights of 0 in the first window instead.
        epsilon: Smallest mean square of the target by which errors are divided, so that the loss of a silent batch is
            finite. The default is that of a signal at -50 dB.
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`, except `reduction`.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Wright, Damskägg, and Välimäki 2019, Real-Time Black-Box Modelling with Recurrent Neural Networks, DAFx-19.

    >>> import numpy as np
    >>> from deeprnn_keras.models import ErrorToSignal
    >>> y = np.sin(np.arange(100.0))[None, :, None]
    >>> [round(float(ErrorToSignal()(y, gain * y)), 4) for gain in (1.0, 0.9, 0.0)]
    [0.0, 0.01, 1.0]
    """

    def __init__(
        self,
        pre_emphasis: float = PRE_EMPHASIS,
        dc: float = 1.0,
        stft: float = 0.0,
        burn_in: int = 0,
        epsilon: float = 1e-5,
        name: str = "error_to_signal",
        **kwargs: Any,
    ) -> None:
        super().__init__(burn_in, name, **kwargs)
        self.pre_emphasis = checks.rate("pre_emphasis", pre_emphasis)
        self.dc, self.stft = checks.non_negative("dc", dc), checks.non_negative("stft", stft)
        self.epsilon = checks.positive("epsilon", epsilon)
        self._spectra = MultiResolutionSTFT(burn_in=burn_in, dtype=self.dtype) if self.stft else None

    @override
    def of_signals(self, target: Tensor, error: Tensor, weights: Tensor) -> Tensor:
        emphasized = [_emphasized(one, self.pre_emphasis) for one in (target, error)]
        energy, of_error = (_mean_square(one, weights) for one in emphasized)
        loss = of_error / ops.maximum(energy, self.epsilon)
        if self.dc:
            offset = ops.sum(weights * error, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1.0)
            energy = _mean_square(target, weights)
            loss += self.dc * _mean_square(offset[:, None], weights) / ops.maximum(energy, self.epsilon)
        if self._spectra is not None:
            loss += self.stft * self._spectra.of_signals(target, error, weights)
        return loss

    @override
    def get_config(self) -> Config:
        names = ("pre_emphasis", "dc", "stft", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _mean_square(signal: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of the squares of (n, T) or (n, 1); 0 if all weights are 0."""
    total = ops.sum(weights)
    return ops.sum(weights * ops.square(signal)) / ops.where(total > 0, total, 1.0)


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class MultiResolutionSTFT(_SignalLoss):
    """Distance of the magnitudes of spectrograms at several resolutions (Yamamoto, Song, and Kim 2020).

        loss = mean_r [ |S_r(y) - S_r(ŷ)|_F / |S_r(y)|_F + mean |log S_r(y) - log S_r(ŷ)| ]

    S_r is the magnitude of the short-time Fourier transform at resolution r, and |.|_F the Frobenius norm over the
    batch. The loss ignores phases, so that it is used beside `ErrorToSignal`, as its argument `stft`. Samples of weight
    0 are silent in both signals. Sequences must be longer than half the longest FFT.

    Args:
        resolutions: FFT length, hop, and window length in samples, for each resolution.
        burn_in: Number of samples at the start of each sequence that are not counted.
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`, except `reduction`.

    Raises:
        ValueError: If a resolution is not three positive integers, a window is longer than its FFT, or a sequence is
            too short.

    References:
        Yamamoto, Song, and Kim 2020, Parallel WaveGAN, arXiv:1910.11480.

    >>> import numpy as np
    >>> from deeprnn_keras.models import MultiResolutionSTFT
    >>> y = np.sin(np.arange(2048.0))[None]
    >>> round(float(MultiResolutionSTFT()(y, -y)), 4)
    0.0
    """

    def __init__(
        self,
        resolutions: Sequence[Sequence[int]] = RESOLUTIONS,
        burn_in: int = 0,
        name: str = "multi_resolution_stft",
        **kwargs: Any,
    ) -> None:
        super().__init__(burn_in, name, **kwargs)
        self.resolutions = [_checked_resolution(one) for one in resolutions]
        if not self.resolutions:
            raise ValueError("resolutions must have at least 1 entry (FFT length, hop, window length), got none")

    @override
    def of_signals(self, target: Tensor, error: Tensor, weights: Tensor) -> Tensor:
        samples, longest = target.shape[1], max(fft for fft, _, _ in self.resolutions)
        if samples is not None and samples - self.burn_in <= longest // 2:
            raise ValueError(
                f"{self.name}: sequences must have more than {longest // 2} samples after burn_in={self.burn_in}, half "
                f"the longest FFT, got {samples}; use longer sequences or shorter resolutions"
            )
        audible = weights[:, self.burn_in :]
        pair = [one[:, self.burn_in :] * audible for one in (target, target - error)]
        losses = [_spectral_distance(*(_magnitudes(one, *sizes) for one in pair)) for sizes in self.resolutions]
        return sum(losses) / len(losses)

    @override
    def get_config(self) -> Config:
        return {**super().get_config(), "resolutions": [list(one) for one in self.resolutions]}


def _checked_resolution(sizes: Sequence[int]) -> tuple[int, int, int]:
    values = tuple(sizes) if isinstance(sizes, (list, tuple)) else ()
    if len(values) != 3:
        raise ValueError(f"resolutions must have entries (FFT length, hop, window length), got {sizes!r}")
    fft, hop, window = (checks.positive_int("resolutions", one) for one in values)
    if window > fft:
        raise ValueError(f"resolutions must have windows no longer than their FFT, got {fft} and {window}")
    return fft, hop, window


def _magnitudes(signal: Tensor, fft: int, hop: int, window: int) -> Tensor:
    """Return the magnitudes of a spectrogram (n, frames, fft // 2 + 1)."""
    real, imaginary = ops.stft(signal, sequence_length=window, sequence_stride=hop, fft_length=fft)
    return ops.sqrt(ops.maximum(ops.square(real) + ops.square(imaginary), MIN_POWER))


def _spectral_distance(target: Tensor, output: Tensor) -> Tensor:
    """Return spectral convergence plus the mean distance of logarithms."""
    convergence = ops.sqrt(ops.sum(ops.square(target - output)) + MIN_POWER) / ops.sqrt(ops.sum(ops.square(target)))
    return convergence + ops.mean(ops.abs(ops.log(target) - ops.log(output)))


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class ESR(ChecksConfig, keras.metrics.Metric):
    """Error-to-signal ratio over all samples of an epoch.

        ESR = Σ_i a_i (y_i - ŷ_i)² / Σ_i a_i y_i²

    The sums run over the whole epoch, so that the result does not depend on the batch size. a_i is the sample weight,
    which Keras passes to `weighted_metrics` only. Without samples, or if the target is silent, the result is NaN or
    inf.

    Args:
        pre_emphasis: Coefficient of the filter of `ErrorToSignal`; 0 for the plain signals.
        burn_in: Number of samples at the start of each sequence that are not counted.
        name: Name of the metric in the logs.
        dtype: Dtype of both sums, "float32" or "float64", independent of the model's dtype policy.

    Raises:
        ValueError: If an argument is out of range.

    >>> import numpy as np
    >>> from deeprnn_keras.models import ESR
    >>> metric = ESR()
    >>> metric.update_state(np.ones((1, 4, 1)), np.full((1, 4, 1), 0.9))
    >>> round(float(metric.result()), 4)
    0.01
    """

    def __init__(self, pre_emphasis: float = 0.0, burn_in: int = 0, name: str = "esr", dtype: str = "float32") -> None:
        super().__init__(dtype=checks.one_of("dtype", dtype, ("float32", "float64")), name=name)
        self.pre_emphasis = checks.rate("pre_emphasis", pre_emphasis)
        self.burn_in = checks.non_negative_int("burn_in", burn_in)
        self.error = self.add_variable((), "zeros", self.dtype, name="error")
        self.energy = self.add_variable((), "zeros", self.dtype, name="energy")
        self._direction = "down"  # read by keras.callbacks.EarlyStopping for mode="auto"

    @override
    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add the samples of a batch.

        Args:
            y_true: Target, (n, T) or (n, T, 1).
            y_pred: Output of a model, of the same shape.
            sample_weight: Weights, (n,), (n, T), or (n, T, 1); None for 1.

        Raises:
            ValueError: If a shape is not supported, or no sample is left after `burn_in`.
        """
        mask = _compat.keras_mask(y_pred)
        target, output = (ops.cast(one, self.dtype) for one in (y_true, y_pred))
        target, error, weights = _signals(target, output, [mask, sample_weight], self.burn_in)
        for total, signal in ((self.error, error), (self.energy, target)):
            total.assign_add(ops.sum(weights * ops.square(_emphasized(signal, self.pre_emphasis))))

    @override
    def result(self) -> Tensor:
        """Return the ratio."""
        return ops.divide(self.error, self.energy)

    @override
    def get_config(self) -> Config:
        return {**super().get_config(), "pre_emphasis": self.pre_emphasis, "burn_in": self.burn_in}
