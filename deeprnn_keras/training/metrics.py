"""Metrics of language modeling, `Perplexity` and `BitsPerCharacter`, exact over an epoch."""

from __future__ import annotations

import math

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras import _compat, checks
from deeprnn_keras._types import Config, Tensor
from deeprnn_keras.keras_objects import ChecksConfig


class _CrossEntropy(ChecksConfig, keras.metrics.Metric):
    """Sum of the cross-entropy of all steps of an epoch, in nats, and the sum of their weights."""

    def __init__(self, name: str, from_logits: bool, dtype: str) -> None:
        # independent of the model's dtype policy: float16 overflows at 65504 and rounds long sums
        super().__init__(dtype=checks.one_of("dtype", dtype, ("float32", "float64")), name=name)
        self.from_logits = checks.flag("from_logits", from_logits)
        self.total = self.add_variable((), "zeros", self.dtype, name="total")
        self.count = self.add_variable((), "zeros", self.dtype, name="count")
        self._direction = "down"  # read by keras.callbacks.EarlyStopping for mode="auto"

    @override
    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add the steps of a batch.

        Args:
            y_true: Integer targets, (n, T) or (n,).
            y_pred: Logits or probabilities, (n, T, V) or (n, V).
            sample_weight: Weights, (n, T) or (n,); None for 1.

        Raises:
            ValueError: If the shape of `y_true` or `sample_weight` does not match `y_pred`.
        """
        mask = _compat.keras_mask(y_pred)  # the cast below drops the mask
        outputs = ops.cast(y_pred, self.dtype)
        targets = ops.cast(y_true, "int64")
        rank = len(outputs.shape) - 1
        if len(targets.shape) == rank + 1 and targets.shape[-1] == 1:
            targets = ops.squeeze(targets, -1)
        if len(targets.shape) != rank:
            raise ValueError(
                f"y_true must have shape (n, T) for y_pred (n, T, V), or (n,) for y_pred (n, V); "
                f"got y_true {tuple(y_true.shape)} and y_pred {tuple(outputs.shape)}"
            )
        weights = ops.ones_like(outputs[..., 0])
        for name, factor in (("mask", mask), ("sample_weight", sample_weight)):
            if factor is not None:
                weights = weights * _expand_to_rank(name, ops.cast(factor, self.dtype), rank)
        # steps of weight 0 may have invalid targets and outputs, for example -1 and NaN
        counted = ops.not_equal(weights, 0)
        logits = outputs if self.from_logits else ops.log(outputs)
        nats = ops.sparse_categorical_crossentropy(ops.where(counted, targets, 0), logits, from_logits=True)
        self.total.assign_add(ops.sum(ops.where(counted, weights * nats, 0)))
        self.count.assign_add(ops.sum(weights))

    def mean(self) -> Tensor:
        """Return the mean cross-entropy in nats per step; NaN before the first step."""
        return ops.divide(self.total, self.count)

    @override
    def get_config(self) -> Config:
        return {**super().get_config(), "from_logits": self.from_logits}


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class Perplexity(_CrossEntropy):
    """Exponential of the mean cross-entropy per step, over all steps of an epoch.

        PPL = exp(- Σ_i a_i log p(y_i) / Σ_i a_i)

    The sums run over the whole epoch. (The mean of the perplexities of the batches would be larger and would
    depend on the batch size.) a_i is the sample weight; masked steps have a_i = 0. Without steps, the result is NaN. A
    perplexity that overflows its dtype is inf.

    Keras passes sample weights only to the `weighted_metrics` of `compile`; masks are passed to `metrics` as well.
    (With a mask (n, T), Keras' losses require sample weights of shape (n, 1) or (n, T), not (n,).)

    Args:
        from_logits: If True, the model returns logits, (n, T, V) or (n, V), otherwise probabilities.
        name: Name of the metric in the logs.
        dtype: Dtype of both sums, independent of the model's dtype policy. "float32" counts up to 2^24 (16.8
            million) steps per epoch exactly; use "float64" for more.

    Raises:
        ValueError: If `dtype` is neither "float32" nor "float64".

    >>> import numpy as np
    >>> from deeprnn_keras.training import Perplexity
    >>> metric = Perplexity()
    >>> metric.update_state(np.array([[0, 3]]), np.zeros((1, 2, 4)))  # uniform over 4 tokens
    >>> round(float(metric.result()), 4)
    4.0
    """

    def __init__(self, from_logits: bool = True, name: str = "perplexity", dtype: str = "float32") -> None:
        super().__init__(name, from_logits, dtype)

    @override
    def result(self) -> Tensor:
        return ops.exp(self.mean())


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class BitsPerCharacter(_CrossEntropy):
    """Mean cross-entropy per step in bits, over all steps of an epoch.

        BPC = - Σ_i a_i log_2 p(y_i) / Σ_i a_i

    Sample weights, masks, and an epoch without steps are handled as in `Perplexity`. The perplexity is 2^BPC.

    Args:
        from_logits: If True, the model returns logits, otherwise probabilities.
        name: Name of the metric in the logs.
        dtype: Dtype of both sums, "float32" or "float64"; see `Perplexity`.

    Raises:
        ValueError: If `dtype` is neither "float32" nor "float64".

    >>> import numpy as np
    >>> from deeprnn_keras.training import BitsPerCharacter
    >>> metric = BitsPerCharacter()
    >>> metric.update_state(np.array([[0, 3]]), np.zeros((1, 2, 4)))  # uniform over 4 tokens
    >>> round(float(metric.result()), 4)
    2.0
    """

    def __init__(self, from_logits: bool = True, name: str = "bits_per_character", dtype: str = "float32") -> None:
        super().__init__(name, from_logits, dtype)

    @override
    def result(self) -> Tensor:
        return self.mean() / math.log(2)


def _expand_to_rank(name: str, factor: Tensor, rank: int) -> Tensor:
    """Return a mask or weights of shape (n,) or (n, T), expanded to `rank` axes by trailing axes of length 1."""
    if len(factor.shape) == rank + 1 and factor.shape[-1] == 1:
        factor = ops.squeeze(factor, -1)
    if len(factor.shape) > rank:
        raise ValueError(f"{name} must have at most {rank} axes, as y_true has, got shape {tuple(factor.shape)}")
    for _ in range(rank - len(factor.shape)):
        factor = ops.expand_dims(factor, -1)
    return factor
