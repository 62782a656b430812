"""`OriginInputs`: inputs of a network at each step of series, computed by a `SmoothingBank`, free of units."""

from __future__ import annotations

import numpy as np

from deeprnn_keras.forecasting.smoothing_bank import CANDIDATES, SmoothingBank

ERROR_RATE = 1 / 40
MAX_LOG = 5.0
NUM_INPUTS = 1 + 5 * len(CANDIDATES) - 2 + 13
"""Number of inputs of a step, d."""


class OriginInputs:
    """Reads series step by step and returns the inputs of the network after each step.

    All inputs are ratios to the scale of the series, its mean absolute seasonal difference up to the step:

    - the errors of all simple forecasts of this step, and the logarithms of their mean absolute errors so far, one step
      and one season ahead,
    - the simple forecasts of the next step and of the same step of the next season, as differences from seasonal naive,
    - whether the step is observed, the position in the season, and properties of the series: the level, the trend, the
      share of zeros, the number of steps.

    Args:
        seasons: As in `SmoothingBank`.
        second_seasons: As in `SmoothingBank`.

    Attributes:
        bank: The simple forecasts.
        errors: Mean absolute errors one step and one season ahead, (2, n, candidates).
        counts: Number of errors, (2, n).
    """

    def __init__(self, seasons: np.ndarray, second_seasons: np.ndarray) -> None:
        self.bank = SmoothingBank(seasons, second_seasons)
        n = len(self.bank.rows)
        self.errors, self.counts = np.zeros((2, n, len(CANDIDATES))), np.zeros((2, n))

    def read(self, y: np.ndarray, last: int | None = None) -> np.ndarray:
        """Read values, (n, steps), NaN where they are missing, and return the inputs, float32, (n, steps, d).

        Args:
            y: The values.
            last: Number of last steps to return; None for all.
        """
        bank, count = self.bank, y.shape[1]
        kept = count if last is None else min(last, count)
        past = bank.steps
        bank.read(y)
        steps = np.arange(past, past + count)[:, None]
        observed = ~np.isnan(y.T)
        signed, means = self._errors(steps, y.T, observed, kept)
        return self._inputs(steps[count - kept :], observed[count - kept :], signed, means)

    def take(self, rows: np.ndarray) -> OriginInputs:
        """Return the inputs of some series, with copies of what is remembered."""
        inputs = OriginInputs.__new__(OriginInputs)
        inputs.bank = self.bank.take(rows)
        inputs.errors, inputs.counts = self.errors[:, rows], self.counts[:, rows]
        return inputs

    def put(self, rows: np.ndarray, inputs: OriginInputs) -> None:
        """Store what is remembered of some series."""
        self.bank.put(rows, inputs.bank)
        self.errors[:, rows], self.counts[:, rows] = inputs.errors, inputs.counts

    def _errors(
        self, steps: np.ndarray, y: np.ndarray, observed: np.ndarray, kept: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return errors of one step, (kept, n, candidates), and mean absolute errors, (kept, 2, n, candidates)."""
        bank = self.bank
        ones = np.ones((len(steps), len(bank.rows)), np.int64)
        errors, weights = (
            np.empty((len(steps), 2, len(bank.rows), len(CANDIDATES))),
            np.empty((len(steps), 2, *ones.shape[1:])),
        )
        for number, ahead in enumerate((ones, ones * bank.ahead)):
            origins = np.maximum(steps - ahead, 0)
            weights[:, number] = observed & (bank.records.age[origins, bank.rows] >= 0)
            errors[:, number] = np.where(observed, y, 0.0)[..., None] - bank.candidates(origins, ahead)
            errors[:, number] *= weights[:, number, :, None]
        means = np.empty((kept, *errors.shape[1:]))
        first = len(steps) - kept
        for step, (error, weight) in enumerate(zip(np.abs(errors), weights, strict=True)):
            rates = np.maximum(ERROR_RATE, 1 / (self.counts + 1)) * weight
            self.errors = self.errors + rates[..., None] * (error - self.errors)
            self.counts = self.counts + weight
            if step >= first:
                means[step - first] = self.errors
        return errors[first:, 0], means

    def _inputs(self, steps: np.ndarray, observed: np.ndarray, signed: np.ndarray, means: np.ndarray) -> np.ndarray:
        bank = self.bank
        scale = bank.scale(slice(int(steps[0, 0]), int(steps[-1, 0]) + 1))
        shape = observed.shape
        origins = np.broadcast_to(steps, shape)
        parts = [observed[..., None], np.arcsinh(signed / scale[..., None])]
        parts += [_log_ratio(means[:, number], scale[..., None]) for number in range(2)]
        for ahead in (np.ones(shape, np.int64), np.broadcast_to(bank.ahead, shape)):
            forecasts = bank.candidates(origins, ahead)
            parts.append(np.arcsinh((forecasts[..., 1:] - forecasts[..., :1]) / scale[..., None]))
        parts.append(np.stack(self._properties(origins, scale), axis=2))
        return np.concatenate(parts, axis=2, dtype=np.float32).transpose(1, 0, 2)

    def _properties(self, origins: np.ndarray, scale: np.ndarray) -> list[np.ndarray]:
        bank = self.bank
        records, seasons = bank.records, bank.seasons
        at = {
            name: getattr(records, name)[origins[:, 0]]
            for name in ("age", "count", "step_error", "mean", "nonnegative", "zeros", "trend_0", "trend_1")
        }
        age = np.maximum(at["age"], 0)
        phase = 2 * np.pi * (age % seasons) / seasons
        same = np.ones_like(scale)
        return [
            np.sin(phase),
            np.cos(phase),
            np.log(seasons) * same / 4,
            np.log1p(age / seasons) / 2,
            np.log1p(at["count"]) / 4,
            bank.has_second * same,
            (age >= bank.second_seasons) * same,
            _log_ratio(at["step_error"], scale),
            _log_ratio(np.abs(at["mean"]), scale),
            at["nonnegative"],
            at["zeros"],
            np.arcsinh(at["trend_0"] * bank.ahead / scale),
            np.arcsinh(at["trend_1"] * bank.ahead / scale),
        ]


def _log_ratio(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return log(values / scale), limited to ±5 and divided by 2."""
    return np.log(np.clip(values / scale, np.exp(-MAX_LOG), np.exp(MAX_LOG))) / 2
