"""`SmoothingBank`: simple forecasts of many series side by side, each updated by every observation in O(1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CANDIDATES = (
    "seasonal naive",
    "seasonal naive with drift",
    "naive",
    "slow level",
    "medium level",
    "fast level",
    "slow trend",
    "fast trend",
    "multiplicative season",
    "mean",
    "second seasonal naive",
    "two seasons",
)
"""Names of the simple forecasts, in the order of `SmoothingBank.candidates`."""

LEVEL_RATES = np.array([[0.1], [0.3], [0.8], [0.005]])  # slow, medium, fast, and nearly the mean
TREND_RATES = ((0.3, 0.05, 0.99), (0.8, 0.3, 0.9))  # of the level, of the trend, and the damping
SEASON_RATE, SECOND_SEASON_RATE, SCALE_RATE, DRIFT_SEASONS, ZEROS_RATE = 0.15, 0.3, 0.005, 2, 0.02
MIN_SHARE_OF_STEPS = 0.03  # the scale is at least this share of the mean absolute difference of successive values
NO_SEASON_AHEAD = 8  # steps ahead at which errors are measured if there is no season
MAX_DIFFERENCE = 30.0  # of a simple forecast from seasonal naive, in units of the scale
TINY = 1e-12
SLOTS = ("filled", "season", "revised", "factor", "second")
LEVELS = (
    *("last", "mean", "sum", "slow", "medium", "fast", "global", "double", "ratio", "drift", "season_error"),
    *("step_error", "level_0", "trend_0", "level_1", "trend_1", "nonnegative", "zeros", "age", "count", "pairs"),
)


@dataclass
class Records:
    """Values of the bank after each step, arrays (steps, series), by name; the names are `SLOTS` and `LEVELS`.

    `filled` is the value, or the forecast by seasonal naive where it is missing. `season`, `factor`, and `second` are
    the additive, multiplicative, and second seasonal component of the position of the step in the season. `revised`
    replaces the additive components of the second season once it is complete; elsewhere, it equals `season`.
    """

    arrays: dict[str, np.ndarray]

    def __getattr__(self, name: str) -> np.ndarray:
        try:
            return self.__dict__["arrays"][name]
        except KeyError:
            raise AttributeError(name) from None


class SmoothingBank:
    """Bank of simple forecasts of several series: seasonal naive, levels, trends, and seasonal components.

    The series are exponentially smoothed with fixed rates, which are 1 / (k + 1) at the k-th observation until they
    have fallen to the rate, so that a short history counts in full:

        level      l_t = l_{t-1} + a (y_t - s_{t-m} - l_{t-1})
        trend      b_t = φ b_{t-1} + a b (y_t - s_{t-m} - l_{t-1} - φ b_{t-1})
        season     s_t = s_{t-m} + c (y_t - mean of the last m values - s_{t-m})

    and likewise a multiplicative season and a second, longer one. A missing value leaves all of them unchanged. An
    observation costs one step, whatever the length of the history; a series is remembered for one season.

    Args:
        seasons: Steps of the season of each series, (n,), m; 1 for none.
        second_seasons: Steps of a longer season, (n,), or 0 for none.

    Attributes:
        records: Values after each step that is remembered.
    """

    def __init__(self, seasons: np.ndarray, second_seasons: np.ndarray) -> None:
        self.seasons = np.asarray(seasons, np.int64)
        second = np.asarray(second_seasons, np.int64)
        self.has_second = second > self.seasons
        self.second_seasons = np.where(self.has_second, second, self.seasons)
        self.rows = np.arange(len(self.seasons))
        self.records = self._empty(1)

    @property
    def steps(self) -> int:
        """Number of remembered steps."""
        return len(self.records.last)

    @property
    def ahead(self) -> np.ndarray:
        """Steps ahead at which errors are measured, in addition to one step: a season, (n,)."""
        return np.where(self.seasons > 1, self.seasons, NO_SEASON_AHEAD)

    def memory(self) -> int:
        """Return the number of last steps that later steps depend on."""
        return int(max(self.second_seasons.max(), self.ahead.max())) + 1

    def read(self, y: np.ndarray) -> None:
        """Read values, (n, steps), NaN where they are missing."""
        past, count = self.steps, y.shape[1]
        extended = {
            name: np.concatenate([array, np.empty((count, len(self.rows)))])
            for name, array in self.records.arrays.items()
        }
        self.records = Records(extended)
        for step in range(count):
            self._step(past + step, y[:, step])

    def forget(self) -> None:
        """Forget the steps that later ones do not depend on; afterwards `memory()` steps are remembered."""
        missing, arrays = max(self.memory() - self.steps, 0), self.records.arrays
        if missing:
            empty = self._empty(missing).arrays
            arrays = {name: np.concatenate([empty[name], array]) for name, array in arrays.items()}
        self.records = Records({name: array[-self.memory() :].copy() for name, array in arrays.items()})

    def take(self, rows: np.ndarray) -> SmoothingBank:
        """Return the bank of some series, with a copy of their records."""
        second = np.where(self.has_second, self.second_seasons, 0)
        bank = SmoothingBank(self.seasons[rows], second[rows])
        bank.records = Records({name: array[:, rows] for name, array in self.records.arrays.items()})
        return bank

    def put(self, rows: np.ndarray, bank: SmoothingBank) -> None:
        """Store the records of some series, of which as many steps must be remembered."""
        for name, array in self.records.arrays.items():
            array[:, rows] = bank.records.arrays[name]

    def _empty(self, steps: int) -> Records:
        """Return the records of steps before the first observation."""
        arrays = {name: np.zeros((steps, len(self.rows))) for name in (*SLOTS, *LEVELS)}
        arrays["age"] -= 1.0
        arrays["nonnegative"] += 1.0
        return Records(arrays)

    # === One step ===

    def _step(self, t: int, y: np.ndarray) -> None:
        records, seasons = self.records.arrays, self.seasons
        before = {name: records[name][t - 1] for name in LEVELS}
        observed = ~np.isnan(y)
        age = np.where((before["age"] >= 0) | observed, before["age"] + 1, -1.0)
        full = age >= seasons
        ago = np.maximum(t - seasons, 0)
        past = np.where(full, records["filled"][ago, self.rows], before["last"])
        value = np.where(observed, y, past)
        now = {"age": age, "count": before["count"] + observed, "last": np.where(observed, y, before["last"])}
        now["sum"] = before["sum"] + value - np.where(full, records["filled"][ago, self.rows], 0.0)
        now["mean"] = now["sum"] / np.clip(age + 1, 1, seasons)
        now["nonnegative"] = np.where(observed & (y < 0), 0.0, before["nonnegative"])
        weight = observed / (before["count"] + 1)  # of the first observations
        self._errors(now, before, value, past, observed, full, weight)
        season = np.where(full, self._season(ago, before["age"]), 0.0)
        factor = np.where(full, records["factor"][ago, self.rows], 1.0)
        second = self._second(t, age)
        self._levels(now, before, value, (season, factor, second), weight, observed)
        self._seasons(t, now, value, (season, factor, second), observed, full)
        for name, array in now.items():
            records[name][t] = array
        records["filled"][t] = np.where(age >= 0, value, 0.0)
        for number in (1, 2):
            complete = np.flatnonzero((age == number * seasons - 1) & (seasons > 1))
            if len(complete):
                self._start_seasons(t, complete, number)

    def _second(self, t: int, age: np.ndarray) -> np.ndarray:
        known = self.has_second & (age >= self.second_seasons)
        return np.where(known, self.records.second[np.maximum(t - self.second_seasons, 0), self.rows], 0.0)

    def _season(self, positions: np.ndarray, origin_ages: np.ndarray) -> np.ndarray:
        """Return the seasonal components of positions as known at origins, which are at most a season later."""
        revised = (origin_ages >= 2 * self.seasons - 1) & (self.records.age[positions, self.rows] < 2 * self.seasons)
        records = self.records
        return np.where(revised, records.revised[positions, self.rows], records.season[positions, self.rows])

    def _errors(
        self,
        now: dict[str, np.ndarray],
        before: dict[str, np.ndarray],
        value: np.ndarray,
        past: np.ndarray,
        observed: np.ndarray,
        full: np.ndarray,
        weight: np.ndarray,
    ) -> None:
        """Update the mean absolute differences, the drift of seasonal differences, and the share of zeros."""
        counted = observed & full
        now["pairs"] = before["pairs"] + counted
        difference = np.where(counted, value - past, 0.0)
        share = counted / (before["pairs"] + 1)
        rate = np.where(counted, np.maximum(share, SCALE_RATE), 0.0)
        now["season_error"] = before["season_error"] + rate * (np.abs(difference) - before["season_error"])
        drift_rate = np.where(counted, np.maximum(share, 1 / (DRIFT_SEASONS * np.maximum(self.seasons, 4))), 0.0)
        now["drift"] = before["drift"] + drift_rate * (difference - before["drift"])
        second_on = observed & (before["count"] > 0)
        rate = np.where(second_on, np.maximum(observed / np.maximum(before["count"], 1), SCALE_RATE), 0.0)
        now["step_error"] = before["step_error"] + rate * (np.abs(value - before["last"]) - before["step_error"])
        rate = np.maximum(weight, ZEROS_RATE * observed)
        now["zeros"] = before["zeros"] + rate * ((value == 0) - before["zeros"])

    def _levels(
        self,
        now: dict[str, np.ndarray],
        before: dict[str, np.ndarray],
        value: np.ndarray,
        components: tuple[np.ndarray, np.ndarray, np.ndarray],
        weight: np.ndarray,
        observed: np.ndarray,
    ) -> None:
        season, factor, second = components
        adjusted = value - season
        names = ("slow", "medium", "fast", "global")
        levels = np.stack([before[name] for name in names])
        levels += np.maximum(LEVEL_RATES * observed, weight) * (adjusted - levels)
        now.update(zip(names, levels, strict=True))
        medium = np.maximum(LEVEL_RATES[1] * observed, weight)
        now["double"] = before["double"] + medium * (adjusted - second - before["double"])
        now["ratio"] = before["ratio"] + medium * (value / np.maximum(factor, 0.05) - before["ratio"])
        for number, (rate, trend_rate, damping) in enumerate(TREND_RATES):
            level, trend = before[f"level_{number}"], damping * before[f"trend_{number}"]
            error = adjusted - level - trend
            later = observed & (before["count"] > 0)
            now[f"level_{number}"] = level + trend + np.maximum(rate * observed, weight) * error
            rates = np.maximum(rate * trend_rate, 0.5 * weight)
            now[f"trend_{number}"] = trend + np.where(later, rates * error, 0.0)

    def _seasons(
        self,
        t: int,
        now: dict[str, np.ndarray],
        value: np.ndarray,
        components: tuple[np.ndarray, np.ndarray, np.ndarray],
        observed: np.ndarray,
        full: np.ndarray,
    ) -> None:
        records, age, mean = self.records.arrays, now["age"], now["mean"]
        season, factor, second = components
        rate = np.where(full & observed, np.maximum(SEASON_RATE, 1 / (np.maximum(age, 0) // self.seasons + 1)), 0.0)
        records["season"][t] = records["revised"][t] = season + rate * (value - mean - season)
        ratio = value / np.where(mean > TINY, mean, 1.0)
        records["factor"][t] = factor + np.where(mean > TINY, rate, 0.0) * (np.clip(ratio, 0.0, 20.0) - factor)
        again = age >= self.second_seasons
        rate = np.where(again, np.maximum(SECOND_SEASON_RATE, 1 / (np.maximum(age, 0) // self.second_seasons + 2)), 0.5)
        rate = np.where(full & self.has_second & observed, rate, 0.0)
        records["second"][t] = second + rate * (value - mean - season - second)

    def _start_seasons(self, t: int, rows: np.ndarray, number: int) -> None:
        """Set the components after one and after two complete seasons, the second time without their trend."""
        records = self.records.arrays
        for m in np.unique(self.seasons[rows]):
            chosen = rows[self.seasons[rows] == m]
            mean = records["mean"][t, chosen]
            values = [
                records["filled"][t + 1 - k * m : t + 1 - (k - 1) * m, chosen]
                - records["mean"][t - (k - 1) * m, chosen]
                for k in range(1, number + 1)
            ]
            trend = (mean - records["mean"][t - m, chosen]) / m if number == 2 else np.zeros(len(chosen))
            season = np.mean(values, axis=0) + trend * (m - 1 - np.arange(m))[:, None]
            records["season" if number == 1 else "revised"][t + 1 - m : t + 1, chosen] = season
            if number == 1:
                positive = np.where(mean > TINY, mean, 1.0)
                factors = np.where(mean > TINY, records["filled"][t + 1 - m : t + 1, chosen] / positive, 1.0)
                records["factor"][t + 1 - m : t + 1, chosen] = np.clip(factors, 0.0, 20.0)
                records["ratio"][t, chosen] = mean
            for name in ("slow", "medium", "fast", "global", "double", "level_0", "level_1"):
                records[name][t, chosen] = mean
            for name in ("trend_0", "trend_1"):
                records[name][t, chosen] = trend

    # === Forecasts ===

    def candidates(self, origins: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return the simple forecasts, (k, n, candidates).

        Args:
            origins: Positions of the origins among the remembered steps, (k, n).
            steps: Steps ahead, (k, n), from 1.
        """
        records, rows = self.records, self.rows
        at = {name: records.arrays[name][origins, rows] for name in LEVELS}
        cycles = -(-steps // self.seasons)
        position = np.maximum(origins + steps - self.seasons * cycles, 0)
        known = at["age"] + 1 >= self.seasons
        naive = np.where(known, records.filled[position, rows], at["last"])
        season = np.where(known, self._season(position, at["age"]), 0.0)
        factor = np.where(known, records.factor[position, rows], 1.0)
        position = np.maximum(origins + steps - self.second_seasons * -(-steps // self.second_seasons), 0)
        known = at["age"] + 1 >= self.second_seasons
        second_naive = np.where(known & self.has_second, records.filled[position, rows], naive)
        second = np.where(known & self.has_second, records.second[position, rows], 0.0)
        trends = [
            at[f"level_{number}"] + at[f"trend_{number}"] * damping * (1 - damping**steps) / (1 - damping)
            for number, (_, _, damping) in enumerate(TREND_RATES)
        ]
        positive = (at["nonnegative"] > 0) & (at["mean"] > TINY)
        return np.stack(
            [
                naive,
                naive + at["drift"] * cycles,
                at["last"],
                at["slow"] + season,
                at["medium"] + season,
                at["fast"] + season,
                trends[0] + season,
                trends[1] + season,
                np.where(positive, at["ratio"] * factor, at["medium"] + season),
                at["global"] + season,
                second_naive,
                at["double"] + season + second,
            ],
            axis=2,
        )

    def relative_candidates(self, origins: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return seasonal naive and the scale, (k, n), and the simple forecasts relative to them, (k, n, candidates).

        The latter are differences from seasonal naive in units of the scale, limited to ±`MAX_DIFFERENCE`.

        Args:
            origins: As for `candidates`.
            steps: As for `candidates`.
        """
        forecasts = self.candidates(origins, steps)
        naive, scale = forecasts[..., 0], self.scale()[origins, self.rows]
        differences = (forecasts - naive[..., None]) / scale[..., None]
        return naive, scale, np.clip(differences, -MAX_DIFFERENCE, MAX_DIFFERENCE)

    def scale(self, steps: slice = slice(None)) -> np.ndarray:
        """Return the scale of the series after remembered steps, (steps, n): the mean absolute seasonal difference."""
        step_error, mean = self.records.step_error[steps], self.records.mean[steps]
        season_error = np.where(self.records.pairs[steps] > 0, self.records.season_error[steps], step_error)
        floor = np.maximum(MIN_SHARE_OF_STEPS * step_error, 1e-6 * np.abs(mean))
        scale = np.maximum(season_error, floor)
        return np.where(scale > 0, scale, 1.0)
