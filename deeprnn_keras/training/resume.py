"""Callback that checkpoints the complete training state and resumes from it."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import msgspec
from typing_extensions import override

from deeprnn_keras import _compat, checks, processes
from deeprnn_keras._types import Logs, PathLike
from deeprnn_keras.locking import DirectoryLock
from deeprnn_keras.reading import DamagedFileError, damage_reported
from deeprnn_keras.training import checkpoint_files, snapshot
from deeprnn_keras.training.callback_state import CallbackState, check_form, describe_state
from deeprnn_keras.training.run_description import describe_rounding, describe_run, differences

if TYPE_CHECKING:
    from deeprnn_keras.data.batches import Batches

DEFAULT_INTERVAL = 100
EXPECTED = "a checkpoint of this run"
MAX_DIFFERENCES = 8  # listed in an error message


_compat.install_model_hooks()


class RunState(snapshot.ModelState):
    """JSON values of a checkpoint.

    Attributes:
        position: Epoch, batch, and number of updates.
        description: Description of the run; see `describe_run`.
        versions: Versions and implementations on which rounding depends; see `describe_rounding`.
        history: Epochs and metrics of Keras' `History`.
        time: Unix time.
    """

    position: tuple[int, int, int]
    description: dict[str, bool | int | float | str | None]
    versions: dict[str, str]
    history: tuple[list[int], dict[str, list[float]]]
    time: float


class Resume(keras.callbacks.Callback):
    """Checkpoint the complete training state and resume from it.

    A run that is interrupted and resumed on the same machine ends with the same weights, bit for bit, as an
    uninterrupted run. Each checkpoint holds the weights, optimizer variables, random seeds, position in the data,
    carried recurrent states, metric totals, and the state of `callbacks`. With `tf.distribute`, it holds the states of
    every replica. A checkpoint is written after every `every` updates and at the end of each epoch, first to a
    temporary file, which is then renamed; it contains a hash. The last two are kept. If the newest is damaged, the
    previous one is used and a warning is issued. A warning is also issued if other versions, implementations of the
    layers, or numbers of devices run than when the checkpoint was written: bits then differ.

    In a data-parallel run of several processes (see `deeprnn_keras.training.distribute`), the first one reads and
    writes the checkpoints. The position and the states in them are those of whole batches, so that the run may be
    resumed with another number of processes. If a process receives SIGTERM, all of them stop after the same update,
    with a checkpoint and a KeyboardInterrupt.

    The first `fit` with an empty directory starts a run; running the same script again resumes it.

    Args:
        directory: Checkpoint directory; created if missing.
        data: The dataset passed to `fit`. Its position must be settable: `TBPTTDataset`, `token_windows(...)`, or
            another `Batches`.
        callbacks: Callbacks whose state is part of the run (schedules, early stopping, averaging). Pass them here, not
            to `fit`. Their state consists of the attributes that are numbers, lists, dictionaries, or arrays when
            training begins and whose names do not begin with an underscore. Other attributes, among them texts and
            paths, keep the value that the script sets, unless the class of the callback declares their types:
            `resumable_state = {"phase": str}`; None excludes an attribute. The settings of callbacks, for example
            `patience`, must match when resuming: the arguments that a callback stores in attributes of the same names,
            except arrays, `verbose`, and names that end with path, file, filename, dir, directory, or folder.
        every: Number of updates between checkpoints.
        about: Additional settings that must match when resuming, for example the fields of a recipe.

    Attributes:
        resumed_at: Number of updates restored from the checkpoint; 0 for a new run.

    Raises:
        ValueError: If an argument is not supported; in `fit`, if it trains on other data than `data`, the number of
            updates per epoch is unknown, the directory could not be created or is in use by another process, the
            checkpoints are damaged (a `DamagedFileError`, raised before anything is restored), or the directory holds
            a run with a different model, optimizer, dataset, callback, setting of a callback, or `about` (the message
            lists the differences).
        OSError: If writing a checkpoint fails: the disk is full, or the directory is read-only. Earlier
            checkpoints are kept.

    >>> import keras, numpy as np, tempfile
    >>> from deeprnn_keras import LanguageModel, Resume, token_windows
    >>> data = token_windows([np.arange(34) % 7], length=8, batch_size=2, seed=0)
    >>> model = LanguageModel(7, units=4)
    >>> model.compile("sgd", model.loss_function())
    >>> resume = Resume(tempfile.mkdtemp(), data)
    >>> history = model.fit(data, epochs=2, callbacks=[resume], shuffle=False, verbose=0)
    >>> resume.resumed_at
    0
    """

    def __init__(
        self,
        directory: PathLike,
        data: Batches,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        every: int = DEFAULT_INTERVAL,
        about: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(directory, (str, os.PathLike)):
            raise ValueError(f"directory must be a path (str or Path), got {directory!r}")
        if not hasattr(data, "set_position"):
            raise ValueError(
                "data must be a dataset with a settable position (TBPTTDataset, token_windows, ...), "
                f"got {type(data).__name__}"
            )
        if not _are_callbacks(callbacks):
            raise ValueError(f"callbacks must be a list of keras.callbacks.Callback objects, got {callbacks!r}")
        if about is not None and not isinstance(about, Mapping):
            raise ValueError(f"about must be a dictionary of settings or None, got {about!r}")
        self.directory, self.data, self.callbacks = Path(directory).expanduser(), data, list(callbacks)
        self.every, self.about = checks.positive_int("every", every), dict(about or {})
        self.resumed_at = 0
        self._epoch, self._batch, self._updates = 0, 0, 0  # position in the run
        self._first_batch = 0  # first batch of this epoch that this process trains on
        self._checkpoint: checkpoint_files.Checkpoint | None = None  # set from resuming to the first epoch
        self._epoch_cut_short, self._terminated = False, False
        self._callback_states: list[CallbackState] = []
        self._lock = ExitStack()

    @override
    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(model)

    @override
    def set_params(self, params: dict[str, int]) -> None:
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    @override
    def on_train_begin(self, logs: Logs = None) -> None:
        if not self.params.get("steps"):
            raise ValueError(
                "Resume needs the number of updates per epoch, which is unknown for this dataset; pass data itself to "
                "fit, not a dataset derived from it"
            )
        data = _compat.data_of_fit()
        if data is not None and data is not self.data:
            raise ValueError(
                "fit trains on other data than the argument data of Resume; pass the same dataset object to both"
            )
        if processes.is_first():
            self._create_directory()
            self._lock.enter_context(DirectoryLock(self.directory))
            _compat.call_when_fit_ends(self._lock.close)
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        checkpoint = processes.from_first(lambda: checkpoint_files.read_newest(self.directory))
        self._description = describe_run(self.model, self.data, self.callbacks, self.params, self.about)
        self._rounding = describe_rounding(self.model)
        if checkpoint is None:
            self._forward("on_train_begin", logs)
            self._callback_states = [describe_state(callback) for callback in self.callbacks]
            self._save(0, 0)
            return
        self._restore(checkpoint, logs)
        self._epoch, self._batch, self._updates = checkpoint.values["position"]
        self.resumed_at, self._checkpoint = self._updates, checkpoint
        self.model._initial_epoch = self._epoch  # as keras.callbacks.BackupAndRestore does

    def _restore(self, checkpoint: checkpoint_files.Checkpoint, logs: Logs) -> None:
        """Restore model and callbacks, or neither of them if the checkpoint does not fit."""
        self._check(checkpoint)
        before = snapshot.capture(self.model, [])
        snapshot.restore_model(self.model, checkpoint.arrays, checkpoint.values)
        self._forward("on_train_begin", logs)  # sets attributes, and may copy the weights
        self._callback_states = [describe_state(callback) for callback in self.callbacks]
        try:
            with damage_reported(checkpoint.path, EXPECTED):
                decoded = [
                    state.decode(f"callback/{number}", checkpoint.values["callbacks"][number], checkpoint.arrays)
                    for number, state in enumerate(self._callback_states)
                ]
        except DamagedFileError:
            snapshot.restore_model(self.model, *before)
            raise
        for state, attributes in zip(self._callback_states, decoded, strict=True):
            state.restore(attributes)

    def _check(self, checkpoint: checkpoint_files.Checkpoint) -> None:
        """Raise a ValueError if the checkpoint does not fit, as far as is known before callbacks begin."""
        with damage_reported(checkpoint.path, EXPECTED):
            values = msgspec.convert(checkpoint.values, RunState)
        self._check_same_run(checkpoint)
        with damage_reported(checkpoint.path, EXPECTED):
            self._check_position(values["position"])
            snapshot.check_model_state(self.model, checkpoint.arrays, checkpoint.values)
            for number, (callback, state) in enumerate(zip(self.callbacks, values["callbacks"], strict=True)):
                check_form(callback, f"callback/{number}", state, checkpoint.arrays)

    def _check_position(self, position: tuple[int, int, int]) -> None:
        epoch, batch, updates = position
        epochs, steps = self.params["epochs"], self.params["steps"]
        if not (0 <= epoch <= epochs and 0 <= batch < steps and updates >= 0):
            raise ValueError(f"position {position} is not in a run of {epochs} epochs of {steps} updates")

    def _create_directory(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"directory {str(self.directory)!r} could not be created: {error.strerror}; pass another directory"
            ) from error

    def _check_same_run(self, checkpoint: checkpoint_files.Checkpoint) -> None:
        """Raise a ValueError if the checkpoint is of a different run; warn if rounding differs from that run."""
        found = differences(checkpoint.values["description"], self._description)
        if found:
            more = f" (and {len(found) - MAX_DIFFERENCES} more)" if len(found) > MAX_DIFFERENCES else ""
            raise ValueError(
                f"directory {str(self.directory)!r} holds a different run: {'; '.join(found[:MAX_DIFFERENCES])}{more}. "
                "Resume with the settings of that run, or pass a new directory"
            )
        changed = differences(checkpoint.values["versions"], self._rounding)
        if changed:
            warnings.warn(
                f"{checkpoint.path.name} was written with other versions or implementations "
                f"({', '.join(changed)}), so that the resumed run is not bit-identical to an uninterrupted one.",
                stacklevel=2,
            )

    @override
    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch
        if self._checkpoint is not None:
            self._restore_history(self._checkpoint)
        if self._checkpoint is not None and self._batch > 0:
            snapshot.restore_epoch(self.model, self._checkpoint.arrays)
        else:
            self._batch = 0
            self._forward("on_epoch_begin", epoch, logs)
        self.data.set_position(epoch, self._batch)
        self._first_batch, self._checkpoint = self._batch, None

    def _restore_history(self, checkpoint: checkpoint_files.Checkpoint) -> None:
        history = getattr(self.model, "history", None)
        if history is not None:
            epochs, metrics = checkpoint.values["history"]
            history.epoch, history.history = list(epochs), dict(metrics)

    @override
    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._forward("on_train_batch_begin", self._first_batch + batch, logs)

    @override
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._forward("on_train_batch_end", self._first_batch + batch, logs)
        self._batch, self._updates = self._first_batch + batch + 1, self._updates + 1
        last = self._batch >= self.params["steps"]
        if last and self._first_batch and not self.model.stop_training:
            # Keras expects all batches of the epoch, but only the remaining ones exist: end the epoch, not the run
            self.model.stop_training = self._epoch_cut_short = True
        elif self._updates % self.every == 0 and not last and not self.model.stop_training:
            self._save(self._epoch, self._batch)
        self._terminated = self._terminated or processes.all_were_terminated(self._updates)
        if self._terminated and not last:  # after the last update, `on_epoch_end` saves and stops
            self._save(self._epoch, self._batch)
            raise KeyboardInterrupt

    def _clear_stop(self) -> None:
        """Undo the `stop_training` that ended a resumed epoch."""
        if self._epoch_cut_short:
            self.model.stop_training = self._epoch_cut_short = False

    @override
    def on_test_begin(self, logs: Logs = None) -> None:
        self._clear_stop()
        self._forward("on_test_begin", logs)

    @override
    def on_test_end(self, logs: Logs = None) -> None:
        self._forward("on_test_end", logs)

    @override
    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._forward("on_test_batch_begin", batch, logs)

    @override
    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._forward("on_test_batch_end", batch, logs)

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._clear_stop()
        self._forward("on_epoch_end", epoch, logs)
        if not self.model.stop_training:
            self._save(epoch + 1, 0, finished_epoch=epoch, logs=logs)
        if self._terminated:
            raise KeyboardInterrupt

    @override
    def on_train_end(self, logs: Logs = None) -> None:
        if self._checkpoint is not None:  # no epoch was left to train
            self._restore_history(self._checkpoint)
        self._forward("on_train_end", logs)
        self._lock.close()

    def _save(self, next_epoch: int, next_batch: int, finished_epoch: int | None = None, logs: Logs = None) -> None:
        arrays, values = snapshot.capture(self.model, self._callback_states)
        values |= {
            "position": [next_epoch, next_batch, self._updates],
            "description": self._description,
            "versions": self._rounding,
            "history": self._history(finished_epoch, logs),
            "time": time.time(),
        }
        if processes.is_first():  # the other processes have captured the same values
            checkpoint_files.write(self.directory, self._updates, arrays, values)

    def _history(self, finished_epoch: int | None, logs: Logs) -> tuple[list[int], dict[str, list[float]]]:
        """Return the epochs and metrics of Keras' `History`, with the epoch that it has not recorded yet."""
        history = getattr(self.model, "history", None)
        if history is None or not hasattr(history, "epoch"):  # before the first epoch
            return [], {}
        epochs = list(history.epoch)
        metrics = {key: [float(value) for value in values] for key, values in history.history.items()}
        if finished_epoch is not None and finished_epoch not in epochs:
            epochs.append(finished_epoch)
            for key, value in (logs or {}).items():
                metrics.setdefault(key, []).append(float(value))
        return epochs, metrics

    def _forward(self, hook: str, *arguments: object) -> None:
        """Call a method of all callbacks."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)


def _are_callbacks(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(part, keras.callbacks.Callback) for part in value)
