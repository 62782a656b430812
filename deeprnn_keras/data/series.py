"""Series with an answer each, without a network: Japanese vowels, handwritten digits, the adding problem."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deeprnn_keras import checks, extras

VOWELS = Path("datasets/data/JapaneseVowels")
DIGITS_HELD_OUT = 397


@dataclass(frozen=True)
class LabeledSeries:
    """Series, arrays (T_i, d), and an answer for each, or one for each step."""

    series: list
    targets: np.ndarray | list

    def __len__(self):
        return len(self.series)


@dataclass(frozen=True)
class SeriesSplit:
    """What to learn from, what to be tested on, and what to choose by, where that is a part of its own."""

    train: LabeledSeries
    test: LabeledSeries
    validation: LabeledSeries | None = None
    name: str = "series"


def japanese_vowels():
    """Nine men say /ae/: 12 cepstral coefficients at 7 to 29 steps, the speaker to be told, 1 to 9.

    270 utterances to learn from, 30 of each speaker, and 370 to be tested on: the official split. Kudo, Toyama &
    Shimbo 1999, from the UCI archive (CC BY 4.0), as it lies in the package sktime, which is not imported.

    Raises:
        ImportError: If sktime is not installed.
        FileNotFoundError: If the installed sktime does not hold the data.

    >>> from deeprnn_keras.data import japanese_vowels
    >>> data = japanese_vowels()
    >>> len(data.train), len(data.test), data.train.series[0].shape
    (270, 370, (20, 12))
    """
    directory = extras.package_directory("sktime", "data", "japanese_vowels") / VOWELS
    paths = [directory / f"JapaneseVowels_{part}.ts" for part in ("TRAIN", "TEST")]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{str(path)!r} does not exist: the installed sktime does not hold the data")
    return SeriesSplit(*map(_read_ts, paths), name="Japanese vowels")


def _read_ts(path):
    """A file of one case a line: channels parted by colons, values by commas, the label last."""
    lines = path.read_text(encoding="utf-8").splitlines()
    cases = [line.split(":") for line in lines if line and not line.startswith(("#", "@"))]
    series = [np.array([channel.split(",") for channel in case[:-1]], "float32").T for case in cases]
    return LabeledSeries(series, np.array([int(case[-1]) for case in cases]))


def digits():
    """Handwritten digits, 8 x 8 pixels of 0 to 16 read one by one: 64 steps of one number, the digit to be told.

    The first 1,400 of 1,797 to learn from, the last 397 to be tested on: by other writers. Scikit-learn's copy of the
    UCI archive's test set (Alpaydin & Kaynak 1998, CC BY 4.0).

    Raises:
        ImportError: If scikit-learn is not installed.

    >>> from deeprnn_keras.data import digits
    >>> data = digits()
    >>> len(data.train), len(data.test), data.train.series[0].shape
    (1400, 397, (64, 1))
    """
    loaded = extras.import_optional("sklearn.datasets", "data", "digits").load_digits()
    series, answers = list(loaded.data.astype("float32")[:, :, None]), loaded.target
    return SeriesSplit(
        LabeledSeries(series[:-DIGITS_HELD_OUT], answers[:-DIGITS_HELD_OUT]),
        LabeledSeries(series[-DIGITS_HELD_OUT:], answers[-DIGITS_HELD_OUT:]),
        name="digits",
    )


def adding_problem(examples, steps, seed=None):
    """Random numbers in [0, 1), two of which are marked, one in each half; the answer is their sum.

    Hochreiter & Schmidhuber 1997. Always answering 1 has a mean squared error of 1/6.

    Args:
        examples: n.
        steps: T, at least 2.
        seed: a whole number, or None.

    Returns x (n, T, 2), numbers and marks, and y (n, 1), both float32.

    >>> from deeprnn_keras.data import adding_problem
    >>> x, y = adding_problem(3, steps=10, seed=0)
    >>> x.shape, bool(((x[:, :, 0] * x[:, :, 1]).sum(1, keepdims=True) == y).all())
    ((3, 10, 2), True)
    """
    n, steps = checks.positive_int("examples", examples), checks.positive_int("steps", steps)
    if steps < 2:
        raise ValueError(f"steps must be at least 2, for two marks, got {steps}")
    rng = np.random.default_rng(checks.seed("seed", seed))
    numbers, marks = rng.random((n, steps), "float32"), np.zeros((n, steps), "float32")
    rows = np.arange(n)
    for low, high in ((0, steps // 2), (steps // 2, steps)):
        marks[rows, rng.integers(low, high, size=n)] = 1
    return np.stack([numbers, marks], -1), (numbers * marks).sum(1, keepdims=True)


def adding_split(steps=200, train=50_000, test=1_000):
    """The adding problem as a `SeriesSplit`, the same each time: as many examples as Bai, Kolter & Koltun 2018 have.

    >>> from deeprnn_keras.data import adding_split
    >>> len(adding_split(steps=10, train=8, test=2).test)
    2
    """
    sides = [adding_problem(count, steps, seed) for seed, count in enumerate((train, test))]
    return SeriesSplit(*(LabeledSeries(list(x), y) for x, y in sides), name=f"adding problem, T {steps}")
