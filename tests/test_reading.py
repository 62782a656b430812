"""Reading of damaged files, and locks on directories."""

import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from safetensors.numpy import save

from deeprnn_keras import reading
from deeprnn_keras.locking import DirectoryInUseError, DirectoryLock

GOOD = save({"a": np.arange(6, dtype="float32").reshape(2, 3)}, {"about": "x"})
READERS = {"json": reading.read_json, "safetensors": reading.read_safetensors, "bytes": reading.read_bytes}


@pytest.mark.parametrize("reader", READERS)
def test_missing_file_stays_a_file_not_found_error(reader, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        READERS[reader](tmp_path / "nothing")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["directory", "pipe", "device"])
def test_only_regular_files_are_read(reader, kind, tmp_path):
    path = tmp_path / "file"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(reading.DamagedFileError, match=f"{path}: not a regular file"):
        READERS[reader](path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"[" * 100_000, b"\xff", b'{"a": NaN}', b'{"a": Infinity}', b"1" * 5000],
    ids=lambda content: repr(content[:10]),
)
def test_damaged_json_names_the_file(content, tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(reading.DamagedFileError, match=f"^{path}: not a JSON file, or damaged"):
        reading.read_json(path)


def test_safetensors_round_trip(tmp_path):
    path = tmp_path / "file.safetensors"
    path.write_bytes(GOOD)
    arrays, metadata = reading.read_safetensors(path)
    np.testing.assert_array_equal(arrays["a"], np.arange(6).reshape(2, 3))
    assert metadata == {"about": "x"}


@pytest.mark.parametrize("position", [0, 5, 9, 20])
def test_damaged_safetensors_name_the_file(position, tmp_path):
    path = tmp_path / "file.safetensors"
    damaged = bytearray(GOOD)
    damaged[position] ^= 0xFF
    for content in (bytes(damaged), GOOD[:-1], GOOD[:10], b""):
        path.write_bytes(content)
        with pytest.raises(reading.DamagedFileError, match=f"^{path}: "):
            reading.read_safetensors(path)


def test_size_limit_is_checked_before_reading(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(10**9)  # sparse
    with pytest.raises(reading.DamagedFileError, match="1,000,000,000 bytes, but at most 1,000 are supported"):
        reading.read_bytes(path, max_bytes=1000)


@dataclass(frozen=True)
class Sizes:
    units: int | tuple[int, ...]
    rate: float = 0.0
    name: str | None = None

    def __post_init__(self):
        if self.rate >= 1:
            raise ValueError("rate must be below 1")


def test_dataclass_is_built_from_json_values():
    assert reading.build_dataclass(Sizes, {"units": [3, 4], "rate": 0}) == Sizes((3, 4), 0.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"units": "3"}, "units: Expected"),
        ({"units": True}, "units: Expected"),
        ({"units": [3, 4.5]}, "units: Expected"),
        ({"units": 3, "rate": "x"}, "rate: Expected"),
        ({"units": 3, "rate": 2.0}, "rate must be below 1"),
        ({"rate": 0.5}, "missing 1 required .*'units'"),
        ({"units": 3, "nam": "x"}, "unknown field 'nam'; did you mean 'name'"),
    ],
    ids=str,
)
def test_fields_of_other_types_are_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        reading.build_dataclass(Sizes, values)


HOLD = """
import sys, time
from deeprnn_keras.locking import DirectoryLock
with DirectoryLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_lock_names_its_holder_and_is_free_after_a_kill(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(DirectoryInUseError, match=f"{tmp_path}' is in use by process {process.pid} "):
        DirectoryLock(tmp_path).__enter__()
    process.kill()
    process.wait()
    with DirectoryLock(tmp_path):
        pass


def test_lock_is_reentrant_in_a_process(tmp_path):
    with DirectoryLock(tmp_path), DirectoryLock(tmp_path):
        pass
    done = subprocess.run([sys.executable, "-c", HOLD.replace("60", "0"), tmp_path], capture_output=True, text=True)
    assert done.stdout == "held\n", done.stderr
