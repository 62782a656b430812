"""Keras callbacks of a trial."""

import math
import statistics
import time
from pathlib import Path

import keras
import numpy as np

from deeprnn_keras.training import checkpoint_files, snapshot
from deeprnn_keras.training.files import atomic_write
from deeprnn_keras.tuning.records import EPOCH, LAST


class EpochReport(keras.callbacks.Callback):
    """Tells the oracle the objective after each epoch; ends the training if it answers so."""

    def __init__(self, oracle, trial_id, until=None):
        super().__init__()
        self._oracle, self._trial_id, self._until = oracle, trial_id, until

    def on_epoch_end(self, epoch, logs=None):
        objective = self._oracle.objective
        if not objective.has_value(logs):
            return  # an objective that is worked out after `fit`
        value = float(objective.get_value(logs))
        kind = LAST if epoch + 1 >= (self._until or self.params["epochs"]) else EPOCH  # after the last nothing can end
        answer = self._oracle.update_trial(self._trial_id, {kind + objective.name: value}, step=epoch)
        if answer.status == "STOPPED":
            self.model.stop_training = True


class BestWeights(keras.callbacks.Callback):
    """Remembers weights and figures of the best epoch."""

    def __init__(self, objective):
        super().__init__()
        self._objective, self._logs, self._weights, self.value = objective, None, None, math.nan

    def on_epoch_end(self, epoch, logs=None):
        if not self._objective.has_value(logs):
            raise ValueError(f"objective {self._objective.name!r} is not among the figures of an epoch: {sorted(logs)}")
        value = float(self._objective.get_value(logs))
        if math.isfinite(value) and (self._logs is None or self._objective.better_than(value, self.value)):
            self.value, self._logs = value, {name: float(number) for name, number in logs.items()}
            self._weights = self.model.get_weights()

    def figures(self):
        """{metric: value} of the best epoch; NaN where none was finite."""
        return self._logs or {self._objective.name: math.nan}

    def save(self, path):
        """Writes the best weights, whole or not at all."""
        if self._weights is None:
            return
        now = self.model.get_weights()
        self.model.set_weights(self._weights)
        with atomic_write(path) as temporary_path:
            self.model.save_weights(temporary_path)
        self.model.set_weights(now)


class StepClock(keras.callbacks.Callback):
    """The median time of a training step, without the first ones, which compile."""

    SKIPPED = 2

    def __init__(self):
        super().__init__()
        self._times, self._began, self._seen = [], 0.0, 0

    def on_train_batch_begin(self, batch, logs=None):
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self._seen += 1
        if self._seen > self.SKIPPED:
            self._times.append(time.perf_counter() - self._began)

    @property
    def ms(self):
        """Milliseconds, or None after too few steps."""
        return 1e3 * statistics.median(self._times) if self._times else None


class Rung(keras.callbacks.Callback):
    """Ends a training after a round of Hyperband's, whose schedule spans the longest.

    Args:
        until: the epoch to end after, counted from 1.
    """

    def __init__(self, until):
        super().__init__()
        self._until = until

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 >= self._until:
            self.model.stop_training = True


class Continue(Rung):
    """Goes on with a training that another trial began, exactly, and leaves this one's state for the next.

    Args:
        before: the directory with the state of the other trial, or None.
        directory: for this trial's.
        until: as of `Rung`.
    """

    def __init__(self, before, directory, until):
        super().__init__(until)
        self._directory = Path(directory)
        self.found = before and checkpoint_files.read_newest(before)

    def on_train_begin(self, logs=None):
        if self.found:
            _, arrays, plain = self.found
            self.model.optimizer.build(self.model.trainable_variables)
            snapshot.restore_model(self.model, arrays, plain)

    def on_train_end(self, logs=None):
        self._directory.mkdir(parents=True, exist_ok=True)
        arrays, plain = snapshot.capture(self.model, [])
        steps = int(np.asarray(self.model.optimizer.iterations))
        checkpoint_files.write(self._directory, steps, arrays, plain)
