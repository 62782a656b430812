"""Keras callbacks of a trial."""

from __future__ import annotations

import math
import statistics
import time
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np
from typing_extensions import override

from deeprnn_keras._types import Logs, PathLike
from deeprnn_keras.reading import damage_reported
from deeprnn_keras.training import checkpoint_files, snapshot
from deeprnn_keras.training.callback_state import Arrays, StateTypes
from deeprnn_keras.tuning.keras_tuner_import import keras_tuner
from deeprnn_keras.tuning.trial_records import EPOCH_PREFIX, LAST_EPOCH_PREFIX
from deeprnn_keras.writing import atomic_write


class ReportObjective(keras.callbacks.Callback):
    """Report the objective to the oracle after each epoch, and stop training if the trial is pruned.

    Args:
        oracle: The oracle; in a worker, the client of the chief's oracle.
        trial_id: The running trial.
        num_epochs: Number of epochs after which training ends; None for the argument `epochs` of `fit`.
    """

    def __init__(self, oracle: keras_tuner.Oracle, trial_id: str, num_epochs: int | None = None) -> None:
        super().__init__()
        self._oracle, self._trial_id, self._num_epochs = oracle, trial_id, num_epochs

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        objective = self._oracle.objective
        if not objective.has_value(logs):
            return  # the objective is computed after `fit`
        value = float(objective.get_value(logs))
        is_last = epoch + 1 >= (self._num_epochs or self.params["epochs"])
        prefix = LAST_EPOCH_PREFIX if is_last else EPOCH_PREFIX  # a trial is not pruned after its last epoch
        answer = self._oracle.update_trial(self._trial_id, {prefix + objective.name: value}, step=epoch)
        if answer.status == "STOPPED":
            self.model.stop_training = True


class BestWeights(keras.callbacks.Callback):
    """Store the weights and metrics of the best epoch.

    Args:
        objective: The objective, with name and direction.

    Attributes:
        value: The objective in the best epoch; NaN if it was never finite.
        best_metrics: The metrics of the best epoch.
        weights: The weights after the best epoch, or None if the objective was never finite.
    """

    resumable_state: ClassVar[StateTypes] = {"value": float, "best_metrics": dict[str, float], "weights": Arrays}

    def __init__(self, objective: keras_tuner.Objective) -> None:
        super().__init__()
        self.value = math.nan
        self.best_metrics: dict[str, float] = {}
        self.weights: list[np.ndarray] | None = None
        self._objective = objective

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        if not self._objective.has_value(logs):
            raise ValueError(f"objective must be one of the metrics {sorted(logs)}, got {self._objective.name!r}")
        value = float(self._objective.get_value(logs))
        if math.isfinite(value) and (self.weights is None or self._objective.better_than(value, self.value)):
            self.value, self.best_metrics = value, {name: float(number) for name, number in logs.items()}
            self.weights = self.model.get_weights()

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the best epoch; the objective is NaN if it was never finite."""
        return self.best_metrics or {self._objective.name: math.nan}

    def save(self, path: PathLike) -> None:
        """Write the best weights atomically; nothing is written if the objective was never finite."""
        if self.weights is None:
            return
        current = self.model.get_weights()
        self.model.set_weights(self.weights)
        with atomic_write(path) as temporary_path:
            self.model.save_weights(temporary_path)
        self.model.set_weights(current)


class StepTimer(keras.callbacks.Callback):
    """Measure the median duration of a training step, excluding the first steps, which include compilation."""

    WARM_UP_STEPS = 2

    def __init__(self) -> None:
        super().__init__()
        self._seconds: list[float] = []
        self._started_at, self._num_steps = 0.0, 0

    @override
    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._started_at = time.perf_counter()

    @override
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._num_steps += 1
        if self._num_steps > self.WARM_UP_STEPS:
            self._seconds.append(time.perf_counter() - self._started_at)

    @property
    def median_ms(self) -> float | None:
        """Milliseconds per step, or None after too few steps."""
        return 1e3 * statistics.median(self._seconds) if self._seconds else None


class StopAfterEpoch(keras.callbacks.Callback):
    """Stop training after a Hyperband round. The learning rate schedule still spans the epochs of the longest trials.

    Args:
        num_epochs: Number of epochs after which to stop.
    """

    def __init__(self, num_epochs: int) -> None:
        super().__init__()
        self._num_epochs = num_epochs

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if epoch + 1 >= self._num_epochs:
            self.model.stop_training = True


class ContinueTrial(StopAfterEpoch):
    """Restore the training state of an earlier trial at the start, and save that of this trial at the end.

    Args:
        previous_directory: Directory with the state of the earlier trial, or None.
        directory: Directory for the state of this trial.
        num_epochs: Number of epochs after which to stop.

    Attributes:
        checkpoint: The state of the earlier trial, or None.
    """

    def __init__(self, previous_directory: PathLike | None, directory: PathLike, num_epochs: int) -> None:
        super().__init__(num_epochs)
        self._directory = Path(directory)
        self.checkpoint = None if previous_directory is None else checkpoint_files.read_newest(previous_directory)

    @override
    def on_train_begin(self, logs: Logs = None) -> None:
        if self.checkpoint:
            path, arrays, values = self.checkpoint
            self.model.optimizer.build(self.model.trainable_variables)
            with damage_reported(path, "the state of this trial"):
                snapshot.check_model_state(self.model, arrays, values)
            snapshot.restore_model(self.model, arrays, values)

    @override
    def on_train_end(self, logs: Logs = None) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        arrays, values = snapshot.capture(self.model, [])
        updates = int(np.asarray(self.model.optimizer.iterations))
        checkpoint_files.write(self._directory, updates, arrays, values)
