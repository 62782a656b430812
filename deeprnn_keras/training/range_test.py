"""Learning-rate range test: 100 updates that show which learning rates train a model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import keras
import numpy as np
from rich.console import Console

from deeprnn_keras import checks, progress
from deeprnn_keras._types import Tensor
from deeprnn_keras.training.range_report import RangeTestResult

MIN_UPDATES = 10
DIVERGENCE_FACTOR = 4.0  # a smoothed loss above this many times its minimum has diverged


def learning_rate_range_test(
    model: keras.Model,
    data: Iterable[Sequence[Tensor]],
    low: float = 1e-6,
    high: float = 10.0,
    updates: int = 100,
    smoothing: float = 0.9,
    verbose: bool = True,
) -> RangeTestResult:
    """Train with a learning rate that increases from `low` to `high`, record the loss, and restore the model.

        η_k = low (high / low)^(k / (updates - 1)),  s_k = smoothing s_{k-1} + (1 - smoothing) loss_k,
        smoothed loss = s_k / (1 - smoothing^(k + 1)),  s_{-1} = 0

    The test stops when the smoothed loss exceeds 4 times its minimum or the loss is not finite. Afterwards, also after
    Ctrl-C, the weights, random seeds, states, optimizer variables, and learning rate are restored bit for bit; metrics
    are reset. The result applies to the optimizer, batch size, and model of the test.

    Args:
        model: A built model, compiled with an optimizer whose learning rate is a number.
        data: Batches `(x, y)` or `(x, y, sample_weight)`: a `tf.data.Dataset`, a list, or another iterable. It is
            iterated repeatedly if it has too few batches; a dataset may shuffle each time.
        low: First learning rate.
        high: Last learning rate.
        updates: Number of updates, at least 10.
        smoothing: Weight of the previous value in the smoothed loss, in [0, 1).
        verbose: If True, show a progress bar in a terminal.

    Returns:
        A `RangeTestResult`. Its `suggestion` is a learning rate to start with, `print` shows a summary, and
        `plot(path)` draws the losses.

    Raises:
        ValueError: If an argument is out of range, the model is not built or not compiled, its optimizer has a
            learning-rate schedule, or `data` is empty, has elements that are not batches, or ends early and does not
            support a second iteration.

    Source: Smith 2017, arXiv:1506.01186. The geometric increase, the smoothing, and the stopping rule are fast.ai's.

    >>> import keras, numpy as np
    >>> from deeprnn_keras.training import learning_rate_range_test
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x = np.random.default_rng(0).normal(size=(32, 2))
    >>> report = learning_rate_range_test(model, [(x, x[:, :1])], low=1e-4)
    >>> report.suggestion < report.diverged_at
    True
    """
    low = checks.positive("low", low)
    high = checks.positive("high", high)
    if low >= high:
        raise ValueError(f"low must be less than high, got low={low:g} and high={high:g}")
    updates = checks.positive_int("updates", updates)
    if updates < MIN_UPDATES:
        raise ValueError(f"updates must be at least {MIN_UPDATES} to show where the loss falls, got {updates}")
    smoothing = checks.rate("smoothing", smoothing)
    verbose = checks.flag("verbose", verbose)
    _check_model(model)
    with _restored_afterwards(model), progress.shown(Console(quiet=not verbose), "Range test", "updates"):
        return _record(model, data, np.geomspace(low, high, updates).tolist(), smoothing)


def _check_model(model: keras.Model) -> None:
    if not model.compiled or model.optimizer is None:
        raise ValueError(
            f"model {model.name!r} is not compiled; compile it first: the range test uses its optimizer and loss"
        )
    if not model.built:
        raise ValueError(
            f"model {model.name!r} is not built, so that it has no weights to restore; add a keras.Input or "
            "call the model"
        )
    if not isinstance(model.optimizer.learning_rate, keras.Variable):
        raise ValueError(
            f"model {model.name!r} has an optimizer with a learning-rate schedule, which is not supported: the range "
            "test sets the learning rate; compile the model with a number as the learning rate"
        )


@contextmanager
def _restored_afterwards(model: keras.Model) -> Iterator[None]:
    """Restore all variables of the model and its optimizer and reset metrics when the block ends."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    before = [(variable, variable.numpy()) for variable in [*model.variables, *model.optimizer.variables]]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)
        model.reset_metrics()


def _record(
    model: keras.Model, data: Iterable[Sequence[Tensor]], rates: list[float], smoothing: float
) -> RangeTestResult:
    losses: list[float] = []
    smoothed: list[float] = []
    average, lowest = 0.0, math.inf
    batches = zip(rates, _batches(data, len(rates)), strict=True)
    for rate, batch in progress.tracked(batches, len(rates)):
        model.optimizer.learning_rate = rate
        # the loss of this batch alone, because train_on_batch resets the metrics first
        losses.append(float(model.train_on_batch(*batch, return_dict=True)["loss"]))
        average = smoothing * average + (1 - smoothing) * losses[-1]
        smoothed.append(average / (1 - smoothing ** len(losses)))
        # the limit is 4 times a positive minimum, and the same distance above a negative one; NaN fails the comparison
        limit = lowest + (DIVERGENCE_FACTOR - 1) * abs(lowest)
        if not smoothed[-1] <= limit or not math.isfinite(losses[-1]):
            return RangeTestResult(rates[: len(losses)], losses, smoothed, rate, smoothing)
        lowest = min(lowest, smoothed[-1])
    return RangeTestResult(rates, losses, smoothed, None, smoothing)


def _batches(data: Iterable[Sequence[Tensor]], updates: int) -> Iterator[Sequence[Tensor]]:
    """Yield `updates` batches, iterating over `data` repeatedly if necessary."""
    count = 0
    while count < updates:
        before = count
        for batch in data:
            if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
                raise ValueError(
                    f"data must consist of batches (x, y) or (x, y, sample_weight), got {_description(batch)}"
                )
            yield batch
            count += 1
            if count == updates:
                return
        if count == 0:
            raise ValueError("data must hold at least one batch, got none")
        if count == before:
            raise ValueError(
                f"data ended after {count} batches and does not support a second iteration; pass a dataset or a list, "
                f"or updates={count}"
            )


def _description(batch: object) -> str:
    if isinstance(batch, (tuple, list)):
        return f"a {type(batch).__name__} of length {len(batch)}"
    return f"an element of type {type(batch).__name__}"
