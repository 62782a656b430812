"""Averaged weights: validated, saved and left in the model at the end, while training goes on with the raw ones."""

import keras
from keras import ops

from deeprnn_keras import _compat, checks
from deeprnn_keras.optimizers.clipping import innermost


class AveragedWeights(keras.callbacks.Callback):
    """The base: the means enter the model when a validation begins, and the raw weights when the next epoch begins.

    Attributes:
        averaged: whether the model holds the means at the moment.
        raw: variables, one for each trainable weight, from the beginning of `fit` on: the raw weights while `averaged`.
    """

    def __init__(self):
        super().__init__()
        self.raw, self.averaged = [], False

    def means(self):
        """The averaged weights, or an empty list where there are none yet."""
        raise TypeError(f"{type(self).__name__} must define means()")

    def on_train_begin(self, logs=None):
        self.averaged = False
        self.raw = [_like(weight, weight.dtype) for weight in self.model.trainable_variables]

    def on_epoch_begin(self, epoch, logs=None):
        if self.averaged:
            _copy(self.raw, self.model.trainable_variables)
            self.averaged = False

    def on_test_begin(self, logs=None):
        self._put_in()

    def on_train_end(self, logs=None):
        self._put_in()

    def _put_in(self):
        """The means take the place of the raw weights, which are set aside."""
        means = self.means()
        if means and not self.averaged:
            _copy(self.model.trainable_variables, self.raw)
            _copy(means, self.model.trainable_variables)
            self.averaged = True


class EMAWeights(AveragedWeights):
    """Validates, saves and leaves at the end the exponential moving average that a Keras optimizer keeps.

    The optimizer has `use_ema=True`: w̄_k = m w̄_{k-1} + (1 - m) w_k. `keras.callbacks.SwapEMAWeights` does the like, by
    additions and subtractions, which round; here the raw weights come back bit for bit.

    Raises:
        ValueError: in `fit`, for an optimizer without `use_ema`.

    >>> import keras, numpy as np
    >>> from deeprnn_keras.training import EMAWeights
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9), "mse")
    >>> history = model.fit(np.ones((8, 2)), np.ones(8), verbose=0, callbacks=[EMAWeights()])
    """

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if not getattr(innermost(self.model.optimizer), "use_ema", False):
            raise ValueError("EMAWeights needs an optimizer with use_ema=True, which keeps the average")

    def means(self):
        optimizer = innermost(self.model.optimizer)
        return _compat.average_variables(optimizer) if int(optimizer.iterations) else []


class NTASGD(AveragedWeights):
    """Non-monotonically triggered averaged SGD (Merity, Keskar & Socher 2017, arXiv:1708.02182).

    Plain SGD, until the validation loss v_e of an epoch e is worse than the best of all epochs but the last `nonmono`:

        v_e > min(v_1, ..., v_{e - 1 - nonmono})

    From then on the mean of the weights after each update is what is validated, saved and left at the end, while
    training goes on with the raw weights:

        w̄_k = w̄_{k-1} + (w_k - w̄_{k-1}) / k,    k = 1 for the first update after the trigger

    The means enter the model when a validation begins and stay there until the next epoch begins: what
    `ModelCheckpoint` and its like save is what was validated. At the end of `fit` they are left in the model. Each
    `fit` starts anew, from what the model holds. A `fit` that is broken off (Ctrl-C) leaves whichever weights the
    model holds at the moment, see `averaged`; `on_train_end()` then puts the means in.

    Only trainable weights are averaged; the optimizer is yours to choose, and is SGD without momentum in the paper. The
    rule is that of its code, salesforce/awd-lstm-lm, where PyTorch's ASGD forgets w_1: a difference of one part in k.

    Args:
        nonmono: epochs without progress that are allowed.
        monitor: the figure of an epoch that should fall, by its name in the logs.

    Attributes:
        losses: the monitored figure of each epoch so far.
        triggered_at: the epoch, from 0, at whose end averaging was triggered, or None.
        count: k, the updates in the means.
        averaged: whether the model holds the means at the moment.
        averages, raw: variables, one for each trainable weight, from the beginning of `fit` on: w̄_k; and the raw
            weights while `averaged`.

    Raises:
        ValueError: for `nonmono` below 1; in `fit`, if an epoch has no such figure, or if a batch is not one update
            (steps_per_execution).

    >>> import keras, numpy as np
    >>> from deeprnn_keras.training import NTASGD
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.5), "mse")
    >>> x, y = np.ones((8, 2)), np.arange(8.0)
    >>> averaging = NTASGD(nonmono=1)
    >>> history = model.fit(x, y, batch_size=2, validation_data=(x, y), epochs=9, verbose=0, callbacks=[averaging])
    >>> averaging.triggered_at < 9 and averaging.averaged
    True
    """

    def __init__(self, nonmono=5, monitor="val_loss"):
        super().__init__()
        self.nonmono = checks.positive_int("nonmono", nonmono)
        self.monitor = monitor
        self.averages = []
        self.losses, self.triggered_at, self.count = [], None, 0

    def on_train_begin(self, logs=None):
        if self.model.steps_per_execution != 1:
            raise ValueError(
                "NTASGD must see the weights after each update; compile the model with steps_per_execution=1, "
                f"got {self.model.steps_per_execution}"
            )
        super().on_train_begin(logs)
        self.losses, self.triggered_at, self.count = [], None, 0
        # a half-precision mean would stop moving: its steps are k times smaller than those of the weights
        self.averages = [
            _like(weight, keras.backend.result_type(weight.dtype, "float32"))
            for weight in self.model.trainable_variables
        ]

    def means(self):
        return self.averages if self.count else []

    def on_train_batch_end(self, batch, logs=None):
        if self.triggered_at is None:
            return
        self.count += 1
        for average, weight in zip(self.averages, self.model.trainable_variables, strict=True):
            average.assign_add((ops.cast(weight, average.dtype) - average) / self.count)

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor not in (logs or {}):
            raise ValueError(
                f"monitor {self.monitor!r} is not among the figures of epoch {epoch + 1}, {sorted(logs or {})}; "
                "NTASGD compares every epoch: give fit validation_data, and a monitor from its logs"
            )
        loss = float(logs[self.monitor])
        earlier = self.losses[: -self.nonmono]
        if self.triggered_at is None and earlier and loss > min(earlier):
            self.triggered_at = epoch
        self.losses.append(loss)


def _like(weight, dtype):
    return keras.Variable(ops.zeros(weight.shape, dtype), dtype=dtype, trainable=False)


def _copy(source, target):
    for old, new in zip(source, target, strict=True):
        new.assign(ops.cast(old, new.dtype))
