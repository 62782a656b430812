"""Keras callbacks of a training run: the record, the best model, and a limit of time."""

import math
import time

import keras
import numpy as np

from deeprnn_keras.training.files import save_model


class Record(keras.callbacks.Callback):
    """Keeps the cross-entropy: `steps` [(update, mean since the last entry)], `epochs` [one dictionary each]."""

    def __init__(self, every=20):
        super().__init__()
        self.every, self.steps, self.epochs = every, [], []
        self.update = self.counted = 0
        self.sum, self._start = 0.0, time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self.counted, self.sum, self._start = 0, 0.0, time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self.update += 1
        if (batch + 1) % self.every == 0:
            total = logs["loss"] * (batch + 1)  # Keras logs the mean since the epoch's begin
            self.steps.append((self.update, float(total - self.sum) / (batch + 1 - self.counted)))
            self.sum, self.counted = float(total), batch + 1

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


class Deadline(keras.callbacks.Callback):
    """Ends a training when the time, as of `time.time`, is up; the epoch that it cuts is validated."""

    def __init__(self, when):
        super().__init__()
        self.when = when

    def on_train_batch_end(self, batch, logs=None):
        if time.time() >= self.when:
            self.model.stop_training = True
