"""Scores, chorales, and MATLAB files as piano rolls."""

import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io

from deeprnn_keras import extras
from deeprnn_keras.data import bach_chorales, music, piano_rolls

NOTE = "<note>{chord}<pitch><step>{0}</step>{alter}<octave>{1}</octave></pitch><duration>{2}</duration></note>"


def note(step, octave, duration, alter="", chord=""):
    return NOTE.format(step, octave, duration, alter=alter and f"<alter>{alter}</alter>", chord=chord and "<chord/>")


def score(path, parts, name="score.musicxml"):
    """Write a compressed MusicXML file and return its path; a part is a list of measures in eighths (divisions 2)."""
    text = "<score-partwise>"
    for measures in parts:
        text += "<part><measure><attributes><divisions>2</divisions></attributes></measure>"
        text += "".join(f"<measure>{measure}</measure>" for measure in measures) + "</part>"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("META-INF/container.xml", "<container/>")
        file.writestr(name, text + "</score-partwise>")
    return path


REST = "<note><rest/><duration>4</duration></note>"
PARTS = [
    [note("C", 5, 2) + note("F", 5, 2, alter="1")],  # two quarter notes
    [note("E", 4, 4)],
    [REST + "<backup><duration>2</duration></backup>" + note("G", 3, 1) + "<note><grace/></note>" + note("A", 3, 1)],
    [note("C", 3, 4) + note("C", 2, 4, chord=True)],
]


@pytest.mark.parametrize("name", ["score.musicxml", "score.xml"])
def test_score_is_read_frame_by_frame(tmp_path, name):
    roll = music.read_score(score(tmp_path / "s.mxl", PARTS, name), 2)
    assert [sorted((np.flatnonzero(frame) + 21).tolist()) for frame in roll] == [
        [36, 48, 64, 72],
        [36, 48, 64, 72],
        [36, 48, 55, 64, 78],
        [36, 48, 57, 64, 78],
    ]
    quarters = music.read_score(tmp_path / "s.mxl", 1)
    np.testing.assert_array_equal(quarters, roll[::2])
    np.testing.assert_array_equal(music.read_score(tmp_path / "s.mxl", 4), np.repeat(roll, 2, axis=0))


def test_scores_with_other_numbers_of_parts_are_skipped(tmp_path):
    assert music.read_score(score(tmp_path / "s.mxl", PARTS[:3])) is None


@pytest.mark.slow
def test_chorales_are_split_by_catalogue_number():
    data = bach_chorales(keys=1)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [300, 32, 32]
    for part in (data.train, data.validation, data.test):
        for x, y in zip(part.series, part.targets, strict=True):
            assert x.shape == y.shape and x.shape[1] == 88 and set(np.unique(x)) <= {0.0, 1.0}
            np.testing.assert_array_equal(x[1:], y[:-1])
    frames = np.concatenate(data.train.series)
    assert 3.8 < frames.sum(1).mean() < 4.0, "four voices, some of which sing the same note"
    # BWV 1.6, Wie schoen leuchtet der Morgenstern, starts with an upbeat of F, A, and C in several octaves
    assert {int(key) % 12 for key in np.flatnonzero(data.train.series[0][0]) + 21} <= {5, 7, 9, 10, 0, 2}


def test_training_pieces_are_transposed(monkeypatch, tmp_path):
    directory = tmp_path / "corpus" / "bach"
    directory.mkdir(parents=True)
    for number in range(1, 11):
        score(directory / f"bwv{number}.1.mxl", PARTS)
    monkeypatch.setattr(extras, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    one, four = bach_chorales(keys=1), bach_chorales(keys=4)
    assert len(four.train) == 4 * len(one.train) == 32 and len(four.test) == len(four.validation) == 1
    lowest = [int(np.flatnonzero(roll[0])[0]) - 15 for roll in four.train.series[::8]]
    assert lowest == [0, -1, 1, -2]
    np.testing.assert_array_equal(four.test.series[0], one.test.series[0])


def test_invalid_arguments_are_rejected():
    with pytest.raises(ValueError, match="keys must be an integer from 1 to 12, got 13"):
        bach_chorales(keys=13)
    with pytest.raises(ValueError, match="frames_per_quarter must be 1, 2, or 4, got 3"):
        bach_chorales(3)


def pieces(*lengths):
    array = np.empty((1, len(lengths)), object)
    for column, length in enumerate(lengths):
        array[0, column] = np.eye(max(length, 88), 88)[:length]
    return array


def test_rolls_are_read_from_a_matlab_file(tmp_path):
    path = tmp_path / "My_Rolls.mat"
    scipy.io.savemat(path, {"traindata": pieces(5, 7), "validdata": pieces(4, 3), "testdata": pieces(9, 2)})
    data = piano_rolls(path)
    assert data.name == "My Rolls"
    assert [[len(x) for x in part.series] for part in (data.train, data.validation, data.test)] == [
        [4, 6],
        [3, 2],
        [8, 1],
    ]
    np.testing.assert_array_equal(data.train.targets[0], np.eye(88)[1:5])


def test_invalid_roll_files_are_rejected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.mat' does not exist; JSB_Chorales.mat and Nottingham.mat"):
        piano_rolls(tmp_path / "none.mat")
    (tmp_path / "text.mat").write_text("no arrays")
    with pytest.raises(
        ValueError, match=r"text\.mat: not a MATLAB file with cell arrays traindata, validdata, testdata"
    ):
        piano_rolls(tmp_path / "text.mat")
    scipy.io.savemat(tmp_path / "one.mat", {"traindata": pieces(3, 3)})
    with pytest.raises(ValueError, match=r"one\.mat: .* no variable validdata"):
        piano_rolls(tmp_path / "one.mat")
