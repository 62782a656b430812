"""Atomic writes: a file has the old or the new content, never a part of it."""

import pytest

from deeprnn_keras.writing import atomic_write


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "some.txt"
    for text in ("old", "new"):
        with atomic_write(path) as temporary_path:
            temporary_path.write_text(text)
            assert temporary_path.parent == tmp_path and temporary_path.suffix == ".txt" and temporary_path != path
    with pytest.raises(RuntimeError), atomic_write(path) as temporary_path:
        temporary_path.write_text("partial")
        raise RuntimeError
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
