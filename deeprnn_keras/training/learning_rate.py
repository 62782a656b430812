"""`LearningRate`: the schedule of a recipe, in force before each update."""

import math

import keras

from deeprnn_keras.training.repeated_order import warn_of_repeated_order
from deeprnn_keras.training.schedules import PlateauDecay


class LearningRate(keras.callbacks.Callback):
    """Sets the optimizer's learning rate before each update to base x schedule x warm-up x T / bptt.

    Args:
        base: the rate of an update of bptt steps at factor 1.
        schedule: with `factor(update, updates_per_epoch, updates)`, or a `PlateauDecay`; None: constant.
        warmup: updates over which the rate rises linearly to its full value.
        data: a `TBPTTDataset`; where its T is random the rate of each update is in proportion to it, so that a step
            counts alike in long and short batches (Merity et al. 2017). None: T does not count.

    Raises:
        ValueError: in `fit`, if the number of updates in an epoch is not known, or a plateau cannot be seen without
            validation data.

    >>> from deeprnn_keras.training import CosineDecay, LearningRate
    >>> LearningRate(1e-3, CosineDecay(), warmup=100).warmup
    100
    """

    def __init__(self, base, schedule=None, warmup=0, data=None):
        super().__init__()
        self.base, self.schedule, self.warmup = base, schedule, warmup
        self.update, self.epoch = 0, 0
        self.best, self.waited, self.drops = math.inf, 0, 0
        self._data, self._lengths = data, None
        if data is not None and not getattr(data, "random_bptt", False):
            self._data = None

    def on_train_begin(self, logs=None):
        self.update, self.best, self.waited, self.drops = 0, math.inf, 0, 0
        warn_of_repeated_order()
        if not self.params.get("steps"):
            raise ValueError("the schedule needs to know the updates per epoch; give fit a dataset of known length")

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.update = max(self.update, epoch * self.params["steps"])  # a training that begins at a later epoch
        if self._data is not None:
            self._data.set_position(epoch)  # so that these are the lengths that come

    def on_train_batch_begin(self, batch, logs=None):
        rise = min(1.0, (self.update + 1) / (self.warmup + 1))
        self.model.optimizer.learning_rate = self.base * self._factor() * rise * self._share(batch)
        self.update += 1

    def _factor(self):
        if self.schedule is None:
            return 1.0
        if isinstance(self.schedule, PlateauDecay):
            return self.schedule.after(self.drops)
        per_epoch = self.params["steps"]
        return self.schedule.factor(self.update, per_epoch, per_epoch * self.params["epochs"])

    def _share(self, batch):
        """T of the batch as a share of bptt."""
        if self._data is None:
            return 1.0
        if self._lengths is None or self._lengths[0] != self.epoch:
            self._lengths = self.epoch, self._data.lengths(self.epoch)
        return float(self._lengths[1][batch]) / self._data.bptt

    def on_epoch_end(self, epoch, logs=None):
        if not isinstance(self.schedule, PlateauDecay):
            return
        if "val_loss" not in logs:
            raise ValueError("PlateauDecay goes by the validation loss; give fit validation_data")
        if logs["val_loss"] < self.best:
            self.best, self.waited = float(logs["val_loss"]), 0
            return
        self.waited += 1
        if self.waited == self.schedule.patience:
            self.drops, self.waited = self.drops + 1, 0
