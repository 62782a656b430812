"""Artificial tasks that measure how long a network retains information: the adding problem and copy memory."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.data.series import GeneratedSeries, LabeledSeries, SeriesSplit

NUM_SYMBOLS = 8
COPIED_SYMBOLS = 10
VALIDATION_SEED, TEST_SEED = 0, 1
EXAMPLES_PER_EPOCH = 50_000


def adding_problem(examples: int, steps: int, seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Generate the adding problem: random numbers in [0, 1), two of which are marked; the target is their sum.

    One number in each half of the sequence is marked (Hochreiter & Schmidhuber 1997). A model that always predicts 1
    has a mean squared error of 1/6.

    Args:
        examples: Number of examples, n.
        steps: Number of steps, T, at least 2.
        seed: Random seed, or None for different examples in every call.

    Returns:
        x (n, T, 2), numbers and marks, and y (n, 1), both float32.

    Raises:
        ValueError: If an argument is out of range.

    >>> from deeprnn_keras.data import adding_problem
    >>> x, y = adding_problem(3, steps=10, seed=0)
    >>> x.shape, bool(((x[:, :, 0] * x[:, :, 1]).sum(1, keepdims=True) == y).all())
    ((3, 10, 2), True)
    """
    examples, steps = checks.positive_int("examples", examples), checks.positive_int("steps", steps)
    if steps < 2:
        raise ValueError(f"steps must be at least 2, one for each mark, got {steps}")
    rng = np.random.default_rng(checks.generator_seed("seed", seed))
    numbers, marks = rng.random((examples, steps), "float32"), np.zeros((examples, steps), "float32")
    rows = np.arange(examples)
    for low, high in ((0, steps // 2), (steps // 2, steps)):
        marks[rows, rng.integers(low, high, size=examples)] = 1
    return np.stack([numbers, marks], -1), (numbers * marks).sum(1, keepdims=True)


def adding_split(steps: int = 200, train: int = 50_000, test: int = 1_000) -> SeriesSplit:
    """Return the adding problem as a `SeriesSplit`, the same in every call.

    Args:
        steps: Number of steps, T, at least 2.
        train: Number of training examples. The defaults are those of Bai, Kolter & Koltun 2018.
        test: Number of test examples.

    Returns:
        A `SeriesSplit` of series (T, 2) and targets (1,).

    Raises:
        ValueError: If a number is not a positive integer, or `steps` is less than 2.

    >>> from deeprnn_keras.data import adding_split
    >>> len(adding_split(steps=10, train=8, test=2).test)
    2
    """
    train, test = checks.positive_int("train", train), checks.positive_int("test", test)
    parts = [adding_problem(count, steps, seed) for seed, count in enumerate((train, test))]
    return SeriesSplit(*(LabeledSeries(list(x), y) for x, y in parts), name=f"adding problem, T {steps}")


def adding_stream(steps: int = 200, examples: int = EXAMPLES_PER_EPOCH, test: int = 1_000) -> SeriesSplit:
    """Return the adding problem with training examples that are drawn again for every epoch.

    The seed of a run determines its training examples, so that an interrupted run can be resumed. The test and the
    validation examples are the same in every call.

    Args:
        steps: Number of steps, T, at least 2.
        examples: Number of training examples per epoch.
        test: Number of test examples, and of validation examples.

    Returns:
        A `SeriesSplit` whose training part is a `GeneratedSeries`.

    >>> from deeprnn_keras.data import adding_stream
    >>> data = adding_stream(steps=10, examples=100, test=2)
    >>> len(data.train.dataset(batch_size=20, seed=0)), len(data.validation)
    (5, 2)
    """
    return _stream(adding_problem, "adding problem", steps, examples, test)


def copy_memory(
    examples: int, steps: int, seed: int | None = None, symbols: int = COPIED_SYMBOLS
) -> tuple[np.ndarray, np.ndarray]:
    """Generate the copy memory task: repeat symbols that were read `steps` steps before.

    A sequence consists of `symbols` symbols, each 1 to 8, then `steps` - 1 blanks 0, one signal 9, and `symbols`
    blanks. The target is blank up to and including the signal; then it repeats the symbols (Hochreiter & Schmidhuber
    1997, with the sizes of Arjovsky, Shah & Bengio 2016). A model without memory, which draws the symbols at random,
    has a cross-entropy of `symbols` log(8) / (`steps` + 2 `symbols`) nats per step.

    Args:
        examples: Number of examples, n.
        steps: Number of steps from the last symbol to the signal.
        seed: Random seed, or None for different examples in every call.
        symbols: Number of symbols to repeat, S.

    Returns:
        Ids x and y below 10, (n, steps + 2 S) each, int32.

    Raises:
        ValueError: If an argument is out of range.

    >>> from deeprnn_keras.data import copy_memory
    >>> x, y = copy_memory(1, steps=4, seed=0, symbols=3)
    >>> x.tolist(), y.tolist()
    ([[7, 6, 5, 0, 0, 0, 9, 0, 0, 0]], [[0, 0, 0, 0, 0, 0, 0, 7, 6, 5]])
    """
    examples, steps = checks.positive_int("examples", examples), checks.positive_int("steps", steps)
    symbols = checks.positive_int("symbols", symbols)
    rng = np.random.default_rng(checks.generator_seed("seed", seed))
    drawn = rng.integers(1, NUM_SYMBOLS + 1, size=(examples, symbols))
    x = np.zeros((examples, steps + 2 * symbols), "int32")
    y = x.copy()
    x[:, :symbols] = y[:, -symbols:] = drawn
    x[:, symbols + steps - 1] = NUM_SYMBOLS + 1
    return x, y


def copy_stream(steps: int = 200, examples: int = EXAMPLES_PER_EPOCH, test: int = 1_000) -> SeriesSplit:
    """Return the copy memory task with training examples that are drawn again for every epoch; see `adding_stream`.

    Args:
        steps: Number of steps from the last symbol to the signal.
        examples: Number of training examples per epoch.
        test: Number of test examples, and of validation examples.

    Returns:
        A `SeriesSplit` whose training part is a `GeneratedSeries`.

    >>> from deeprnn_keras.data import copy_stream
    >>> copy_stream(steps=10, examples=100, test=2).test.series[0].shape
    (30,)
    """
    return _stream(copy_memory, "copy memory", steps, examples, test)


def _stream(
    generate: Callable[..., tuple[np.ndarray, np.ndarray]], name: str, steps: int, examples: int, test: int
) -> SeriesSplit:
    """Return the data set of a generator, with fixed validation and test examples."""
    examples, test = checks.positive_int("examples", examples), checks.positive_int("test", test)
    held_out = {}
    for part, seed in (("validation", VALIDATION_SEED), ("test", TEST_SEED)):
        x, y = generate(test, steps, seed)
        held_out[part] = LabeledSeries(list(x), y if y.shape[1] == 1 else list(y))
    train = GeneratedSeries(functools.partial(generate, steps=steps), examples)
    return SeriesSplit(train, **held_out, name=f"{name}, T {steps}")
