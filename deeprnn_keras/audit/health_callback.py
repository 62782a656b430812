"""`GradientHealth`: `gradient_health` during a training."""

import math
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.audit.diagnosis import diagnose_run
from deeprnn_keras.audit.health import gradient_health
from deeprnn_keras.optimizers.clipping import global_clipnorm_of
from deeprnn_keras.training.files import save_text


class GradientHealth(keras.callbacks.Callback):
    """Measures the health of the gradient while a model trains, and says what is wrong with the network or the run.

    Measures after the first update, after every `every` updates and at the end, on one batch, each time as
    `gradient_health` does, and as little changes: the training is the same with and without it. An update is a call of
    `on_train_batch_end`.

    Args:
        x, y: the batch, as in `gradient_health`; one that is kept out of the training, or a part of it.
        every: updates between two measurements.
        directory: where `gradient_health.png` and `gradient_health.txt` are written at the end; made if missing.
        tensorboard: write scalars into the directory too, at each measurement.
        layer: the name of the `DeepRNN`, where there are several.

    Attributes:
        reports: [(update, `HealthReport`)].
        losses, learning_rates: one per update. The loss is worked out from Keras' mean over the epoch so far.
        update_sizes: between two measurements, |change of all weights| / |weights| per update.
        counts: [(updates applied, updates clipped)] at the begin and at each measurement, if the optimizer counts.
        report: the last `HealthReport`, with the share of clipped updates and the findings of the whole run: the clip
            is too tight if 90 % of the updates are clipped and the median norm is 10 times as large; the learning rate
            is too high if the loss lost half of what it had gained, beyond its noise, or updates move the weights by
            more than 5 %.

    Raises:
        ValueError: for `every` below 1, TensorBoard without a directory, and what `gradient_health` refuses.

    >>> import keras, numpy as np
    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras.audit import GradientHealth
    >>> model = keras.Sequential([keras.Input((None, 3)), DeepRNN(8), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> x, y = np.random.default_rng(0).normal(size=(8, 30, 3)), np.ones((8, 1))
    >>> health = GradientHealth(x[:4], y[:4], every=2)
    >>> history = model.fit(x, y, batch_size=2, epochs=2, verbose=0, callbacks=[health])
    >>> [update for update, report in health.reports], health.report.verdict
    ([1, 2, 4, 6, 8], 'healthy')
    """

    def __init__(self, x, y, every=100, directory=None, tensorboard=False, layer=None):
        super().__init__()
        self.x, self.y, self.layer = x, y, layer
        self.every = checks.positive_int("every", every)
        self.directory = None if directory is None else Path(directory).expanduser()
        if tensorboard and directory is None:
            raise ValueError("tensorboard=True needs a directory to write to, got directory=None")
        if self.directory is not None and self.directory.exists() and not self.directory.is_dir():
            raise ValueError(f"directory {str(self.directory)!r} is a file; pass a directory, which may not exist yet")
        self.tensorboard = bool(tensorboard)
        self.update, self.reports, self.losses, self.learning_rates = 0, [], [], []
        self.update_sizes, self.counts, self.weights = [], [], []
        self.epoch_batches, self.epoch_sum = 0, 0.0
        self._writer = None  # of TensorBoard, during a training

    @property
    def report(self):
        """The last report with what the run shows, or None before the first."""
        if not self.reports:
            return None
        last, norms = self.reports[-1][1], [report.gradient_norm for _, report in self.reports]
        last = replace(last, clipped=self._clipped(0), norms=norms)
        return replace(last, findings=[*last.findings, *diagnose_run(last, self.losses, self.update_sizes)])

    def on_train_begin(self, logs=None):
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)
        if self.tensorboard:
            import tensorflow as tf

            self._writer = tf.summary.create_file_writer(str(self.directory))
        self._count()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_batches, self.epoch_sum = 0, 0.0

    def on_train_batch_end(self, batch, logs=None):
        self.update += 1
        self.epoch_batches += 1
        total = float(logs["loss"]) * self.epoch_batches  # Keras logs the mean since the epoch's begin
        self.losses.append(total - self.epoch_sum)
        self.epoch_sum = total
        self.learning_rates.append(float(self.model.optimizer.learning_rate))
        if self.update == 1 or self.update % self.every == 0:
            self._measure()

    def on_train_end(self, logs=None):
        if self.update and self.reports[-1][0] != self.update:
            self._measure()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self.directory is not None and self.reports:
            report = self.report
            report.plot(self.directory / "gradient_health.png")
            save_text(f"{report}\n", self.directory / "gradient_health.txt")

    def _measure(self):
        weights = [v.numpy().copy() for v in self.model.trainable_variables]
        if self.reports:
            updates = self.update - self.reports[-1][0]
            moved = _length(new - old for new, old in zip(weights, self.weights, strict=True))
            self.update_sizes.append(moved / max(_length(self.weights), 1e-12) / updates)
        self.weights = weights
        self._count()
        self.reports.append((self.update, gradient_health(self.model, self.x, self.y, self.layer)))
        if self._writer is not None:
            self._write_scalars(self.reports[-1][1])

    def _count(self):
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        if hasattr(optimizer, "applied") and hasattr(optimizer, "clipped"):
            self.counts.append((int(optimizer.applied), int(optimizer.clipped)))

    def _clipped(self, since):
        """The share of updates clipped since measurement `since`, as the optimizer counted, or by the norms."""
        clip = global_clipnorm_of(self.model.optimizer)
        if clip is None:
            return None
        if self.counts:
            applied, clipped = np.subtract(self.counts[-1], self.counts[since])
            return float(clipped / applied) if applied else None
        return float(np.mean([report.gradient_norm > clip for _, report in self.reports[since:]]))

    def _write_scalars(self, report):
        import tensorflow as tf

        middle = report.state.shape[1] // 2
        scalars = {"gradient_norm": report.gradient_norm, "clipped": self._clipped(-2 if self.counts else -1)}
        for place, gates in enumerate(report.saturation):
            scalars |= {
                f"layer_{place + 1}/norm_at_lag_0": report.state[place, 0],
                f"layer_{place + 1}/norm_at_lag_{middle}": report.state[place, middle],
                f"layer_{place + 1}/dead": report.dead[place],
                **{f"layer_{place + 1}/saturated_{gate}": share for gate, share in gates.items()},
            }
        # what `tf.summary.scalar` writes, which is there only if TensorBoard is installed
        metadata = tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = "scalars"
        with self._writer.as_default():
            for name, value in scalars.items():
                if value is not None:
                    tag = f"gradient_health/{name}"
                    tf.summary.write(tag, tf.constant(value, "float32"), self.update, metadata)
        self._writer.flush()


def _length(arrays):
    return math.sqrt(sum(float(np.sum(np.square(array, dtype="float64"))) for array in arrays))
