"""The kinds of answers of a `SequenceModel`: loss, metrics, and how logits are read."""

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
class Kind:
    """What outputs are.

    Attributes:
        loss: () -> the loss.
        metrics: () -> a list of metrics.
        label: outputs of one sequence or step -> the prediction.
        probability: the same -> probabilities; None where there are none.
        least, most: outputs; most None: any number.
        per_step: whether it is always one per step.
    """

    loss: object
    metrics: object
    label: object
    probability: object
    least: int = 1
    most: int | None = None
    per_step: bool = False

    def check(self, outputs, labels):
        """Refuses numbers of outputs and labels that do not go together."""
        if outputs < self.least or (self.most is not None and outputs > self.most):
            right = f"{self.least}" if self.most == self.least else f"at least {self.least}"
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


KINDS = {
    "classes": Kind(
        lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy", **REAL_STEPS),
        lambda: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        lambda logits: np.argmax(logits, -1),
        _softmax,
        least=2,
    ),
    "binary": Kind(
        lambda: keras.losses.BinaryCrossentropy(from_logits=True, name="cross_entropy", **REAL_STEPS),
        lambda: [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)],
        lambda logits: _positive(logits[..., 0]),
        lambda logits: _sigmoid(logits[..., 0]),
        most=1,
    ),
    "numbers": Kind(
        lambda: keras.losses.MeanSquaredError(name="mse", **REAL_STEPS),
        lambda: [keras.metrics.MeanAbsoluteError(name="mae")],
        lambda values: values,
        None,
    ),
    "notes": Kind(FrameNLL, list, _positive, _sigmoid, per_step=True),
}
