"""Callback that applies a learning-rate schedule before each update."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import keras
import numpy as np
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import Logs
from deeprnn_keras.training.repeated_order import warn_of_repeated_order
from deeprnn_keras.training.schedules import PlateauDecay, Schedule, check_schedule

if TYPE_CHECKING:
    import tensorflow as tf

    from deeprnn_keras.data.tbptt import TBPTTDataset


class LearningRate(keras.callbacks.Callback):
    """Set the learning rate before each update to base x schedule x warm-up x T / bptt.

    Args:
        base: Learning rate after the warm-up, for a batch of `bptt` time steps.
        schedule: Schedule with a method `factor(update, updates_per_epoch, updates)`, or a `PlateauDecay`; None keeps
            the learning rate constant.
        warmup: Number of updates over which the learning rate increases linearly.
        data: Training data. If it is a `TBPTTDataset` with `random_bptt=True`, the learning rate of each update is
            proportional to the length T of the batch, so that each time step has the same weight in short and long
            batches (Merity et al. 2017). Otherwise T / bptt is 1.

    Raises:
        ValueError: If an argument is out of range. In `fit`, if the number of updates per epoch is unknown, or a
            `PlateauDecay` is used without validation data.

    >>> from deeprnn_keras.training import CosineDecay, LearningRate
    >>> LearningRate(1e-3, CosineDecay(), warmup=100).warmup
    100
    """

    def __init__(
        self,
        base: float,
        schedule: Schedule | PlateauDecay | None = None,
        warmup: int = 0,
        data: tf.data.Dataset | None = None,
    ) -> None:
        super().__init__()
        check_schedule("schedule", schedule)
        self.base, self.schedule = checks.positive("base", base), schedule
        self.warmup = checks.non_negative_int("warmup", warmup)
        self.update, self.epoch = 0, 0
        self.best, self.waited, self.drops = math.inf, 0, 0
        self._data: TBPTTDataset | None = data if getattr(data, "random_bptt", False) else None
        self._lengths: tuple[int, np.ndarray] | None = None  # an epoch and the lengths T of its batches

    @override
    def on_train_begin(self, logs: Logs = None) -> None:
        self.update, self.best, self.waited, self.drops = 0, math.inf, 0, 0
        warn_of_repeated_order()
        if not self.params.get("steps"):
            raise ValueError(
                "LearningRate needs the number of updates per epoch, which is unknown for this dataset; pass a dataset "
                "of known length to fit, or steps_per_epoch"
            )

    @override
    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = epoch
        self.update = max(self.update, epoch * self.params["steps"])  # includes epochs before initial_epoch
        if self._data is not None:
            self._data.set_position(epoch)  # so that its batches have the lengths that `lengths` returns

    @override
    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        warm_up = min(1.0, (self.update + 1) / (self.warmup + 1))
        self.model.optimizer.learning_rate = self.base * self._factor() * warm_up * self._relative_length(batch)
        self.update += 1

    def _factor(self) -> float:
        if self.schedule is None:
            return 1.0
        if isinstance(self.schedule, PlateauDecay):
            return self.schedule.factor_after(self.drops)
        per_epoch = self.params["steps"]
        return self.schedule.factor(self.update, per_epoch, per_epoch * self.params["epochs"])

    def _relative_length(self, batch: int) -> float:
        """Return T / bptt for a batch of this epoch."""
        if self._data is None:
            return 1.0
        if self._lengths is None or self._lengths[0] != self.epoch:
            self._lengths = self.epoch, self._data.lengths(self.epoch)
        return float(self._lengths[1][batch]) / self._data.bptt

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if not isinstance(self.schedule, PlateauDecay):
            return
        if logs is None or "val_loss" not in logs:
            raise ValueError("PlateauDecay depends on the validation loss; pass validation_data to fit")
        if logs["val_loss"] < self.best:
            self.best, self.waited = float(logs["val_loss"]), 0
            return
        self.waited += 1
        if self.waited == self.schedule.patience:
            self.drops, self.waited = self.drops + 1, 0
