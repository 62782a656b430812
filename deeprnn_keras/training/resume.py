"""`Resume`: a training that can be killed at any moment and goes on as if it had not been."""

import time
import warnings
from importlib.metadata import version
from pathlib import Path

import keras

from deeprnn_keras import checks
from deeprnn_keras.training import checkpoint_files, snapshot
from deeprnn_keras.training.run_description import describe_run, differences

EVERY = 100


class Resume(keras.callbacks.Callback):
    """Saves a training in full, and takes it up again where it was saved last.

    On the same machine, a training that was killed and resumed ends with the weights, bit for bit, of one that never
    was: weights, optimizer, seeds of dropout, place in the data, states carried, sums of metrics and the state of the
    callbacks are saved together, every `every` updates and at the end of each epoch. A checkpoint is written beside
    and renamed, sealed with a hash, and the last two are kept; where the newest is damaged the one before serves, with
    a warning. The first `fit` with an empty directory begins; the same script, run again, goes on.

    Args:
        directory: for the checkpoints; made where it is not there.
        data: what `fit` trains on: `TBPTTDataset`, `token_windows(...)` or other `Batches`, whose place can be set.
        callbacks: those whose state belongs to the training (schedules, early stopping, averaging, a record): give
            them here and not to `fit`. Their state is their attributes: numbers, text, lists and dictionaries of
            these, arrays and lists of arrays, whose names do not begin with an underscore.
        every: updates from one checkpoint to the next.
        about: more that must be the same in both runs, a flat dictionary, such as the fields of a recipe.

    Attributes:
        resumed_at: the number of updates that were done before, 0 for a new training.

    Raises:
        ValueError: if data has no place to set; and in `fit`, if the directory holds a training with another model,
            optimizer, data, callbacks or `about`: each difference is named.
        OSError: if a checkpoint cannot be written: the disk is full, the directory read-only. Earlier ones are kept.

    >>> import keras, numpy as np, tempfile
    >>> from deeprnn_keras import LanguageModel, Resume, token_windows
    >>> data = token_windows([np.arange(90) % 7], length=8, batch_size=2, seed=0)
    >>> model = LanguageModel(7, units=4)
    >>> model.compile("sgd", model.loss_function())
    >>> resume = Resume(tempfile.mkdtemp(), data)
    >>> history = model.fit(data, epochs=2, callbacks=[resume], shuffle=False, verbose=0)
    >>> resume.resumed_at
    0
    """

    def __init__(self, directory, data, callbacks=(), every=EVERY, about=None):
        super().__init__()
        if not hasattr(data, "set_position"):
            raise ValueError(
                "data must be a dataset with a settable position (TBPTTDataset, token_windows, ...), "
                f"got {type(data).__name__}"
            )
        self.directory, self.data, self.callbacks = Path(directory).expanduser(), data, list(callbacks)
        self.every, self.about = checks.positive_int("every", every), dict(about or {})
        self.resumed_at = 0
        self._epoch, self._batch, self._updates = 0, 0, 0
        self._found, self._cut_short = None, False

    def set_model(self, model):
        super().set_model(model)
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params):
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    def on_train_begin(self, logs=None):
        if not self.params.get("steps"):
            raise ValueError("Resume needs to know the updates per epoch; give fit the data itself, not a part of it")
        self._make_directory()
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        found = checkpoint_files.read_newest(self.directory)
        self._identity = describe_run(self.model, self.data, self.callbacks, self.params, self.about)
        if found is None:
            self._each("on_train_begin", logs)
            self._save(0, 0)
            return
        path, arrays, plain = found
        self._compare(path, plain)
        snapshot.restore_model(self.model, arrays, plain)
        self._each("on_train_begin", logs)
        snapshot.restore_callbacks(self.callbacks, arrays, plain)
        self._epoch, self._batch, self._updates = plain["place"]
        self.resumed_at, self._found = self._updates, (arrays, plain)
        self.model._initial_epoch = self._epoch  # as Keras' own BackupAndRestore does

    def _make_directory(self):
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"directory {str(self.directory)!r} cannot be created: {error.strerror}; give another"
            ) from error

    def _compare(self, path, plain):
        found = differences(plain["identity"], self._identity)
        if found:
            more = f" (and {len(found) - 8} more)" if len(found) > 8 else ""
            raise ValueError(
                f"directory {str(self.directory)!r} holds another training: {'; '.join(found[:8])}{more}. "
                "Run what was run there, or give a new directory"
            )
        other = {name: (old, _versions()[name]) for name, old in plain["versions"].items() if old != _versions()[name]}
        if other:
            words = ", ".join(f"{name} {old} before, {new} now" for name, (old, new) in other.items())
            warnings.warn(f"{path.name} was written with other versions: {words}; results may differ", stacklevel=2)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        within = self._found is not None and self._batch > 0
        if self._found is not None:
            self._put_history_back()
        if within:
            snapshot.restore_epoch(self.model, self._found[0])
        else:
            self._batch = 0
            self._each("on_epoch_begin", epoch, logs)
        self.data.set_position(epoch, self._batch)
        self._first, self._found = self._batch, None

    def _put_history_back(self):
        history = getattr(self.model, "history", None)
        if history is not None:
            history.epoch, history.history = (
                list(part) if isinstance(part, list) else dict(part) for part in self._found[1]["history"]
            )

    def on_train_batch_begin(self, batch, logs=None):
        self._each("on_train_batch_begin", self._first + batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._each("on_train_batch_end", self._first + batch, logs)
        self._batch, self._updates = self._first + batch + 1, self._updates + 1
        last = self._batch >= self.params["steps"]
        if last and self._first and not self.model.stop_training:
            # the data of an epoch begun in the middle ends before Keras' count does: leave its loop, not the training
            self.model.stop_training = self._cut_short = True
        elif self._updates % self.every == 0 and not last and not self.model.stop_training:
            self._save(self._epoch, self._batch)

    def _go_on(self):
        if self._cut_short:
            self.model.stop_training = self._cut_short = False

    def on_test_begin(self, logs=None):
        self._go_on()
        self._each("on_test_begin", logs)

    def on_test_end(self, logs=None):
        self._each("on_test_end", logs)

    def on_test_batch_begin(self, batch, logs=None):
        self._each("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        self._each("on_test_batch_end", batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self._go_on()
        self._each("on_epoch_end", epoch, logs)
        if not self.model.stop_training:
            self._save(epoch + 1, 0, epoch=epoch, logs=logs)

    def on_train_end(self, logs=None):
        if self._found is not None:  # everything was done before
            self._put_history_back()
        self._each("on_train_end", logs)

    def _save(self, next_epoch, batch, epoch=None, logs=None):
        arrays, plain = snapshot.capture(self.model, self.callbacks)
        plain |= {
            "place": [next_epoch, batch, self._updates],
            "identity": self._identity,
            "versions": _versions(),
            "history": self._history(epoch, logs),
            "time": time.time(),
        }
        checkpoint_files.write(self.directory, self._updates, arrays, plain)

    def _history(self, epoch, logs):
        """Keras' record; it notes an epoch after this callback has seen its end."""
        history = getattr(self.model, "history", None)
        if not hasattr(history, "epoch"):  # before its first epoch
            return [[], {}]
        epochs, values = list(history.epoch), {key: [float(v) for v in kept] for key, kept in history.history.items()}
        if epoch is not None and epoch not in epochs:
            epochs.append(epoch)
            for key, value in (logs or {}).items():
                values.setdefault(key, []).append(float(value))
        return [epochs, values]

    def _each(self, hook, *arguments):
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)


def _versions():
    names = ("keras", keras.backend.backend(), "numpy")
    return {name: version(name) for name in names}
