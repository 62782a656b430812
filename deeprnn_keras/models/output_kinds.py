"""Kinds of outputs of a `SequenceModel`: loss, metrics, labels, and probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

REAL_STEPS = {"reduction": "mean_with_sample_weight"}  # padding does not count


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class FrameNLL(keras.losses.Loss):
    """Nats a frame: the cross-entropy of notes that sound or not, summed over the notes, a mean over frames.

        -sum_k [y_k log p_k + (1 - y_k) log(1 - p_k)],  p = sigmoid(logits)

    Boulanger-Lewandowski, Bengio & Vincent 2012.

    >>> import numpy as np
    >>> from deeprnn_keras.models import FrameNLL
    >>> round(float(FrameNLL()(np.zeros((1, 2, 88)), np.zeros((1, 2, 88)))), 3)       # 88 log 2
    60.997
    """

    def __init__(self, reduction="mean_with_sample_weight", name="frame_nll", **options):
        super().__init__(reduction=reduction, name=name, **options)

    def call(self, y_true, y_pred):
        y_true = ops.cast(y_true, y_pred.dtype)
        return ops.sum(ops.softplus(y_pred) - y_true * y_pred, axis=-1)


@dataclass(frozen=True)
class OutputKind:
    """The meaning of a model's outputs.

    Attributes:
        loss: Function that returns the loss.
        metrics: Function that returns a list of metrics.
        label: Function from the outputs of a sequence or step to the prediction.
        probability: Function from the outputs to probabilities, or None if there are none.
        min_outputs: Smallest q.
        max_outputs: Largest q; None for any.
        per_step: Whether there is always one output per step.
    """

    loss: Callable[[], keras.losses.Loss]
    metrics: Callable[[], list]
    label: Callable[[np.ndarray], np.ndarray]
    probability: Callable[[np.ndarray], np.ndarray] | None
    min_outputs: int = 1
    max_outputs: int | None = None
    per_step: bool = False

    def check(self, outputs: int, labels: Sequence | None) -> None:
        """Raise a ValueError if the numbers of outputs and labels do not agree."""
        if outputs < self.min_outputs or (self.max_outputs is not None and outputs > self.max_outputs):
            right = f"{self.min_outputs}" if self.max_outputs == self.min_outputs else f"at least {self.min_outputs}"
            raise ValueError(f"outputs must be {right} for this kind, got {outputs}")
        if labels is not None and len(set(labels)) != outputs:
            raise ValueError(f"labels must name {outputs} different classes, got {list(labels)!r}")


def _sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def _softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _positive(logits):
    return (logits > 0).astype(int)


OUTPUT_KINDS = {
    "classes": OutputKind(
        lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy", **REAL_STEPS),
        lambda: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        lambda logits: np.argmax(logits, -1),
        _softmax,
        min_outputs=2,
    ),
    "binary": OutputKind(
        lambda: keras.losses.BinaryCrossentropy(from_logits=True, name="cross_entropy", **REAL_STEPS),
        lambda: [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)],
        lambda logits: _positive(logits[..., 0]),
        lambda logits: _sigmoid(logits[..., 0]),
        max_outputs=1,
    ),
    "numbers": OutputKind(
        lambda: keras.losses.MeanSquaredError(name="mse", **REAL_STEPS),
        lambda: [keras.metrics.MeanAbsoluteError(name="mae")],
        lambda values: values,
        None,
    ),
    "notes": OutputKind(FrameNLL, list, _positive, _sigmoid, per_step=True),
}
