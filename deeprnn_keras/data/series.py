"""Labeled series, and data sets of them that require no download: Japanese vowels and handwritten digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras import checks, extras
from deeprnn_keras.reading import damage_reported, read_bytes

if TYPE_CHECKING:
    from deeprnn_keras.data.generated import GeneratedDataset

VOWELS_DIRECTORY = Path("datasets/data/JapaneseVowels")
NUM_TEST_DIGITS = 397


@dataclass(frozen=True)
class LabeledSeries:
    """Series with one target per series or per step.

    Attributes:
        series: Arrays (T_i, d).
        targets: One entry per series, or one array per series with one row per step.

    >>> import numpy as np
    >>> from deeprnn_keras.data import LabeledSeries
    >>> len(LabeledSeries([np.zeros((4, 2)), np.ones((7, 2))], targets=np.array([0, 1])))
    2
    """

    series: Sequence[np.ndarray]
    targets: np.ndarray | Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.series)


@dataclass(frozen=True)
class GeneratedSeries:
    """Training series of an artificial task, drawn again for every epoch.

    Attributes:
        generate: Function of `examples` and `seed` that returns arrays of inputs and targets, for example
            `functools.partial(adding_problem, steps=200)`.
        examples: Number of series per epoch.

    >>> import functools
    >>> from deeprnn_keras.data import GeneratedSeries, adding_problem
    >>> len(GeneratedSeries(functools.partial(adding_problem, steps=10), examples=100).dataset(batch_size=20, seed=0))
    5
    """

    generate: Callable[..., tuple[np.ndarray, np.ndarray]]
    examples: int

    def __post_init__(self) -> None:
        checks.store(self, examples=checks.positive_int("examples", self.examples))

    def __len__(self) -> int:
        return self.examples

    def dataset(self, batch_size: int, seed: int | None = None) -> GeneratedDataset:
        """Return batches for `fit`; an epoch has `examples` / `batch_size` of them, rounded down, but at least one.

        Args:
            batch_size: Batch size, n.
            seed: As for `GeneratedDataset`.

        Raises:
            ValueError: If `batch_size` is not a positive integer.
        """
        from deeprnn_keras.data.generated import GeneratedDataset

        batch_size = checks.positive_int("batch_size", batch_size)
        return GeneratedDataset(self.generate, batch_size, steps=max(1, self.examples // batch_size), seed=seed)


@dataclass(frozen=True)
class SeriesSplit:
    """Training, test, and optionally validation series.

    Attributes:
        train: Training series.
        test: Test series.
        validation: Validation series, or None if the data set has none.
        name: Name of the data set in reports.

    >>> import numpy as np
    >>> from deeprnn_keras.data import LabeledSeries, SeriesSplit
    >>> part = LabeledSeries([np.zeros((4, 2)), np.ones((7, 2))], targets=np.array([0, 1]))
    >>> SeriesSplit(train=part, test=part, name="steps").validation is None
    True
    """

    train: LabeledSeries | GeneratedSeries
    test: LabeledSeries
    validation: LabeledSeries | None = None
    name: str = "series"


def japanese_vowels() -> SeriesSplit:
    """Return the Japanese vowels data set: utterances of /ae/ by nine male speakers, to be classified by speaker.

    Each series has 12 cepstral coefficients per step and 7 to 29 steps; the targets are the speakers, 1 to 9. The
    official split has 270 training utterances, 30 per speaker, and 370 test utterances. The data, by Kudo, Toyama &
    Shimbo 1999 and from the UCI archive (CC BY 4.0), are read from the files of the package sktime, which is not
    imported.

    Raises:
        ImportError: If sktime is not installed.
        FileNotFoundError: If the installed sktime does not contain the data.

    >>> from deeprnn_keras.data import japanese_vowels
    >>> data = japanese_vowels()
    >>> len(data.train), len(data.test), data.train.series[0].shape
    (270, 370, (20, 12))
    """
    directory = extras.package_directory("sktime", "data", "Reading the Japanese vowels") / VOWELS_DIRECTORY
    paths = [directory / f"JapaneseVowels_{part}.ts" for part in ("TRAIN", "TEST")]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(
                f"file of the Japanese vowels {str(path)!r} does not exist; install a version of sktime that "
                "contains it: pip install 'deeprnn-keras[data]'"
            )
    train, test = map(_read_ts, paths)
    return SeriesSplit(train, test, name="Japanese vowels")


def _read_ts(path: Path) -> LabeledSeries:
    """Read a .ts file: one case per line, channels separated by colons, values by commas, and the label last.

    Raises:
        DamagedFileError: If a line has another number of channels than the first, channels of different lengths,
            values that are not finite numbers, or a label that is not an integer.
    """
    with damage_reported(path, "a .ts file"):
        lines = read_bytes(path).decode("utf-8").splitlines()
        cases = [line.split(":") for line in lines if line and not line.startswith(("#", "@"))]
        series = [np.array([channel.split(",") for channel in case[:-1]], "float32").T for case in cases]
        if not series:
            raise ValueError("it has no cases")
        for number, case in enumerate(series):
            if case.ndim != 2 or case.shape[1:] != series[0].shape[1:] or not np.isfinite(case).all():
                raise ValueError(f"case {number} must have finite values in as many channels as case 0")
        return LabeledSeries(series, np.array([int(case[-1]) for case in cases]))


def digits() -> SeriesSplit:
    """Return handwritten digits, 8 x 8 pixels with values 0 to 16, read pixel by pixel: 64 steps of one feature.

    The first 1,400 of the 1,797 digits are for training and the last 397, by other writers, for testing; the targets
    are the digits. This is scikit-learn's copy of the test set in the UCI archive (Alpaydin & Kaynak 1998, CC BY 4.0).

    Raises:
        ImportError: If scikit-learn is not installed.

    >>> from deeprnn_keras.data import digits
    >>> data = digits()
    >>> len(data.train), len(data.test), data.train.series[0].shape
    (1400, 397, (64, 1))
    """
    loaded = extras.import_optional("sklearn.datasets", "data", "Reading the handwritten digits").load_digits()
    series, targets = list(loaded.data.astype("float32")[:, :, None]), loaded.target
    return SeriesSplit(
        LabeledSeries(series[:-NUM_TEST_DIGITS], targets[:-NUM_TEST_DIGITS]),
        LabeledSeries(series[-NUM_TEST_DIGITS:], targets[-NUM_TEST_DIGITS:]),
        name="digits",
    )
