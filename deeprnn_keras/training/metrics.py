"""`Perplexity` and `BitsPerCharacter`: the figures of language modelling, exact over an epoch."""

import math

import keras
from keras import ops

from deeprnn_keras import checks


class _CrossEntropy(keras.metrics.Metric):
    """The cross-entropy of all steps of an epoch in nats: a sum and a weight."""

    def __init__(self, name, from_logits, dtype):
        # half precision ends at 65504 and would round a long sum away, whatever the policy of the model is
        super().__init__(dtype=checks.one_of("dtype", dtype, ("float32", "float64")), name=name)
        self.from_logits = bool(from_logits)
        self.total = self.add_variable((), "zeros", self.dtype, name="total")
        self.count = self.add_variable((), "zeros", self.dtype, name="count")
        self._direction = "down"  # mode="auto" of keras.callbacks.EarlyStopping reads it

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds the steps of a batch.

        Args:
            y_true: (n, T) or (n,), integers.
            y_pred: (n, T, V) or (n, V).
            sample_weight: (n, T) or (n,), or None.

        Raises:
            ValueError: if `y_true` or `sample_weight` does not fit `y_pred`.
        """
        mask = getattr(y_pred, "_keras_mask", None)  # a cast would lose it
        outputs = ops.cast(y_pred, self.dtype)
        targets = ops.cast(y_true, "int64")
        rank = len(outputs.shape) - 1
        if len(targets.shape) == rank + 1 and targets.shape[-1] == 1:
            targets = ops.squeeze(targets, -1)
        if len(targets.shape) != rank:
            raise ValueError(
                f"y_true must have shape (n, T) for y_pred (n, T, V), or (n,) for (n, V); "
                f"got {tuple(y_true.shape)} and {tuple(outputs.shape)}"
            )
        weights = ops.ones_like(outputs[..., 0])
        for name, factor in (("mask", mask), ("sample_weight", sample_weight)):
            if factor is not None:
                weights = weights * _spread(name, ops.cast(factor, self.dtype), rank)
        # what stands at a step of weight 0 may be anything, also a target of -1 or a NaN
        counted = ops.not_equal(weights, 0)
        logits = outputs if self.from_logits else ops.log(outputs)
        nats = ops.sparse_categorical_crossentropy(ops.where(counted, targets, 0), logits, from_logits=True)
        self.total.assign_add(ops.sum(ops.where(counted, weights * nats, 0)))
        self.count.assign_add(ops.sum(weights))

    def mean(self):
        """Nats per step, NaN before the first step."""
        return ops.divide(self.total, self.count)

    def get_config(self):
        return {**super().get_config(), "from_logits": self.from_logits}


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class Perplexity(_CrossEntropy):
    """exp of the mean cross-entropy per step, over all steps of an epoch.

        PPL = exp(- Σ_i a_i log p(y_i) / Σ_i a_i)

    The sums run over the whole epoch: the mean of the perplexities of batches would be larger, and would depend on
    the batch size. a_i is the sample weight; masked steps have a_i = 0. With no step at all, there is no figure: NaN.
    A perplexity that is too large for its type is inf.

    Keras hands sample weights to `weighted_metrics` of `compile` only; masks reach `metrics` too. (Beside a mask
    (n, T), Keras' losses want weights (n, 1) or (n, T), not (n,).)

    Args:
        from_logits: whether the model returns logits (n, T, V) or (n, V), not probabilities.
        name: in the logs.
        dtype: of the two sums, whatever precision the model computes in. "float32" counts to 2^24 = 16.8 million steps
            of an epoch without rounding; "float64" to any number.

    Raises:
        ValueError: for another `dtype`.

    >>> import numpy as np
    >>> from deeprnn_keras.training import Perplexity
    >>> metric = Perplexity()
    >>> metric.update_state(np.array([[0, 3]]), np.zeros((1, 2, 4)))  # a guess among four
    >>> round(float(metric.result()), 4)
    4.0
    """

    def __init__(self, from_logits=True, name="perplexity", dtype="float32"):
        super().__init__(name, from_logits, dtype)

    def result(self):
        return ops.exp(self.mean())


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class BitsPerCharacter(_CrossEntropy):
    """The mean cross-entropy per step in bits, over all steps of an epoch.

        BPC = - Σ_i a_i log_2 p(y_i) / Σ_i a_i

    Weights, masks, an epoch without steps, and the arguments are those of `Perplexity`; 2^BPC is the perplexity.

    Raises:
        ValueError: for a `dtype` other than "float32" and "float64".

    >>> import numpy as np
    >>> from deeprnn_keras.training import BitsPerCharacter
    >>> metric = BitsPerCharacter()
    >>> metric.update_state(np.array([[0, 3]]), np.zeros((1, 2, 4)))  # a guess among four
    >>> round(float(metric.result()), 4)
    2.0
    """

    def __init__(self, from_logits=True, name="bits_per_character", dtype="float32"):
        super().__init__(name, from_logits, dtype)

    def result(self):
        return self.mean() / math.log(2)


def _spread(name, factor, rank):
    """A mask or weights (n,) or (n, T), with axes of length 1 behind, up to `rank`."""
    if len(factor.shape) == rank + 1 and factor.shape[-1] == 1:
        factor = ops.squeeze(factor, -1)
    if len(factor.shape) > rank:
        raise ValueError(f"{name} must have at most the axes of y_true, {rank}; got shape {tuple(factor.shape)}")
    for _ in range(rank - len(factor.shape)):
        factor = ops.expand_dims(factor, -1)
    return factor
