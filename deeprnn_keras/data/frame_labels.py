"""Sequences of feature vectors with a shorter sequence of labels each, for example speech and its phonemes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeprnn_keras._types import PathLike
from deeprnn_keras.data.npz_file import read_npz
from deeprnn_keras.data.series import LabeledSeries, SeriesSplit
from deeprnn_keras.reading import DamagedFileError

PARTS = ("train", "validation", "test")
ARRAYS = ("features", "num_frames", "labels", "num_labels")
MAX_BYTES = 2**32  # TIMIT with 123 features has about 700 MB


def labeled_frames(path: PathLike) -> SeriesSplit:
    """Return sequences of feature vectors and their labels from a NumPy archive.

    For each part, "train", "validation", and "test", the archive has four arrays, which contain all sequences one after
    the other:

        PART_features     (frames, d)    feature vectors
        PART_num_frames   (sequences,)   number of feature vectors of each sequence
        PART_labels       (labels,)      labels, integers from 1; 0 is the blank of CTC
        PART_num_labels   (sequences,)   number of labels of each sequence

    Args:
        path: Path of the .npz file.

    Returns:
        A `SeriesSplit` of series (T_i, d), float32, with one array of labels each.

    Raises:
        FileNotFoundError: If the file does not exist; the message describes it.
        DamagedFileError: If an array is missing, or the arrays contradict each other; if a feature is not finite, or a
            label is not a positive integer.

    >>> import numpy as np, pathlib, tempfile
    >>> from deeprnn_keras.data import labeled_frames
    >>> path, part = pathlib.Path(tempfile.mkdtemp()) / "speech.npz", {
    ...     "features": np.zeros((7, 3)), "num_frames": [4, 3], "labels": [2, 1, 2], "num_labels": [2, 1]}
    >>> np.savez(path, **{f"{name}_{key}": part[key] for name in ("train", "validation", "test") for key in part})
    >>> data = labeled_frames(path)
    >>> data.train.series[1].shape, [labels.tolist() for labels in data.train.targets]
    ((3, 3), [[2, 1], [2]])
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"file of labeled frames {str(path)!r} does not exist; it is a NumPy archive with the arrays "
            "train_features, train_num_frames, train_labels, train_num_labels, and those of validation and test"
        )
    arrays = read_npz(path, [f"{part}_{name}" for part in PARTS for name in ARRAYS], MAX_BYTES)
    parts = {}
    for part in PARTS:
        values = {name: arrays[f"{part}_{name}"] for name in ARRAYS}
        problem = _problem(values)
        if problem is not None:
            raise DamagedFileError(path, f"{part}_{problem}")
        parts[part] = LabeledSeries(
            _pieces(values["features"].astype("float32"), values["num_frames"]),
            _pieces(values["labels"].astype("int32"), values["num_labels"]),
        )
    return SeriesSplit(name=path.stem, **parts)


def _problem(values: dict[str, np.ndarray]) -> str | None:
    """Return what is wrong with the arrays of one part, or None; the text starts with the name of the array."""
    features, labels = values["features"], values["labels"]
    if features.ndim != 2 or features.dtype.kind not in "fiu" or not np.isfinite(features).all():
        return f"features must be finite numbers of shape (frames, d), got {features.dtype} of shape {features.shape}"
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or (labels.size and labels.min() < 1):
        return f"labels must be integers from 1 of shape (labels,), got {labels.dtype} of shape {labels.shape}"
    for name, rows in (("num_frames", len(features)), ("num_labels", len(labels))):
        counts = values[name]
        if counts.ndim != 1 or counts.dtype.kind not in "iu" or not counts.size or counts.min() < 1:
            return f"{name} must be positive integers of shape (sequences,), got {counts.dtype} of shape {counts.shape}"
        if counts.sum() != rows:
            return f"{name} must add up to {rows}, the number of rows, got {counts.sum()}"
    if len(values["num_frames"]) != len(values["num_labels"]):
        return (
            f"num_labels must have {len(values['num_frames'])} entries, as num_frames, got {len(values['num_labels'])}"
        )
    return None


def _pieces(rows: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    return np.split(rows, np.cumsum(counts)[:-1])
