"""Pen strokes: files in the format of IAM-OnDB, damaged and crafted ones, synthetic lines, and pictures."""

import functools
import tarfile
import zlib

import numpy as np
import pytest
from refusals import outcome

from deeprnn_keras.data import draw_strokes, pen_strokes, read_strokes, synthetic_strokes
from deeprnn_keras.reading import DamagedFileError

STROKES = [[(10, 20), (13, 18), (15, 25)], [(40, 20)], [(41, 22), (44, 21)]]
POINTS = [[0, 0, 0], [3, -2, 0], [2, 7, 1], [25, -5, 1], [1, 2, 0], [3, -1, 1]]


def xml(strokes=STROKES, scale=1):
    lines = ['<?xml version="1.0" encoding="ISO-8859-1"?>', "<WhiteboardCaptureSession>", "<StrokeSet>"]
    for stroke in strokes:
        lines.append('<Stroke start_time="1.0" end_time="2.0">')
        lines += [f'<Point x="{scale * x}" y="{scale * y}" time="1.0"/>' for x, y in stroke]
        lines.append("</Stroke>")
    return "\n".join([*lines, "</StrokeSet>", "</WhiteboardCaptureSession>"])


def write_forms(directory, count=40, per_form=2):
    """Write a directory as IAM-OnDB has it, with `per_form` lines for each form."""
    for form in range(count):
        folder = directory / "a01" / f"a01-{form:03}"
        folder.mkdir(parents=True)
        for line in range(per_form):
            (folder / f"a01-{form:03}u-{line:02}.xml").write_text(xml(scale=1 + form))
    return directory


def test_file_is_read_as_offsets_and_ends(tmp_path):
    path = tmp_path / "line.xml"
    path.write_text(xml())
    points = read_strokes(path)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, POINTS)
    path.write_text(xml([[(7, 8)]]))
    np.testing.assert_array_equal(read_strokes(path), [[0, 0, 1]])


def test_directory_and_archive_give_the_same_split_by_form(tmp_path):
    directory = write_forms(tmp_path / "lineStrokes")
    with tarfile.open(tmp_path / "lineStrokes.tar.gz", "w:gz") as archive:
        archive.add(directory, "lineStrokes", filter=lambda info: info)
    data, packed = pen_strokes(directory), pen_strokes(tmp_path / "lineStrokes.tar.gz")
    remainders = [zlib.crc32(f"a01-{form:03}".encode()) % 10 for form in range(40)]
    counts = [2 * sum(one in chosen for one in remainders) for chosen in (range(2, 10), (0,), (1,))]
    assert [len(data.train), len(data.validation), len(data.test)] == counts
    for part in ("train", "validation", "test"):
        series, targets = getattr(data, part).series, getattr(data, part).targets
        for other, expected in ((getattr(packed, part).series, series), (getattr(packed, part).targets, targets)):
            order = sorted(range(len(other)), key=lambda index: other[index].tobytes())  # of the archive
            wanted = sorted(expected, key=lambda array: array.tobytes())
            np.testing.assert_array_equal([other[index] for index in order], wanted)
        for x, y in zip(series, targets, strict=True):
            np.testing.assert_array_equal(x[0], [0, 0, 1])
            np.testing.assert_array_equal(x[1:], y[:-1])
    assert np.concatenate([line[:, :2] for line in data.train.targets]).std() == pytest.approx(1, rel=1e-5)


DAMAGED = {
    "cut": xml()[:200],
    "empty": "",
    "text": "no xml",
    "no stroke": "<StrokeSet></StrokeSet>",
    "no point": "<StrokeSet><Stroke><Point x='1' y='2'/></Stroke><Stroke></Stroke></StrokeSet>",
    "point outside": "<StrokeSet><Point x='1' y='2'/></StrokeSet>",
    "no y": "<StrokeSet><Stroke><Point x='1'/></Stroke></StrokeSet>",
    "word": "<StrokeSet><Stroke><Point x='a' y='2'/></Stroke></StrokeSet>",
    "nan": "<StrokeSet><Stroke><Point x='nan' y='2'/></Stroke></StrokeSet>",
    "inf": "<StrokeSet><Stroke><Point x='1' y='1e400'/></Stroke></StrokeSet>",
    "entities": '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]><StrokeSet><Stroke a="&b;"/></StrokeSet>',
    "external": '<!DOCTYPE x SYSTEM "file:///etc/hostname"><StrokeSet></StrokeSet>',
}


def test_damaged_files_are_named(tmp_path):
    for name, text in DAMAGED.items():
        path = tmp_path / f"{name}.xml"
        path.write_text(text)
        with pytest.raises(DamagedFileError, match=rf"{name}\.xml: not an XML file of pen strokes, or damaged: "):
            read_strokes(path)
    directory = write_forms(tmp_path / "forms", 3, 1)
    (directory / "a01" / "a01-001" / "a01-001u-00.xml").write_text(DAMAGED["cut"])
    with pytest.raises(DamagedFileError, match=r"a01-001u-00\.xml: "):
        pen_strokes(directory)


def test_missing_and_unsuitable_data_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"do not exist; download lineStrokes-all\.tar\.gz"):
        pen_strokes(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"contain no \.xml file"):
        pen_strokes(tmp_path)
    with pytest.raises(DamagedFileError, match="1 lines, none of them in the"):
        pen_strokes(write_forms(tmp_path / "one", 1, 1))
    archive = tmp_path / "cut.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(write_forms(tmp_path / "forms", 30, 1), "forms")
    archive.write_bytes(archive.read_bytes()[:700])
    with pytest.raises(DamagedFileError, match=r"cut\.tar\.gz: not a \.tar\.gz file, or damaged"):
        pen_strokes(archive)


def test_synthetic_lines_are_connected_words(tmp_path):
    data, again = (synthetic_strokes(train=4, test=2, letters=5) for _ in range(2))
    assert (len(data.train), len(data.validation), len(data.test)) == (4, 2, 2)
    for line, other in zip(data.train.targets, again.train.targets, strict=True):
        np.testing.assert_array_equal(line, other)
        points, ends = np.cumsum(line[:, :2], 0), np.flatnonzero(line[:, 2])
        assert ends[-1] == len(line) - 1 == 49 and 1 <= len(ends) <= 3
        assert points[-1, 0] > 5 * np.ptp(points[:, 1]) / 5 and np.ptp(points[:, 1]) > 1  # from left to right
    other = synthetic_strokes(train=4, test=2, letters=5, seed=1)
    assert np.any(other.train.targets[0] != data.train.targets[0])
    draw_strokes(data.train.targets[0], tmp_path / "a.svg")
    picture = (tmp_path / "a.svg").read_text()
    assert picture.count("<path") == int(data.train.targets[0][:, 2].sum()) + picture.count("patch_")


def test_wrong_arguments_are_refused(tmp_path):
    line = np.float32(POINTS)
    cases = {
        r"strokes must be finite numbers of shape \(T, 3\)": functools.partial(draw_strokes, line[:, :2], "a.png"),
        "strokes must": functools.partial(draw_strokes, line * np.nan, "a.png"),
        "path must end with .png, .svg, .pdf": functools.partial(draw_strokes, line, tmp_path / "a.txt"),
        "line_width must be a positive number": functools.partial(draw_strokes, line, "a.png", line_width=0),
        "letters must be a positive integer": functools.partial(synthetic_strokes, letters=0),
        "seed must be a non-negative integer": functools.partial(synthetic_strokes, seed=-1),
    }
    wrong = [found for message, call in cases.items() if (found := outcome(call, message))]
    assert not wrong, wrong
