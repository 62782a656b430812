"""Keras callbacks of a training run: the schedule, the guard against NaN, the record, the checkpoint."""

import math
import time

import keras
import numpy as np

from deeprnn_keras.training.files import save_model


class LearningRate(keras.callbacks.Callback):
    """Sets the optimizer's learning rate before each update to base x schedule.factor(...)."""

    def __init__(self, base, schedule):
        super().__init__()
        self.base, self.schedule, self.update = base, schedule, 0

    def on_train_begin(self, logs=None):
        self.update = 0
        if not self.params.get("steps"):
            raise ValueError("the schedule needs to know the updates per epoch; give fit a dataset of known length")

    def on_train_batch_begin(self, batch, logs=None):
        per_epoch = self.params["steps"]
        factor = self.schedule.factor(self.update, per_epoch, per_epoch * self.params["epochs"])
        self.model.optimizer.learning_rate = self.base * factor
        self.update += 1


class NonFiniteGuard(keras.callbacks.Callback):
    """Stops when the loss is no longer finite, puts the last good weights back and says what to change.

    Every `every` updates the weights are set aside; a set counts as good once the loss computed with it was finite.
    (`keras.callbacks.TerminateOnNaN` stops too, but leaves the weights that are NaN already.)

    Args:
        every: updates between two sets.
        recipe: the `Recipe` in whose numbers the advice is given, or None for the optimizer's.

    Attributes:
        advice: None, or what happened and what to try, in words.
    """

    def __init__(self, every=25, recipe=None):
        super().__init__()
        self.every, self.recipe, self.advice, self.seen = every, recipe, None, 0

    def on_train_begin(self, logs=None):
        self.advice, self.seen = None, 0
        self._good = self._candidate = self.model.get_weights()

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if not math.isfinite(logs["loss"]):
            self._stop()
        elif self.seen % self.every == 0:
            self._good, self._candidate = self._candidate, self.model.get_weights()

    def on_epoch_end(self, epoch, logs=None):
        # the last update of an epoch shows in the validation loss only
        if self.advice is None and not math.isfinite(logs.get("val_loss", 0.0)):
            self._stop()

    def _stop(self):
        rate, clip = float(self.model.optimizer.learning_rate), self.model.optimizer.global_clipnorm
        if self.recipe is not None:
            rate, clip = rate * self.recipe.learning_rate / self.recipe.mean_loss_rate(), self.recipe.clip_norm
        clipping = f"clip_norm {clip:g} to {clip / 4:g}" if clip else "set clip_norm=1, which is not set now"
        self.advice = (
            f"the loss was no longer finite at update {self.seen}, with a learning rate of {rate:.3g}; the last good "
            f"weights are kept. Lower learning_rate, for instance to {rate / 3:.1g}, or {clipping}."
        )
        self.model.set_weights(self._good)
        self.model.stop_training = True


class Record(keras.callbacks.Callback):
    """Keeps the cross-entropy: `steps` [(update, mean since the last entry)], `epochs` [one dictionary each]."""

    def __init__(self, every=20):
        super().__init__()
        self.every, self.steps, self.epochs = every, [], []
        self.update = self._counted = 0
        self._sum, self._start = 0.0, time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self._counted, self._sum, self._start = 0, 0.0, time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self.update += 1
        if (batch + 1) % self.every == 0:
            total = logs["loss"] * (batch + 1)  # Keras logs the mean since the epoch's begin
            self.steps.append((self.update, float(total - self._sum) / (batch + 1 - self._counted)))
            self._sum, self._counted = total, batch + 1

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(
            {
                "epoch": epoch + 1,
                "update": self.update,
                "train": float(logs["loss"]),
                "validation": float(logs["val_loss"]),
                "seconds": time.monotonic() - self._start,
            }
        )


class Checkpoint(keras.callbacks.Callback):
    """Saves the model after each epoch that has the lowest validation loss so far, and remembers its weights."""

    def __init__(self, path):
        super().__init__()
        self.path, self.best, self.weights = path, math.inf, None

    def on_epoch_end(self, epoch, logs=None):
        if np.isfinite(logs["val_loss"]) and logs["val_loss"] < self.best:
            self.best = logs["val_loss"]
            self.weights = self.model.get_weights()
            save_model(self.model, self.path)
