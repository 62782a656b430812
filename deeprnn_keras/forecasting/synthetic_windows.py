"""Training batches of a zero-shot forecaster: inputs and targets of synthetic series, generated on the fly."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from deeprnn_keras.data.batches import Batches
from deeprnn_keras.data.random_series import SyntheticSeries, synthetic_series
from deeprnn_keras.forecasting.combination import COLUMNS, knot_position
from deeprnn_keras.forecasting.origin_inputs import NUM_INPUTS, OriginInputs

LENGTHS = (48, 80, 140, 240, 400, 760)  # steps of a batch of series
LENGTH_WEIGHTS = (0.14, 0.18, 0.2, 0.2, 0.16, 0.12)
MAX_STEPS_READ, MAX_HORIZON = 96, 120
HORIZONS_PER_ORIGIN = 4
MIN_AGE = 4  # steps of a series before its first forecast
MAX_TARGET = 50.0  # in units of the scale; larger ones have no weight


def training_batch(
    series: SyntheticSeries, rng: np.random.Generator, horizons: int = HORIZONS_PER_ORIGIN
) -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs, (n, T, d), and the targets of J random horizons of each step, (n, T, J `COLUMNS`).

    The last third of the series, at most 120 steps, contains targets only. A series counts as much as its seasonal
    naive forecasts are accurate, so that the loss is relative to theirs.

    Args:
        series: The series.
        rng: Random generator of the horizons.
        horizons: J.
    """
    y, (count, steps) = series.values, series.values.shape
    longest = min(MAX_HORIZON, steps // 3)
    ends = steps - longest
    reader = OriginInputs(series.seasons, series.second_seasons)
    x = reader.read(y[:, :ends], MAX_STEPS_READ)
    bank, kept = reader.bank, x.shape[1]
    first = ends - kept
    ahead = np.exp(rng.uniform(0, np.log(longest + 1), (kept, count, horizons))).astype(np.int64)
    targets = np.empty((kept, count, horizons, COLUMNS), np.float32)
    origins = np.broadcast_to(np.arange(first, ends)[:, None], (kept, count))
    valid = bank.records.age[first + 1 : ends + 1] >= MIN_AGE
    for number in range(horizons):
        h = ahead[..., number]
        naive, scale, candidates = bank.relative_candidates(origins + 1, h)  # records begin one step before the values
        target = (y[bank.rows, origins + h] - naive) / scale
        weight = valid & (np.abs(np.nan_to_num(target, nan=np.inf)) < MAX_TARGET)
        targets[:, :, number, 0], targets[:, :, number, 1] = weight, np.where(weight, target, 0.0)
        targets[:, :, number, 2], targets[:, :, number, 3:] = knot_position(h), candidates
    error = np.sum(np.abs(targets[..., 1]), axis=(0, 2)) / np.maximum(targets[..., 0].sum(axis=(0, 2)), 1)
    targets[..., 0] /= (0.2 + error)[:, None]
    targets[..., 0] /= max(float(targets[..., 0].mean()), 1e-6)
    return x, targets.transpose(1, 0, 2, 3).reshape(count, kept, -1)


def synthetic_batches(batch_size: int, steps: int, seed: tuple[int, ...]) -> Batches:
    """Return batches of synthetic series for `model.fit`, new ones in every epoch.

    Args:
        batch_size: Number of series of a batch, n.
        steps: Number of batches of an epoch.
        seed: Random seed. The batches depend on it and on their number only, so that training can be resumed.
    """

    def plan(epoch: int) -> list[np.ndarray]:
        return [np.arange(epoch * steps, (epoch + 1) * steps)]

    def generate(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng((*seed, int(number)))
        length = int(rng.choice(LENGTHS, p=LENGTH_WEIGHTS))
        return training_batch(synthetic_series(batch_size, length, (*seed, int(number), 1)), rng)

    def make_batch(number: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a tensor
        x, y = tf.numpy_function(generate, [number], [tf.float32, tf.float32])
        x.set_shape((batch_size, None, NUM_INPUTS))
        y.set_shape((batch_size, None, HORIZONS_PER_ORIGIN * COLUMNS))
        return x, y

    about = {"kind": "synthetic series", "n": batch_size, "seed": list(seed), "steps": steps}
    return Batches(plan, [tf.TensorSpec((), tf.int64)], make_batch, about)
