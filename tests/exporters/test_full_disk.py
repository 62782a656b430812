"""Export to a full disk: all files are written, or none, and existing files are kept."""

import dataclasses
import functools
import resource
import subprocess

import pytest
from exported_programs import content, hand_made

from deeprnn_keras import export
from deeprnn_keras.exporters.targets import FORMATS, find_target

PACKAGES = {"onnx": "onnx", "litert": "ai_edge_litert.schema_py_generated"}
PAGE = 4096


@functools.cache
def amplifier():
    """Return a program whose second of silence, which the format of Neural Amp Modeler needs, has few steps."""
    program = hand_made("amplifier")
    return dataclasses.replace(program, attributes={**program.attributes, "sample_rate": 50})


def existing_files(format, directory):
    """Export a model and return the path of its file, its files, and the size of the largest."""
    if format in PACKAGES:
        pytest.importorskip(PACKAGES[format])
    path = directory / f"model{find_target(directory, format).suffix}"
    export(amplifier(), path, format=format, verify=False)
    files = content(directory)
    return path, files, max(len(data) for data in files.values() if data)


def export_again(path, format):
    export(amplifier(), path, format=format, verify=False, overwrite=True)


@pytest.mark.parametrize("format", FORMATS)
def test_failed_write_keeps_existing_files(format, tmp_path):
    """A limit on the size of files makes a write fail halfway; Python ignores the signal."""
    path, files, largest = existing_files(format, tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (0, largest // 2):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                export_again(path, format)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert content(tmp_path) == files


@pytest.mark.long
@pytest.mark.parametrize("format", FORMATS)
def test_full_file_system(format, tmp_path):
    """A file system of each size either holds the new files or keeps the old ones."""
    for name in ("reference", "disk"):
        (tmp_path / name).mkdir()
    _, files, _ = existing_files(format, tmp_path / "reference")
    pages = sum(-(-len(data) // PAGE) for data in files.values() if data)
    sizes = range(pages, 3 * pages + 8, max(1, pages // 8))
    outcomes = {is_replaced_on_disk(format, tmp_path / "disk", size * PAGE) for size in sizes}
    assert outcomes == {True, False}


def is_replaced_on_disk(format, directory, size):
    """Export twice to a file system of a size and return True if the second export replaced the files."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory]).returncode:
        pytest.skip("mounting a file system is not permitted")
    try:
        files = {}
        try:
            path, files, _ = existing_files(format, directory)
            export_again(path, format)
        except OSError:
            assert content(directory) == files
            return False
        assert content(directory).keys() == files.keys()
        return True
    finally:
        subprocess.run(["umount", directory], check=True)
