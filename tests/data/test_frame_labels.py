"""Archives of labeled frames: values, and archives whose arrays contradict each other."""

import numpy as np
import pytest

from deeprnn_keras.data import labeled_frames
from deeprnn_keras.reading import DamagedFileError

PART = {
    "features": np.arange(14, dtype="float32").reshape(7, 2),
    "num_frames": np.array([4, 3]),
    "labels": np.array([2, 1, 2]),
    "num_labels": np.array([2, 1]),
}


def write(path, part="test", **changes):
    arrays = {f"{name}_{key}": PART[key] for name in ("train", "validation", "test") for key in PART}
    np.savez(path, **{**arrays, **{f"{part}_{key}": value for key, value in changes.items()}})
    return path


def test_sequences_are_cut_in_order(tmp_path):
    data = labeled_frames(write(tmp_path / "speech.npz"))
    assert data.name == "speech"
    for part in (data.train, data.validation, data.test):
        np.testing.assert_array_equal(np.concatenate(part.series), PART["features"])
        assert [len(one) for one in part.series] == [4, 3] and [one.tolist() for one in part.targets] == [[2, 1], [2]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.zeros(7)}, r"features must be finite numbers of shape \(frames, d\)"),
        ({"features": np.full((7, 2), np.nan)}, "features must be finite"),
        ({"labels": np.array([2, 0, 2])}, "labels must be integers from 1"),
        ({"labels": np.array([2.0, 1.0, 2.0])}, "labels must be integers from 1"),
        ({"num_frames": np.array([4, 4])}, "num_frames must add up to 7"),
        ({"num_labels": np.array([3, 0])}, "num_labels must be positive integers"),
        ({"num_labels": np.array([1, 1, 1])}, "num_labels must have 2 entries"),
        ({"num_frames": np.array([[4, 3]])}, "num_frames must be positive integers"),
    ],
)
def test_contradictory_arrays_are_named(changes, message, tmp_path):
    with pytest.raises(DamagedFileError, match=rf"speech\.npz: test_{message}"):
        labeled_frames(write(tmp_path / "speech.npz", **changes))


def test_missing_file_and_array_are_described(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; it is a NumPy archive with the arrays train_features"):
        labeled_frames(tmp_path / "none.npz")
    np.savez(tmp_path / "part.npz", train_features=PART["features"])
    with pytest.raises(DamagedFileError, match="has no train_num_frames"):
        labeled_frames(tmp_path / "part.npz")
