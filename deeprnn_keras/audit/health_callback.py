"""`GradientHealth`: callback that runs `gradient_health` during training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike, Logs, PathLike
from deeprnn_keras.audit.diagnosis import diagnose_run
from deeprnn_keras.audit.health import ModelInput, gradient_health
from deeprnn_keras.audit.health_report import HealthReport
from deeprnn_keras.optimizers.clipping import global_clipnorm_of, unwrap_optimizer
from deeprnn_keras.training.callback_state import Arrays, StateTypes
from deeprnn_keras.writing import save_text


class GradientHealth(keras.callbacks.Callback):
    """Measure gradient health during training, and diagnose problems of the network and of the run.

    It measures with `gradient_health` on one batch: after the first update, after every `every` updates, and at the
    end. The measurements do not affect training. An update is a call of `on_train_batch_end`.

    Args:
        x: Inputs of the batch, as in `gradient_health`; held-out data or a part of the training data.
        y: Targets of the batch.
        every: Number of updates between measurements.
        directory: Directory for `gradient_health.png` and `gradient_health.txt`, written at the end; created if
            missing.
        tensorboard: Write scalars to `directory` at each measurement.
        layer: Name of the `DeepRNN`, if the model has several.

    Attributes:
        reports: [(number of updates, `HealthReport`)].
        losses: Loss of each update, computed from the mean over the epoch that Keras logs.
        learning_rates: Learning rate of each update.
        num_updates: Number of updates so far.
        update_sizes: Norm of the change of all weights per update, relative to the norm of the weights, for each
            interval between measurements.
        update_counts: [(updates applied, updates clipped)] at the start and at each measurement, if the optimizer
            counts them.
        report: Last `HealthReport`, with the fraction of clipped updates and the findings of the whole run. The clip
            is too tight if 90% of the updates are clipped and the median norm is 10 times the clipping norm. The
            learning rate is too high if the loss lost half of its improvement, beyond its noise, or if an update
            changes the weights by more than 5%.

    Raises:
        ValueError: If `every` is below 1, if `tensorboard` is set without `directory`, and as in `gradient_health`.

    >>> import keras, numpy as np
    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras.audit import GradientHealth
    >>> model = keras.Sequential([keras.Input((None, 3)), DeepRNN(8), keras.layers.Dense(1)])
    >>> model.compile("adam", "mse")
    >>> x, y = np.random.default_rng(0).normal(size=(8, 5, 3)), np.ones((8, 1))
    >>> health = GradientHealth(x[:4], y[:4], every=2)
    >>> history = model.fit(x, y, batch_size=2, epochs=2, verbose=0, callbacks=[health])
    >>> [update for update, report in health.reports], health.report.verdict
    ([1, 2, 4, 6, 8], 'healthy')
    """

    resumable_state: ClassVar[StateTypes] = {
        **dict.fromkeys(("x", "y", "layer", "every", "directory", "tensorboard", "reports")),
        "num_updates": int,
        "losses": list[float],
        "learning_rates": list[float],
        "update_sizes": list[float],
        "update_counts": list[tuple[int, int]],
        "weights": Arrays,
        "epoch_batches": int,
        "epoch_loss_sum": float,
    }

    def __init__(
        self,
        x: ModelInput,
        y: ArrayLike,
        every: int = 100,
        directory: PathLike | None = None,
        tensorboard: bool = False,
        layer: str | None = None,
    ) -> None:
        super().__init__()
        self.x, self.y, self.layer = x, y, layer
        self.every = checks.positive_int("every", every)
        self.directory = None if directory is None else Path(directory).expanduser()
        self.tensorboard = checks.flag("tensorboard", tensorboard)
        if self.tensorboard and directory is None:
            raise ValueError("tensorboard=True requires a directory, got directory=None")
        if self.directory is not None and self.directory.exists() and not self.directory.is_dir():
            raise ValueError(f"directory {str(self.directory)!r} is a file; pass a new or existing directory")
        self.num_updates = 0
        self.reports: list[tuple[int, HealthReport]] = []
        self.losses: list[float] = []
        self.learning_rates: list[float] = []
        self.update_sizes: list[float] = []
        self.update_counts: list[tuple[int, int]] = []
        self.weights: list[np.ndarray] = []  # weights at the last measurement
        self.epoch_batches, self.epoch_loss_sum = 0, 0.0
        self._writer: Any = None  # TensorBoard writer, open during training

    @property
    def report(self) -> HealthReport | None:
        """Last report with the findings of the run, or None before the first measurement."""
        if not self.reports:
            return None
        gradient_norms = [report.gradient_norm for _, report in self.reports]
        last = replace(self.reports[-1][1], clipped_fraction=self._clipped_since(0), gradient_norms=gradient_norms)
        return replace(last, findings=[*last.findings, *diagnose_run(last, self.losses, self.update_sizes)])

    @override
    def on_train_begin(self, logs: Logs = None) -> None:
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)
        if self.tensorboard:
            import tensorflow as tf

            self._writer = tf.summary.create_file_writer(str(self.directory))
        self._record_counts()

    @override
    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch_batches, self.epoch_loss_sum = 0, 0.0

    @override
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        assert logs is not None  # Keras always passes the logs of a batch
        self.num_updates += 1
        self.epoch_batches += 1
        loss_sum = float(logs["loss"]) * self.epoch_batches  # Keras logs the mean since the start of the epoch
        self.losses.append(loss_sum - self.epoch_loss_sum)
        self.epoch_loss_sum = loss_sum
        self.learning_rates.append(float(self.model.optimizer.learning_rate))
        if self.num_updates == 1 or self.num_updates % self.every == 0:
            self._measure()

    @override
    def on_train_end(self, logs: Logs = None) -> None:
        if self.num_updates and (not self.reports or self.reports[-1][0] != self.num_updates):
            self._measure()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self.directory is not None and (report := self.report) is not None:
            report.plot(self.directory / "gradient_health.png")
            save_text(f"{report}\n", self.directory / "gradient_health.txt")

    def _measure(self) -> None:
        weights = [v.numpy().copy() for v in self.model.trainable_variables]
        if self.reports:
            updates = self.num_updates - self.reports[-1][0]
            change = _global_norm(new - old for new, old in zip(weights, self.weights, strict=True))
            self.update_sizes.append(change / max(_global_norm(self.weights), 1e-12) / updates)
        self.weights = weights
        self._record_counts()
        report = gradient_health(self.model, self.x, self.y, self.layer)
        self.reports.append((self.num_updates, report))
        if self._writer is not None:
            self._write_scalars(report)

    def _record_counts(self) -> None:
        optimizer = unwrap_optimizer(self.model.optimizer)
        if hasattr(optimizer, "applied") and hasattr(optimizer, "clipped"):
            self.update_counts.append((int(optimizer.applied), int(optimizer.clipped)))

    def _clipped_since(self, measurement: int) -> float | None:
        """Return the fraction of updates clipped since a measurement, counted by the optimizer or judged by norms."""
        clipnorm = global_clipnorm_of(self.model.optimizer)
        if clipnorm is None:
            return None
        if self.update_counts:
            applied, clipped = np.subtract(self.update_counts[-1], self.update_counts[measurement])
            return float(clipped / applied) if applied else None
        return float(np.mean([report.gradient_norm > clipnorm for _, report in self.reports[measurement:]]))

    def _write_scalars(self, report: HealthReport) -> None:
        import tensorflow as tf

        middle = report.state_norms.shape[1] // 2
        scalars: dict[str, float | None] = {
            "gradient_norm": report.gradient_norm,
            "clipped": self._clipped_since(-2 if self.update_counts else -1),
        }
        for index, gates in enumerate(report.saturation):
            scalars |= {
                f"layer_{index + 1}/norm_at_lag_0": report.state_norms[index, 0],
                f"layer_{index + 1}/norm_at_lag_{middle}": report.state_norms[index, middle],
                f"layer_{index + 1}/dead": report.dead_fraction[index],
                **{f"layer_{index + 1}/saturated_{gate}": fraction for gate, fraction in gates.items()},
            }
        # The format of `tf.summary.scalar`, which exists only if TensorBoard is installed.
        metadata = tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = "scalars"
        with self._writer.as_default():
            for name, value in scalars.items():
                if value is not None:
                    tag = f"gradient_health/{name}"
                    tf.summary.write(tag, tf.constant(value, "float32"), self.num_updates, metadata)
        self._writer.flush()


def _global_norm(arrays: Iterable[np.ndarray]) -> float:
    return math.sqrt(sum(float(np.sum(np.square(array, dtype="float64"))) for array in arrays))
