"""Keras callbacks of a training run: loss history, best checkpoint, deadline, and per-epoch progress."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, ClassVar

import keras
import numpy as np
from typing_extensions import override

from deeprnn_keras import progress
from deeprnn_keras._types import Logs, PathLike
from deeprnn_keras.training.callback_state import Arrays, StateTypes
from deeprnn_keras.writing import save_model

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class LossHistory(keras.callbacks.Callback):
    """History of the cross-entropy by update and by epoch.

    Args:
        every: Number of updates between two entries of `steps`.

    Attributes:
        steps: Pairs (number of updates, mean training loss since the previous entry).
        epochs: One dictionary per epoch, with the keys epoch, update, train and validation (losses), and seconds.
        update: Number of updates so far.
    """

    resumable_state: ClassVar[StateTypes] = {
        "every": None,
        "steps": list[tuple[int, float]],
        "epochs": list[dict[str, int | float]],
        "update": int,
        "logged_batches": int,
        "logged_sum": float,
    }

    def __init__(self, every: int = 20) -> None:
        super().__init__()
        self.every = every
        self.steps: list[tuple[int, float]] = []
        self.epochs: list[dict[str, float]] = []
        self.update = 0
        # batches of this epoch up to the last entry of `steps`, and the sum of their losses
        self.logged_batches, self.logged_sum = 0, 0.0
        self._start = time.monotonic()

    @override
    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.logged_batches, self.logged_sum = 0, 0.0
        self._start = time.monotonic()

    @override
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        assert logs is not None
        self.update += 1
        batches = batch + 1
        if batches % self.every == 0:
            total = logs["loss"] * batches  # Keras logs the mean since the start of the epoch
            self.steps.append((self.update, float(total - self.logged_sum) / (batches - self.logged_batches)))
            self.logged_batches, self.logged_sum = batches, float(total)

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        assert logs is not None
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
    """Save the model after each epoch with a new lowest validation loss.

    Args:
        path: Path of the `.keras` file.

    Attributes:
        best: Lowest validation loss so far; infinity before the first epoch.
        weights: Weights after the epoch with that loss, or None if there is no such epoch yet.
    """

    resumable_state: ClassVar[StateTypes] = {"path": None, "best": float, "weights": Arrays}

    def __init__(self, path: PathLike) -> None:
        super().__init__()
        self.path = path
        self.best = math.inf
        self.weights: list[np.ndarray] | None = None

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        assert logs is not None
        if np.isfinite(logs["val_loss"]) and logs["val_loss"] < self.best:
            self.best = logs["val_loss"]
            self.weights = self.model.get_weights()
            save_model(self.model, self.path)


class Deadline(keras.callbacks.Callback):
    """Stop training at a given time. The epoch that is cut short is still validated.

    Args:
        when: Time to stop at, as returned by `time.time`.
    """

    def __init__(self, when: float) -> None:
        super().__init__()
        self.when = when

    @override
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if time.time() >= self.when:
            self.model.stop_training = True


class ReportProgress(keras.callbacks.Callback):
    """Report the batches of `evaluate` to the progress bar that is shown, if there is one."""

    @override
    def on_test_begin(self, logs: Logs = None) -> None:
        progress.report(0, self.params["steps"])

    @override
    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        progress.report(batch + 1, self.params["steps"])


class EpochHistory(keras.callbacks.Callback):
    """History of all metrics by epoch, with a progress bar that shows the latest values.

    Args:
        console: Console for the progress bar.

    Attributes:
        epochs: One dictionary per epoch, with its number and the metrics that Keras logs.
    """

    resumable_state: ClassVar[StateTypes] = {"epochs": list[dict[str, int | float]]}

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.epochs: list[dict[str, float]] = []
        self._console = console
        self._bar: Progress | None = None
        self._epoch = 0

    @override
    def on_train_begin(self, logs: Logs = None) -> None:
        from rich.progress import Progress

        self._bar = Progress(*progress.columns("updates"), console=self._console, transient=True)
        steps = self.params["steps"]
        self._task = self._bar.add_task("training", total=steps and steps * self.params["epochs"])
        self._bar.start()

    @override
    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch

    @override
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        assert self._bar is not None
        # a counter would be wrong in a resumed run
        self._bar.update(self._task, completed=self._epoch * (self.params["steps"] or 0) + batch + 1)

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        self.epochs.append({"epoch": epoch + 1, **metrics})
        text = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        assert self._bar is not None
        self._bar.update(self._task, description=f"epoch {epoch + 1}/{self.params['epochs']}: {text}")

    @override
    def on_train_end(self, logs: Logs = None) -> None:
        self.close()

    def close(self) -> None:
        """Remove the progress bar from the console. Calling it twice is allowed."""
        if self._bar is not None:
            self._bar.stop()
