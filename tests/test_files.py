"""Files are complete or absent."""

import pytest

from deeprnn_keras.training.files import written_beside


def test_file_is_complete_or_absent(tmp_path):
    path = tmp_path / "some.txt"
    for text in ("old", "new"):
        with written_beside(path) as beside:
            beside.write_text(text)
            assert beside.parent == tmp_path and beside.suffix == ".txt" and beside != path
    with pytest.raises(RuntimeError), written_beside(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
