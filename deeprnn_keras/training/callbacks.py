"""Keras callbacks of a training run: the record, the best model, a limit of time, a table of epochs."""

import math
import time

import keras
import numpy as np

from deeprnn_keras.training.files import save_model


class LossHistory(keras.callbacks.Callback):
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


class BestCheckpoint(keras.callbacks.Callback):
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


class EpochHistory(keras.callbacks.Callback):
    """Keeps the figures of each epoch, `epochs` [one dictionary each], and shows a bar with the latest."""

    def __init__(self, console):
        super().__init__()
        self._console, self._bar, self.epochs = console, None, []

    def on_train_begin(self, logs=None):
        from rich.progress import Progress

        self._bar = Progress(console=self._console, transient=True)
        self._task = self._bar.add_task("training", total=self.params["epochs"])
        self._bar.start()

    def on_epoch_end(self, epoch, logs=None):
        figures = {name: float(value) for name, value in logs.items()}
        self.epochs.append({"epoch": epoch + 1, **figures})
        words = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
        self._bar.update(self._task, completed=epoch + 1, description=f"epoch {epoch + 1}: {words}")

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Takes the bar off the screen; safe to call twice."""
        if self._bar is not None:
            self._bar.stop()
