"""Online handwriting as pen strokes (T, 3): offsets of the pen, and the end of a stroke."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.parsers import expat

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import PathLike
from deeprnn_keras.data.series import LabeledSeries, SeriesSplit
from deeprnn_keras.reading import DamagedFileError, damage_reported, read_bytes, require_regular_file

URL = "https://fki.tic.heia-fr.ch/databases/iam-on-line-handwriting-database"
MAX_BYTES = 2**24  # of one XML file; a line of IAM-OnDB has about 60,000 bytes
MAX_COORDINATE = 1e6  # coordinates of IAM-OnDB are below 20,000
START = (0.0, 0.0, 1.0)  # first input of every sequence: the pen is lifted
VALIDATION_PART, TEST_PART, NUM_PARTS = 0, 1, 10
SYNTHETIC_SEED = 20_130


# === Files ===


def read_strokes(path: PathLike) -> np.ndarray:
    """Return the pen strokes of one line of handwriting, an XML file in the format of IAM-OnDB.

    Such a file has elements `Stroke`, which contain elements `Point` with attributes `x` and `y`. Document type
    declarations, and with them entities, are not supported, so that a file cannot expand beyond its size.

    Args:
        path: Path of the file, for example lineStrokes/a01/a01-000/a01-000u-01.xml.

    Returns:
        float32 (T, 3) with one row per point: the offsets x_t - x_{t-1} and y_t - y_{t-1} in units of the file, 0 for
        the first point, with y pointing down; and 1 for the last point of a stroke, otherwise 0.

    Raises:
        FileNotFoundError: If the file does not exist.
        DamagedFileError: If the file is not XML, has a document type declaration, or has no stroke; if a stroke has no
            point; or if a coordinate is missing or not a finite number.

    >>> import pathlib, tempfile
    >>> from deeprnn_keras.data import read_strokes
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "line.xml"
    >>> _ = path.write_text('<StrokeSet><Stroke><Point x="5" y="7"/><Point x="8" y="6"/></Stroke></StrokeSet>')
    >>> read_strokes(path).tolist()
    [[0.0, 0.0, 0.0], [3.0, -1.0, 1.0]]
    """
    path = Path(path).expanduser()
    return _parse(read_bytes(path, MAX_BYTES), str(path))


def pen_strokes(path: PathLike) -> SeriesSplit:
    """Return the lines of handwriting in a directory or an archive of XML files in the format of IAM-OnDB.

    The offsets are divided by the standard deviation of those of the training lines. A sequence starts with a lifted
    pen, (0, 0, 1); the target of each step is the next point. IAM-OnDB (Liwicki & Bunke 2005) requires registration and
    is not included: download lineStrokes-all.tar.gz from its site. The split is defined by this package: all lines of
    a form, which one person wrote, are in the same part; about a tenth of the forms are for validation, and a tenth for
    testing.

    Args:
        path: A directory, which is searched for .xml files at any depth, or a .tar.gz file. Nothing is extracted.

    Returns:
        A `SeriesSplit` of series (T, 3) and targets (T, 3); see `read_strokes`.

    Raises:
        FileNotFoundError: If `path` does not exist, or contains no .xml file.
        DamagedFileError: If a file is damaged; the message names it. Also if a part of the split has no line.

    >>> import pathlib, tempfile
    >>> from deeprnn_keras.data import pen_strokes
    >>> directory = pathlib.Path(tempfile.mkdtemp())
    >>> line = '<StrokeSet><Stroke><Point x="5" y="7"/><Point x="8" y="6"/></Stroke></StrokeSet>'
    >>> for form in range(40):
    ...     _ = (directory / f"a01-{form:03}z-01.xml").write_text(line)
    >>> data = pen_strokes(directory)
    >>> len(data.train), len(data.validation), len(data.test), data.train.series[0].shape
    (28, 6, 6, (2, 3))
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"handwriting data {str(path)!r} do not exist; download lineStrokes-all.tar.gz of IAM-OnDB from {URL}"
        )
    parts: dict[int, list[np.ndarray]] = {VALIDATION_PART: [], TEST_PART: [], NUM_PARTS: []}
    for name, content in _directory_files(path) if path.is_dir() else _archive_files(path):
        part = zlib.crc32(_form(name).encode()) % NUM_PARTS
        parts[part if part in parts else NUM_PARTS].append(_parse(content, name))
    if not any(parts.values()):
        raise FileNotFoundError(f"handwriting data {str(path)!r} contain no .xml file; pass the directory lineStrokes")
    for part, meaning in ((NUM_PARTS, "training"), (VALIDATION_PART, "validation"), (TEST_PART, "test")):
        if not parts[part]:
            count = sum(map(len, parts.values()))
            raise DamagedFileError(path, f"{count} lines, none of them in the {meaning} part; more forms are required")
    return _split(parts[NUM_PARTS], parts[VALIDATION_PART], parts[TEST_PART], path.name.partition(".")[0])


def _directory_files(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of the XML files in a directory, in the order of their paths."""
    for path in sorted(directory.rglob("*.xml")):
        yield str(path), read_bytes(path, MAX_BYTES)


def _archive_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the XML files in a .tar.gz file, in their order."""
    expected = "a .tar.gz file"
    with damage_reported(require_regular_file(path), expected, tarfile.TarError):
        archive = tarfile.open(path, "r:*")  # noqa: SIM115 - closed by the next statement
    with archive:
        while True:
            with damage_reported(path, expected, tarfile.TarError):
                member = archive.next()
                if member is None:
                    return
                file = archive.extractfile(member) if member.isfile() and member.name.endswith(".xml") else None
                if file is None:
                    continue
                if member.size > MAX_BYTES:
                    raise ValueError(
                        f"{member.name} has {member.size:,} bytes, but at most {MAX_BYTES:,} are supported"
                    )
                content = file.read()
            yield f"{path}/{member.name}", content


def _form(name: str) -> str:
    """Return the name of the form that a line belongs to: 'a01-000' for a01-000u-01.xml."""
    return "-".join(Path(name).stem.split("-")[:2]).rstrip("abcdefghijklmnopqrstuvwxyz")


def _parse(content: bytes, name: str) -> np.ndarray:
    """Return the strokes in the content of an XML file."""
    strokes: list[list[tuple[float, float]]] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Stroke":
            strokes.append([])
        elif tag == "Point":
            if not strokes:
                raise ValueError("a Point precedes the first Stroke")
            strokes[-1].append((_coordinate("x", attributes), _coordinate("y", attributes)))

    def refuse_declarations(*_: object) -> None:
        raise ValueError("document type declarations are not supported")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.StartDoctypeDeclHandler = start, refuse_declarations
    with damage_reported(name, "an XML file of pen strokes", expat.ExpatError):
        parser.Parse(content, True)
        return _offsets(strokes)


def _coordinate(name: str, attributes: dict[str, str]) -> float:
    if name not in attributes:
        raise ValueError(f"a Point has no attribute {name}")
    number = float(attributes[name])
    if not abs(number) <= MAX_COORDINATE:
        raise ValueError(f"the coordinate {name}={attributes[name]!r} is not between -{MAX_COORDINATE:g} and 1e+06")
    return number


def _offsets(strokes: Sequence[Sequence[tuple[float, float]]]) -> np.ndarray:
    """Return the points of strokes as offsets and ends, (T, 3)."""
    if not strokes:
        raise ValueError("it has no Stroke")
    if not all(strokes):
        raise ValueError(f"Stroke {[bool(stroke) for stroke in strokes].index(False) + 1} has no Point")
    points = np.concatenate([np.asarray(stroke, "float64") for stroke in strokes])
    result = np.zeros((len(points), 3), "float32")
    result[1:, :2] = np.diff(points, axis=0)
    result[np.cumsum([len(stroke) for stroke in strokes]) - 1, 2] = 1
    return result


# === Synthetic handwriting ===


def synthetic_strokes(train: int = 400, test: int = 50, letters: int = 12, seed: int = SYNTHETIC_SEED) -> SeriesSplit:
    """Return computer-generated lines that resemble handwriting: words of slanted loops, arches, and bars.

    A line has words of two to five connected letters. Slant, size, and spacing differ from line to line, and the pen
    trembles. The data need no file; they are meant for tests and first experiments, in the form of `pen_strokes`.

    Args:
        train: Number of training lines.
        test: Number of test lines, and of validation lines.
        letters: Number of letters per line.
        seed: Random seed.

    Returns:
        A `SeriesSplit` of series (T, 3) and targets (T, 3); see `read_strokes`.

    Raises:
        ValueError: If a number is not a positive integer, or `seed` is not a nonnegative one.

    >>> from deeprnn_keras.data import synthetic_strokes
    >>> data = synthetic_strokes(train=3, test=1, letters=4)
    >>> data.train.series[0].shape[1], float(data.train.targets[0][-1, 2])
    (3, 1.0)
    """
    counts = {"train": checks.positive_int("train", train), "test": checks.positive_int("test", test)}
    letters = checks.positive_int("letters", letters)
    seed = checks.generator_seed("seed", checks.non_negative_int("seed", seed)) or 0
    lines, validation, held_out = (
        [_synthetic_line(np.random.default_rng([seed, part, line]), letters) for line in range(count)]
        for part, count in enumerate((counts["train"], counts["test"], counts["test"]))
    )
    return _split(lines, validation, held_out, "synthetic handwriting")


def _synthetic_line(rng: np.random.Generator, letters: int) -> np.ndarray:
    """Return one line: strokes of words, each a chain of letters."""
    slant, size, left = rng.uniform(0.0, 0.5), rng.uniform(8.0, 12.0), 0.0
    strokes, remaining = [], letters
    while remaining:
        count = min(remaining, int(rng.integers(2, 6)))
        word = np.concatenate([_letter(rng) + np.array([number, 0.0]) for number in range(count)])
        word += rng.normal(0.0, 0.015, word.shape)
        x = left + size * (word[:, 0] + slant * word[:, 1])
        strokes.append(np.stack([x, -size * word[:, 1]], axis=1))
        left, remaining = left + size * (count + rng.uniform(0.6, 1.0)), remaining - count
    return _offsets([[(float(x), float(y)) for x, y in stroke] for stroke in strokes])


def _letter(rng: np.random.Generator) -> np.ndarray:
    """Return the points of a random letter, which starts at (0, 0) and ends at (1, 0), with y pointing up."""
    t = np.linspace(0.0, 1.0, 10, endpoint=False)
    height = 2.0 if rng.random() < 1 / 3 else 1.0
    kind = int(rng.integers(3))
    if kind == 0:  # a loop, as in e and l
        return np.stack([t + 0.45 * np.sin(2 * np.pi * t), height * (1 - np.cos(2 * np.pi * t)) / 2], axis=1)
    if kind == 1:  # an arch, as in n
        return np.stack([t, height * np.sqrt(np.clip(1 - (2 * t - 1) ** 2, 0, None))], axis=1)
    return np.stack([t, height * np.clip(1.6 * np.minimum(t, 0.9 - t) * 2.2, 0, 1)], axis=1)  # a bar, as in i and t


# === Data sets ===


def _split(
    train: Sequence[np.ndarray], validation: Sequence[np.ndarray], test: Sequence[np.ndarray], name: str
) -> SeriesSplit:
    """Return lines as a data set, with offsets in units of their standard deviation in the training lines."""
    deviation = float(np.concatenate([line[:, :2] for line in train]).std()) or 1.0
    parts = [_labeled([line / (deviation, deviation, 1.0) for line in lines]) for lines in (train, test, validation)]
    return SeriesSplit(*parts, name=name)


def _labeled(lines: Sequence[np.ndarray]) -> LabeledSeries:
    """Return lines with the next point as the target of each step."""
    lines = [line.astype("float32") for line in lines]
    return LabeledSeries([np.concatenate([np.array([START], "float32"), line[:-1]]) for line in lines], lines)
