"""Kinds of outputs of a `SequenceModel`: loss, metrics, predictions, and probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from deeprnn_keras._types import Tensor
from deeprnn_keras.generation.strokes import PER_COMPONENT
from deeprnn_keras.keras_objects import ChecksConfig
from deeprnn_keras.models.ctc import LabelErrorRate, decode_ctc
from deeprnn_keras.models.mixture import StrokeNLL, expected_points

MASKED_MEAN = {"reduction": "mean_with_sample_weight"}  # excludes padding, which has weight 0


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class FrameNLL(ChecksConfig, keras.losses.Loss):
    """Negative log-likelihood of piano rolls in nats per frame.

    The binary cross-entropy of the notes is summed over the notes and averaged over the frames
    (Boulanger-Lewandowski, Bengio & Vincent 2012):

        -sum_k [y_k log p_k + (1 - y_k) log(1 - p_k)],  p = sigmoid(logits)

    Args:
        reduction: Keras reduction over the frames.
        name: Name of the loss.
        **kwargs: Arguments of `keras.losses.Loss`.

    >>> import numpy as np
    >>> from deeprnn_keras.models import FrameNLL
    >>> round(float(FrameNLL()(np.zeros((1, 2, 88)), np.zeros((1, 2, 88)))), 3)       # 88 log 2
    60.997
    """

    def __init__(self, reduction: str = "mean_with_sample_weight", name: str = "frame_nll", **kwargs: Any) -> None:
        super().__init__(reduction=reduction, name=name, **kwargs)

    @override
    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_true = ops.cast(y_true, y_pred.dtype)
        return ops.sum(ops.softplus(y_pred) - y_true * y_pred, axis=-1)


@dataclass(frozen=True)
class OutputKind:
    """A kind of outputs.

    Attributes:
        make_loss: Function that returns the loss.
        make_metrics: Function that returns a list of metrics.
        predict: Function from the outputs for a sequence or step to the prediction.
        probability: Function from the outputs to probabilities, or None if there are none.
        min_outputs: Minimum number of outputs, q.
        max_outputs: Maximum number of outputs; None for no maximum.
        per_step: True if there is always one output per step.
        target_values: Number of values that a target can have, 0 to `target_values` - 1; 0 for real numbers, and None
            for the number of outputs.
        label_sequences: True if the target of a sequence is a shorter sequence of labels, which CTC aligns.
        outputs_per_component: Number of outputs per component of a mixture, besides one other output; None if the
            outputs are no mixture.
        named: True if `labels` are the names of the values of a target.
    """

    make_loss: Callable[[], keras.losses.Loss]
    make_metrics: Callable[[], list[keras.metrics.Metric]]
    predict: Callable[[np.ndarray], np.ndarray]
    probability: Callable[[np.ndarray], np.ndarray] | None
    min_outputs: int = 1
    max_outputs: int | None = None
    per_step: bool = False
    target_values: int | None = 0
    label_sequences: bool = False
    outputs_per_component: int | None = None
    named: bool = False

    @property
    def one_column_per_output(self) -> bool:
        """True if the targets of a step are a row with one number per output."""
        return self.target_values is not None

    def num_target_values(self, outputs: int) -> int | None:
        """Return the number of values that a target can have, or None for real numbers."""
        return (outputs if self.target_values is None else self.target_values) or None

    def check(self, kind: str, outputs: int, labels: Sequence[str] | None) -> None:
        """Raise a ValueError if the number of outputs or of labels is not supported.

        Args:
            kind: Name of this kind.
            outputs: Number of outputs, q.
            labels: Names of the classes, or None.
        """
        if outputs < self.min_outputs or (self.max_outputs is not None and outputs > self.max_outputs):
            supported = f"at least {self.min_outputs}" if self.max_outputs is None else f"{self.max_outputs}"
            raise ValueError(f"outputs must be {supported} for kind={kind!r}, got {outputs}")
        if self.outputs_per_component is not None and outputs % self.outputs_per_component != 1:
            raise ValueError(
                f"outputs must be {self.outputs_per_component} M + 1 for kind={kind!r} with a mixture of M components, "
                f"got {outputs}"
            )
        count = self.num_target_values(outputs) if kind == "binary" else outputs
        if labels is not None and (len(labels) != count or len(set(labels)) != count):
            what = "for 0 and 1, for kind='binary'" if kind == "binary" else "one per output"
            raise ValueError(f"labels must be {count} distinct names, {what}, got {list(labels)!r}")


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _is_positive(logits: np.ndarray) -> np.ndarray:
    return (logits > 0).astype(int)


OUTPUT_KINDS = {
    "classes": OutputKind(
        lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy", **MASKED_MEAN),
        lambda: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        lambda logits: np.argmax(logits, -1),
        _softmax,
        min_outputs=2,
        target_values=None,
        named=True,
    ),
    "binary": OutputKind(
        lambda: keras.losses.BinaryCrossentropy(from_logits=True, name="cross_entropy", **MASKED_MEAN),
        lambda: [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)],
        lambda logits: _is_positive(logits[..., 0]),
        lambda logits: _sigmoid(logits[..., 0]),
        max_outputs=1,
        target_values=2,
        named=True,
    ),
    "numbers": OutputKind(
        lambda: keras.losses.MeanSquaredError(name="mse", **MASKED_MEAN),
        lambda: [keras.metrics.MeanAbsoluteError(name="mae")],
        lambda values: values,
        None,
    ),
    "notes": OutputKind(FrameNLL, list, _is_positive, _sigmoid, per_step=True, target_values=2),
    "ctc": OutputKind(
        lambda: keras.losses.CTC(name="ctc"),
        lambda: [LabelErrorRate()],
        lambda logits: decode_ctc(logits[None])[0],
        _softmax,
        min_outputs=2,
        per_step=True,
        target_values=None,
        label_sequences=True,
        named=True,
    ),
    "strokes": OutputKind(
        StrokeNLL,
        list,
        expected_points,
        None,
        min_outputs=PER_COMPONENT + 1,
        per_step=True,
        outputs_per_component=PER_COMPONENT,
    ),
}
