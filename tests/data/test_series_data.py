"""Data sets of series: official splits, generated series, and files of MNIST."""

import keras
import numpy as np
import pytest

from deeprnn_keras.data import adding_problem, digits, japanese_vowels, sequential_mnist


def test_japanese_vowels_have_the_official_split():
    data = japanese_vowels()
    assert np.bincount(data.train.targets)[1:].tolist() == [30] * 9
    assert np.bincount(data.test.targets)[1:].tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    lengths = [len(one) for one in data.train.series + data.test.series]
    assert (min(lengths), max(lengths)) == (7, 29)
    assert all(one.shape[1] == 12 and one.dtype == np.float32 for one in data.test.series)
    assert data.train.series[0][0, :2].tolist() == pytest.approx([1.860936, -0.207383])


def test_digits_are_read_pixel_by_pixel():
    data = digits()
    every = np.stack([*data.train.series, *data.test.series])
    assert every.shape == (1797, 64, 1) and every.min() == 0 and every.max() == 16
    assert np.bincount(data.test.targets).min() >= 30


def test_adding_problem_has_one_mark_per_half():
    x, y = adding_problem(500, steps=11, seed=3)
    marks = x[:, :, 1]
    assert set(np.unique(marks)) == {0.0, 1.0}
    assert (marks[:, :5].sum(1) == 1).all() and (marks[:, 5:].sum(1) == 1).all()
    np.testing.assert_allclose(y[:, 0], (x[:, :, 0] * marks).sum(1))
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, rel=0.15)
    again, _ = adding_problem(500, steps=11, seed=3)
    np.testing.assert_array_equal(x, again)
    with pytest.raises(ValueError, match="steps must be at least 2"):
        adding_problem(3, steps=1)


def test_mnist_is_read_pixel_by_pixel(tmp_path, rng):
    images, labels = rng.integers(256, size=(3, 28, 28)).astype("uint8"), [4, 0, 9]
    np.savez(tmp_path / "mnist.npz", x_train=images, y_train=labels, x_test=images[:1], y_test=labels[:1])
    data, permuted = (sequential_mnist(tmp_path / "mnist.npz", permuted=value) for value in (False, True))
    assert data.train.targets.tolist() == labels and len(data.test) == 1
    np.testing.assert_array_equal(data.train.series[1].ravel(), images[1].ravel())
    assert np.any(permuted.train.series[1] != data.train.series[1])
    np.testing.assert_array_equal(np.sort(permuted.train.series[1], axis=0), np.sort(data.train.series[1], axis=0))
    np.savez(tmp_path / "other.npz", x_train=images)
    with pytest.raises(
        ValueError, match="must contain the arrays x_train, y_train, x_test, y_test, but has no y_train"
    ):
        sequential_mnist(tmp_path / "other.npz")


def test_failed_download_names_the_file_and_its_destination(monkeypatch):
    def fail(*args, **kwargs):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", fail)
    with pytest.raises(FileNotFoundError, match=r"not be downloaded \(URL fetch failure\); save .* as '.*mnist.npz'"):
        sequential_mnist()
