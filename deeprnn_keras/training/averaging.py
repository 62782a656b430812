"""Callbacks that validate and save averaged weights while training continues with the raw ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras import _compat, checks
from deeprnn_keras._types import Logs, Shape
from deeprnn_keras.optimizers.clipping import unwrap_optimizer
from deeprnn_keras.training.callback_state import Arrays, StateTypes


class AveragedWeights(keras.callbacks.Callback):
    """Base class of callbacks that assign averages before a validation and raw weights before the next epoch.

    Attributes:
        averaged: True if the model currently holds the averages.
        raw: Raw weights while `averaged` is True: one variable per trainable weight, created when `fit` begins.
    """

    resumable_state: ClassVar[StateTypes] = {"averaged": bool, "raw": Arrays}

    def __init__(self) -> None:
        super().__init__()
        self.raw: list[keras.Variable] = []
        self.averaged = False

    def means(self) -> list[keras.Variable]:
        """Return one average per trainable weight, or an empty list if there are none yet."""
        raise TypeError(f"{type(self).__name__} must define means()")

    @override
    def on_train_begin(self, logs: Logs = None) -> None:
        self.averaged = False
        self.raw = [_zeros(weight.shape, weight.dtype) for weight in self.model.trainable_variables]

    @override
    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if self.averaged:
            _assign(self.raw, self.model.trainable_variables)
            self.averaged = False

    @override
    def on_test_begin(self, logs: Logs = None) -> None:
        self._swap_in()

    @override
    def on_train_end(self, logs: Logs = None) -> None:
        self._swap_in()

    def _swap_in(self) -> None:
        """Store the raw weights and assign the averages to the model, if there are any."""
        means = self.means()
        if means and not self.averaged:
            _assign(self.model.trainable_variables, self.raw)
            _assign(means, self.model.trainable_variables)
            self.averaged = True


class EMAWeights(AveragedWeights):
    """Validate and save the exponential moving average that a Keras optimizer computes.

    The optimizer must have `use_ema=True`: w̄_k = m w̄_{k-1} + (1 - m) w_k. The averages remain in the model after
    `fit`. `keras.callbacks.SwapEMAWeights` swaps by adding and subtracting weights, with rounding errors; this callback
    restores the raw weights bit for bit.

    Raises:
        ValueError: In `fit`, if the optimizer does not have `use_ema=True`.

    >>> import keras, numpy as np
    >>> from deeprnn_keras.training import EMAWeights
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9), "mse")
    >>> history = model.fit(np.ones((8, 2)), np.ones(8), verbose=0, callbacks=[EMAWeights()])
    """

    @override
    def on_train_begin(self, logs: Logs = None) -> None:
        super().on_train_begin(logs)
        optimizer = unwrap_optimizer(self.model.optimizer)
        if not getattr(optimizer, "use_ema", False):
            raise ValueError(
                f"EMAWeights needs an optimizer with use_ema=True, got {type(optimizer).__name__} without it"
            )

    @override
    def means(self) -> list[keras.Variable]:
        optimizer = unwrap_optimizer(self.model.optimizer)
        return _compat.average_variables(optimizer) if int(optimizer.iterations) else []


class NTASGD(AveragedWeights):
    """Non-monotonically triggered averaged SGD (Merity, Keskar & Socher 2017, arXiv:1708.02182).

    Training is plain SGD until the validation loss v_e of an epoch e exceeds the lowest loss of the earlier epochs, of
    which the last `nonmono` are left out:

        v_e > min(v_1, ..., v_{e - 1 - nonmono})

    From then on, the mean of the weights after each update is validated and saved, while training continues with the
    raw weights:

        w̄_k = w̄_{k-1} + (w_k - w̄_{k-1}) / k,    k = 1 for the first update after the trigger

    The averages are assigned to the model when a validation begins and remain until the next epoch begins. Callbacks
    that save the model at the end of an epoch, for example `ModelCheckpoint`, therefore save the weights that were
    validated. The averages remain in the model after `fit`. Each `fit` resets the callback and starts from the weights
    of the model. An interrupted `fit` (Ctrl-C) leaves the model with the weights it held at that moment; `averaged`
    indicates which. Call `on_train_end()` to assign the averages.

    Only trainable weights are averaged. The paper uses SGD without momentum; any optimizer is supported. The trigger is
    that of the authors' code, salesforce/awd-lstm-lm. PyTorch's ASGD, which that code uses, leaves w_1 out of the mean:
    a difference of order 1 / k.

    Args:
        nonmono: Non-monotone interval: number of epochs before the current one that the trigger leaves out.
        monitor: Metric that should decrease, by its name in the logs.

    Attributes:
        losses: Monitored metric of each epoch so far.
        triggered_at: Epoch, from 0, at whose end averaging was triggered, or None.
        count: k, the number of updates in the averages.
        averaged: True if the model currently holds the averages.
        averages: One variable w̄_k per trainable weight, created when `fit` begins.
        raw: Raw weights while `averaged` is True: one variable per trainable weight, created when `fit` begins.

    Raises:
        ValueError: If `nonmono` is below 1; in `fit`, if `monitor` is not in the logs of an epoch, or if
            `steps_per_execution` is not 1.

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

    resumable_state: ClassVar[StateTypes] = {
        "nonmono": None,
        "monitor": None,
        "averages": Arrays,
        "losses": list[float],
        "triggered_at": int | None,
        "count": int,
    }

    def __init__(self, nonmono: int = 5, monitor: str = "val_loss") -> None:
        super().__init__()
        self.nonmono = checks.positive_int("nonmono", nonmono)
        self.monitor = monitor
        self.averages: list[keras.Variable] = []
        self.losses: list[float] = []
        self.triggered_at: int | None = None
        self.count = 0

    @override
    def on_train_begin(self, logs: Logs = None) -> None:
        if self.model.steps_per_execution != 1:
            raise ValueError(
                f"NTASGD needs steps_per_execution=1 to average the weights after each update, "
                f"got {self.model.steps_per_execution}; compile the model with steps_per_execution=1"
            )
        super().on_train_begin(logs)
        self.losses, self.triggered_at, self.count = [], None, 0
        # at least float32: the changes of a mean are k times smaller than those of the weights
        self.averages = [
            _zeros(weight.shape, keras.backend.result_type(weight.dtype, "float32"))
            for weight in self.model.trainable_variables
        ]

    @override
    def means(self) -> list[keras.Variable]:
        return self.averages if self.count else []

    @override
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self.triggered_at is None:
            return
        self.count += 1
        for average, weight in zip(self.averages, self.model.trainable_variables, strict=True):
            average.assign_add((ops.cast(weight, average.dtype) - average) / self.count)

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if logs is None or self.monitor not in logs:
            raise ValueError(
                f"monitor {self.monitor!r} is not in the logs of epoch {epoch + 1}, which contain "
                f"{sorted(logs or {})}; pass validation_data to fit, or set monitor to a metric in the logs"
            )
        loss = float(logs[self.monitor])
        earlier = self.losses[: -self.nonmono]
        if self.triggered_at is None and earlier and loss > min(earlier):
            self.triggered_at = epoch
        self.losses.append(loss)


def _zeros(shape: Shape, dtype: str) -> keras.Variable:
    return keras.Variable(ops.zeros(shape, dtype), dtype=dtype, trainable=False)


def _assign(source: Sequence[keras.Variable], target: Sequence[keras.Variable]) -> None:
    for old, new in zip(source, target, strict=True):
        new.assign(ops.cast(old, new.dtype))
