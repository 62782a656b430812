"""Damaged and crafted data files: every reader raises a `DamagedFileError` that names the file."""

import io
import os
import struct
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io

from deeprnn_keras import TextCorpus, extras
from deeprnn_keras.data import japanese_vowels, mat_file, music, piano_rolls, sequential_mnist
from deeprnn_keras.data.npz_file import read_npz
from deeprnn_keras.reading import DamagedFileError

ROLL = (np.arange(5 * 88).reshape(5, 88) % 7 == 0).astype(float)
IMAGES, LABELS = np.zeros((3, 28, 28), "uint8"), np.arange(3)


def cells(*rolls, shape=None):
    array = np.empty(len(rolls), object)
    array[:] = rolls
    return array.reshape(shape or (1, len(rolls)))


def write_rolls(path, **parts):
    arrays = {f"{part}data": cells(ROLL, ROLL) for part in ("train", "valid", "test")}
    scipy.io.savemat(path, {**arrays, **parts}, do_compression=path.stem == "compressed")


def write_mnist(path, **arrays):
    np.savez_compressed(path, **{"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS, **arrays})


def write_vowels(path, text="#comment\n@data\n1,2,3:4,5,6:1\n1,2:4,5:9\n"):
    path.write_text(text)


def read_vowels(path):
    """Read one .ts file through `japanese_vowels`."""
    directory = path.parent / "datasets" / "data" / "JapaneseVowels"
    directory.mkdir(parents=True, exist_ok=True)
    for part in ("TRAIN", "TEST"):
        (directory / f"JapaneseVowels_{part}.ts").unlink(missing_ok=True)
        os.link(path, directory / f"JapaneseVowels_{part}.ts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extras, "find_spec", lambda name: SimpleNamespace(origin=str(path.parent / "__init__.py")))
        return japanese_vowels()


def write_score(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("score.xml", "<score-partwise><part></part></score-partwise>")


FORMATS = {
    "plain.mat": (write_rolls, piano_rolls),
    "compressed.mat": (write_rolls, piano_rolls),
    "mnist.npz": (write_mnist, sequential_mnist),
    "vowels.ts": (write_vowels, read_vowels),
    "score.mxl": (write_score, music.read_score),
    "letter.txt": (lambda path: path.write_bytes("å".encode() * 50), TextCorpus.from_file),
}


@pytest.mark.parametrize("name", FORMATS)
def test_undamaged_file_is_read(name, tmp_path):
    write, read = FORMATS[name]
    write(tmp_path / name)
    read(tmp_path / name)


def empty(data):
    return b""


def other_content(data):
    return b"\xff\xfezz" * 99


def half(data):
    return data[: len(data) // 2 + 1]


@pytest.mark.parametrize("damage", [empty, other_content, half])
@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_reported_with_the_name_of_the_file(name, damage, tmp_path):
    write, read = FORMATS[name]
    write(tmp_path / name)
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(DamagedFileError, match="JapaneseVowels_TRAIN" if name == "vowels.ts" else name):
        read(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are not supported")
@pytest.mark.parametrize("name", ["plain.mat", "mnist.npz", "score.mxl", "letter.txt"])
def test_pipes_and_directories_are_not_read(name, tmp_path):
    _, read = FORMATS[name]
    os.mkfifo(tmp_path / name)
    with pytest.raises(DamagedFileError, match=f"{name}: not a regular file"):
        read(tmp_path / name)
    with pytest.raises(DamagedFileError, match=f"{tmp_path.name}: not a regular file"):
        read(tmp_path)


# === Piano rolls ===


@pytest.fixture
def reader_in_this_process(monkeypatch):
    """Read without a child process, whose imports take half a second; the tests above start it."""

    def run(command, **options):
        output = io.TextIOWrapper(io.BytesIO())
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", output)
            try:
                mat_file._main(*command[3:])
            except SystemExit as error:
                return subprocess.CompletedProcess(command, 1, b"", str(error).encode())
        return subprocess.CompletedProcess(command, 0, output.buffer.getvalue(), b"")

    monkeypatch.setattr(mat_file, "_limit_memory", lambda: None)
    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.usefixtures("reader_in_this_process")
@pytest.mark.parametrize(
    ("rolls", "problem"),
    [
        (cells(ROLL * np.nan), "must contain only 0 and 1, got nan in cell 0"),
        (cells(ROLL, ROLL * 7), "must contain only 0 and 1, got 7 in cell 1"),
        (cells(ROLL / 2), "must contain only 0 and 1, got 0.5"),
        (cells(-ROLL), "must contain only 0 and 1, got -1"),
        (cells(ROLL, ROLL[:1]), r"with T at least 2, got shape \(1, 88\) in cell 1"),
        (cells(ROLL[:, :60]), r"piano rolls of shape \(T, 88\) with T at least 2, got shape \(5, 60\)"),
        (cells(ROLL * 1j), "a cell of type complex128, which is not supported"),
        (cells("text"), "a cell of type <U4, which is not supported"),
        (np.empty((1, 0), object), "at least 1 piece, got none"),
        (ROLL, "traindata is an array, not a cell array"),
    ],
)
def test_rolls_must_be_zeros_and_ones(rolls, problem, tmp_path):
    write_rolls(tmp_path / "rolls.mat", traindata=rolls)
    with pytest.raises(DamagedFileError, match=rf"rolls\.mat: .*{problem}"):
        piano_rolls(tmp_path / "rolls.mat")


@pytest.mark.usefixtures("reader_in_this_process")
@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (2, 2)])
def test_cells_are_read_in_any_arrangement(shape, tmp_path):
    rolls = [np.roll(ROLL, number, axis=1) for number in range(4)]
    order = np.arange(4).reshape(shape).ravel(order="F")
    write_rolls(tmp_path / "rolls.mat", traindata=cells(*rolls, shape=shape))
    for series, number in zip(piano_rolls(tmp_path / "rolls.mat").train.series, order, strict=True):
        np.testing.assert_array_equal(series, rolls[number][:-1])


@pytest.mark.parametrize("failure", ["import os; os.abort()", "while True: pass"], ids=["crash", "endless"])
def test_failing_reader_process_is_reported(failure, monkeypatch, tmp_path):
    write_rolls(tmp_path / "rolls.mat")
    run = subprocess.run
    monkeypatch.setattr(mat_file, "TIMEOUT", 2.0)
    monkeypatch.setattr(
        subprocess, "run", lambda command, **options: run([sys.executable, "-c", failure], **{**options, "timeout": 2})
    )
    with pytest.raises(DamagedFileError, match=r"rolls\.mat: .*(exit code -6|more than 2 s)"):
        piano_rolls(tmp_path / "rolls.mat")


@pytest.mark.long
def test_large_matlab_file_is_refused(tmp_path):
    """2.4 GB of zeros, compressed to a few MB, exceed the memory limit of the reader process."""
    scipy.io.savemat(tmp_path / "a.mat", {"traindata": cells(*[np.zeros((2**22, 8))] * 9)}, do_compression=True)
    with pytest.raises(DamagedFileError, match=r"a\.mat: .*(MemoryError|bytes of arrays)"):
        mat_file.read_cell_arrays(tmp_path / "a.mat", ["traindata"])


# === NumPy archives ===


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"y_train": np.arange(2)}, r"y_train must have shape \(3,\), one label per image, got \(2,\)"),
        ({"y_test": np.eye(3)}, r"y_test must have shape \(3,\)"),
        ({"y_train": np.array([1, 2, 99])}, "digits from 0 to 9, got int64 from 1 to 99"),
        ({"y_train": np.array([1, -1, 2])}, "digits from 0 to 9, got int64 from -1 to 2"),
        ({"y_train": np.array([1, 2, 0.5])}, "digits from 0 to 9"),
        ({"y_train": np.array([1, 2, np.nan])}, "digits from 0 to 9"),
        ({"y_train": np.array(["a", "b", "c"])}, "digits from 0 to 9, got type <U1"),
        ({"x_train": IMAGES + np.nan}, "numbers from 0 to 255, got float64 from nan to nan"),
        ({"x_train": IMAGES - 1.0}, "numbers from 0 to 255, got float64 from -1.0 to -1.0"),
        ({"x_train": IMAGES + 256.0}, "numbers from 0 to 255"),
        ({"x_train": IMAGES * 1j}, "numbers from 0 to 255, got type complex128"),
        ({"x_train": IMAGES.reshape(3, 14, 56)}, r"shape \(n, 28, 28\) with n at least 1, got \(3, 14, 56\)"),
        ({"x_train": IMAGES[:0], "y_train": LABELS[:0]}, "with n at least 1"),
        ({"x_train": np.array(5)}, r"got \(\)"),
        ({"x_train": np.array([None])}, "arrays of Python objects are not supported"),
    ],
    ids=str,
)
def test_digits_and_labels_are_checked(arrays, problem, tmp_path):
    write_mnist(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(DamagedFileError, match=rf"mnist\.npz: .*{problem}"):
        sequential_mnist(tmp_path / "mnist.npz")


def write_member(path, shape, data=b"", **zip_options):
    header = str({"descr": "|u1", "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    with zipfile.ZipFile(path, "w", **zip_options) as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)


@pytest.mark.parametrize(
    ("shape", "data", "problem"),
    [
        ((10**12, 28, 28), b"", "declares 784,000,000,000,000 bytes of numbers, but has 0"),
        ((-1,), b"1", "declares -1 bytes"),
        ((3,), b"1234", "declares 3 bytes of numbers, but has 4"),
        ((2**20,), bytes(2**20), "its arrays have 1,048,704 bytes, but at most 1,000,000 are supported"),
    ],
)
def test_sizes_are_checked_before_memory_is_allocated(shape, data, problem, tmp_path):
    write_member(tmp_path / "bomb.npz", shape, data, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DamagedFileError, match=rf"bomb\.npz: .*{problem}"):
        read_npz(tmp_path / "bomb.npz", ["x"], max_bytes=10**6)


# === .ts files ===


@pytest.mark.parametrize(
    "text",
    ["", "@data\n", "1,2:3\n1,2:1,2:3\n", "1,2:1,2,3:1\n", "1,?:1\n", "1,nan:1\n", "1,2:one\n", "1,2\n"],
    ids=repr,
)
def test_series_of_other_forms_are_refused(text, tmp_path):
    write_vowels(tmp_path / "vowels.ts", text)
    with pytest.raises(DamagedFileError, match=r"JapaneseVowels_TRAIN\.ts: not a \.ts file, or damaged"):
        read_vowels(tmp_path / "vowels.ts")
