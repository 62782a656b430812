"""Connectionist temporal classification (CTC; Graves et al. 2006): decoding, and the error rate of label sequences."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike, Tensor
from deeprnn_keras.keras_objects import ChecksConfig

BLANK = 0


def decode_ctc(logits: Tensor, beam_width: int | None = None) -> list[np.ndarray]:
    """Return the labels that a CTC model assigns to each sequence, decoded by `keras.ops.ctc_decode`.

    Args:
        logits: Logits (n, T, q), class 0 being the blank. Padded steps must be blank; see `BlankPadding`.
        beam_width: Number of prefixes that a beam search keeps, which sums over the alignments of each. None: the
            labels of the most probable alignment (best-path decoding).

    Returns:
        n arrays of labels, each from 1 to q - 1.

    Raises:
        ValueError: If `beam_width` is not a positive integer.

    >>> import numpy as np
    >>> from deeprnn_keras.models import decode_ctc
    >>> logits = 9.0 * np.eye(3, dtype="float32")[[[1, 1, 0, 1, 2]]]
    >>> [labels.tolist() for labels in decode_ctc(logits)], [labels.tolist() for labels in decode_ctc(logits, 4)]
    ([[1, 1, 2]], [[1, 1, 2]])
    """
    beam_width = checks.positive_int_or_none("beam_width", beam_width)
    rows = ops.convert_to_numpy(_decoded(ops.convert_to_tensor(logits), beam_width))
    return [row[row > BLANK] for row in rows]


def _decoded(logits: Tensor, beam_width: int | None = None) -> Tensor:
    """Return labels (n, T), with -1 after the end."""
    steps = ops.shape(logits)[1] * ops.ones_like(logits[:, 0, 0], dtype="int32")
    options = {"strategy": "greedy"} if beam_width is None else {"strategy": "beam_search", "beam_width": beam_width}
    labels, _ = ops.ctc_decode(logits, steps, mask_index=BLANK, **options)
    return labels[0]


def pad_labels(labels: ArrayLike, series: Sequence[np.ndarray], outputs: int) -> np.ndarray:
    """Return sequences of labels as one array (n, S), with blanks after their ends.

    Args:
        labels: One array (S_i,) of labels from 1 to `outputs` - 1 per sequence.
        series: The sequences, (T_i, d).
        outputs: Number of outputs, q.

    Raises:
        ValueError: If a label is out of range, or a sequence has fewer steps than its labels require: one for each
            label, and one for a blank between equal labels.
    """
    if len(labels) != len(series):
        raise ValueError(
            f"targets must have one array of labels per sequence, got {len(labels)} for {len(series)} sequences"
        )
    arrays = [np.asarray(entry) for entry in labels]
    for number, (array, steps) in enumerate(zip(arrays, map(len, series), strict=True)):
        if array.ndim != 1 or not array.size or not np.isin(array, np.arange(1, outputs)).all():
            raise ValueError(
                f"targets[{number}] must be an array (S,) of at least 1 label, integers from 1 to {outputs - 1} (0 is "
                f"the blank), got {str(array)[:60]} of shape {array.shape}"
            )
        required = len(array) + int((array[1:] == array[:-1]).sum())
        if steps < required:
            raise ValueError(
                f"series[{number}] has {steps} steps, but CTC requires {required} for its {len(array)} labels: one for "
                "each label, and one between equal labels; remove the sequence, or use shorter frames"
            )
    return _padded(arrays)


def edit_distance(targets: Tensor, labels: Tensor) -> Tensor:
    """Return the Levenshtein distance of each pair of label sequences: insertions, deletions, and substitutions.

    Args:
        targets: (n, S), with values below 1 after the end of a sequence.
        labels: (n, T), with values below 1 after the end of a sequence.

    Returns:
        (n,), int32.

    >>> import numpy as np
    >>> from deeprnn_keras.models.ctc import edit_distance
    >>> edit_distance(np.array([[1, 2, 3]]), np.array([[1, 3, 0, 0]])).numpy().tolist()
    [1]
    """
    targets, labels = ops.cast(targets, "int32"), ops.cast(labels, "int32")
    lengths = ops.sum(ops.cast(targets > BLANK, "int32"), axis=1)
    columns = ops.arange(ops.shape(labels)[1] + 1, dtype="int32")[None]
    first = columns + ops.zeros_like(lengths)[:, None]  # distances of the empty target from the prefixes of `labels`

    def add_target(row: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Extend the target by one label."""
        differs = ops.cast(labels != ops.take(targets, [row], axis=1), "int32")
        substituted = ops.minimum(distances[:, :-1] + differs, distances[:, 1:] + 1)
        candidates = ops.concatenate([distances[:, :1] + 1, substituted], axis=1)
        extended = columns + _running_minimum(candidates - columns, columns)  # insertions
        return row + 1, ops.where((row < lengths)[:, None], extended, distances)

    rows = ops.shape(targets)[1]
    _, distances = ops.while_loop(lambda row, _: row < rows, add_target, (ops.cast(0, "int32"), first))
    ends = ops.sum(ops.cast(labels > BLANK, "int32"), axis=1)
    return ops.take_along_axis(distances, ends[:, None], axis=1)[:, 0]


def _running_minimum(values: Tensor, columns: Tensor) -> Tensor:
    """Return min(values[:, 0], ..., values[:, j]) for each column j, by doubling."""
    size = ops.shape(values)[1]

    def double(shift: Tensor, minimum: Tensor) -> tuple[Tensor, Tensor]:
        moved = ops.where(columns >= shift, ops.roll(minimum, shift, axis=1), minimum)
        return 2 * shift, ops.minimum(minimum, moved)

    return ops.while_loop(lambda shift, _: shift < size, double, (ops.cast(1, "int32"), values))[1]


def label_error_rate(targets: ArrayLike, labels: ArrayLike) -> float:
    """Return the sum of the edit distances of pairs of label sequences, divided by the number of labels in `targets`.

    Args:
        targets: List of arrays of labels from 1, at least one label in all.
        labels: List of as many arrays of decoded labels.

    Raises:
        ValueError: If the numbers of sequences differ, or `targets` has no label.

    >>> from deeprnn_keras.models import label_error_rate
    >>> label_error_rate([[1, 2], [3]], [[1], [3]])
    0.3333333333333333
    """
    total = sum(map(len, targets))
    if len(targets) != len(labels) or not total:
        raise ValueError(
            f"targets and labels must be equally many sequences with at least 1 label in targets, got {len(targets)} "
            f"and {len(labels)} sequences with {total} labels in targets"
        )
    distances = edit_distance(_padded(targets), _padded(labels))
    return int(ops.sum(distances)) / total


def _padded(sequences: ArrayLike) -> np.ndarray:
    """Return sequences of labels as one array (n, S), with blanks after their ends."""
    result = np.full((len(sequences), max(1, *map(len, sequences))), BLANK, "int32")
    for row, sequence in zip(result, sequences, strict=True):
        row[: len(sequence)] = sequence
    return result


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class LabelErrorRate(ChecksConfig, keras.metrics.Metric):
    """Error rate of label sequences: edit distance divided by the number of labels, over all sequences of an epoch.

        LER = Σ_i distance(target_i, decoded_i) / Σ_i |target_i|

    For phonemes, this is the phone error rate; for characters, the character error rate. It can exceed 1. The labels
    are those of the most probable alignment; see `decode_ctc`. Sample weights are ignored.

    Args:
        name: Name of the metric in the logs.
        dtype: Dtype of the sums.

    >>> import numpy as np
    >>> from deeprnn_keras.models import LabelErrorRate
    >>> metric = LabelErrorRate()
    >>> metric.update_state(np.array([[1, 2]]), np.eye(3, dtype="float32")[[[1, 1, 0]]])
    >>> float(metric.result())
    0.5
    """

    def __init__(self, name: str = "label_error_rate", dtype: str = "float32") -> None:
        super().__init__(dtype=dtype, name=name)
        self.errors = self.add_variable((), "zeros", self.dtype, name="errors")
        self.labels = self.add_variable((), "zeros", self.dtype, name="labels")
        self._direction = "down"  # read by keras.callbacks.EarlyStopping for mode="auto"

    @override
    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add the sequences of a batch.

        Args:
            y_true: Labels (n, S), with 0 after the end of a sequence.
            y_pred: Logits (n, T, q).
            sample_weight: Ignored.
        """
        y_true = ops.convert_to_tensor(y_true)
        distances = edit_distance(y_true, _decoded(ops.cast(y_pred, "float32")))
        self.errors.assign_add(ops.sum(ops.cast(distances, self.dtype)))
        self.labels.assign_add(ops.sum(ops.cast(y_true > BLANK, self.dtype)))

    @override
    def result(self) -> Tensor:
        """Return the error rate; NaN before the first sequence."""
        return ops.divide(self.errors, self.labels)
