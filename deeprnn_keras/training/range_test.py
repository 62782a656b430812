"""`learning_rate_range_test`: which learning rates train a model, seen in a hundred updates."""

import math
from contextlib import contextmanager

import keras
import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.training.range_report import RangeTest

TOO_HIGH = 4.0  # times its minimum


def learning_rate_range_test(model, data, low=1e-6, high=10.0, updates=100, smoothing=0.9):
    """Trains with a learning rate that grows from `low` to `high`, records the loss, and puts the model back.

        η_k = low (high / low)^(k / (updates - 1)),  s_k = smoothing s_{k-1} + (1 - smoothing) loss_k,
        smoothed loss = s_k / (1 - smoothing^(k + 1)),  s_{-1} = 0

    It stops when the smoothed loss exceeds 4 times its minimum, or the loss is not finite. Weights, random seeds,
    states, the optimizer's variables and its learning rate are afterwards as they were, to the bit, also on Ctrl-C;
    metrics are reset. A range test is for the optimizer, the batch size and the model it was made with.

    Args:
        model: built, and compiled with an optimizer whose learning rate is a number.
        data: batches (x, y) or (x, y, sample_weight): a tf.data.Dataset, a list, or another iterable; repeated when it
            ends. A dataset that shuffles anew each time does so here too.
        low, high: the range of learning rates.
        updates: at least 10.
        smoothing: in [0, 1).

    Returns a `RangeTest`: its `suggestion` is the rate to begin with; printed, a summary; `plot(path)` draws it.

    Raises:
        ValueError: for a range, `updates` or `smoothing` that make no sense, a model that is not built or compiled, a
            learning-rate schedule, or data without batches, that is no batches, or that cannot be read twice.

    Source: Smith 2017, arXiv:1506.01186; the geometric growth, the smoothing and the stop are fast.ai's.

    >>> import keras, numpy as np
    >>> from deeprnn_keras.training import learning_rate_range_test
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> x = np.random.default_rng(0).normal(size=(32, 2))
    >>> report = learning_rate_range_test(model, [(x, x[:, :1])], low=1e-4)
    >>> report.suggestion < report.blow_up
    True
    """
    low = checks.positive("low", low)
    high = checks.positive("high", high)
    if low >= high:
        raise ValueError(f"low must be below high, got low={low:g} and high={high:g}")
    if checks.positive_int("updates", updates) < 10:
        raise ValueError(f"updates must be at least 10 to show where a loss falls, got {updates}")
    checks.rate("smoothing", smoothing)
    _require_trainable(model)
    with _put_back(model):
        return _record(model, data, np.geomspace(low, high, updates).tolist(), smoothing)


def _require_trainable(model):
    if not model.compiled or model.optimizer is None:
        raise ValueError("model must be compiled: the range test uses its optimizer and its loss")
    if not model.built:
        raise ValueError("model must be built, so that there are weights to put back: give it a keras.Input or call it")
    if not isinstance(model.optimizer.learning_rate, keras.Variable):
        raise ValueError(
            "model must be compiled with a number as the learning rate, since the range test sets it; "
            "this optimizer has a schedule"
        )


@contextmanager
def _put_back(model):
    """All variables of the model and its optimizer are afterwards what they were; metrics are reset."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    before = [(variable, variable.numpy()) for variable in [*model.variables, *model.optimizer.variables]]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)
        model.reset_metrics()


def _record(model, data, rates, smoothing):
    losses, smoothed, running, best = [], [], 0.0, math.inf
    for rate, batch in zip(rates, _batches(data, len(rates)), strict=True):
        model.optimizer.learning_rate = rate
        losses.append(float(model.train_on_batch(*batch, return_dict=True)["loss"]))  # it resets the metrics first
        running = smoothing * running + (1 - smoothing) * losses[-1]
        smoothed.append(running / (1 - smoothing ** len(losses)))
        # where a loss may be negative, what 4 times is to positive ones; NaN is not below anything
        if not smoothed[-1] <= best + (TOO_HIGH - 1) * abs(best) or not math.isfinite(losses[-1]):
            return RangeTest(rates[: len(losses)], losses, smoothed, rate, smoothing)
        best = min(best, smoothed[-1])
    return RangeTest(rates, losses, smoothed, None, smoothing)


def _batches(data, updates):
    """`updates` batches, from the beginning again where `data` ends."""
    count = 0
    while count < updates:
        before = count
        for batch in data:
            if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
                raise ValueError(f"data must give (x, y) or (x, y, sample_weight), got {_shown(batch)}")
            yield batch
            count += 1
            if count == updates:
                return
        if count == 0:
            raise ValueError("data must hold at least one batch, got none")
        if count == before:
            raise ValueError(
                f"data ended after {count} batches and cannot be read again: give a dataset or a list, "
                f"or updates={count}"
            )


def _shown(batch):
    if isinstance(batch, (tuple, list)):
        return f"a {type(batch).__name__} of {len(batch)}"
    return f"one {type(batch).__name__}"
