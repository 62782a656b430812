"""Volatility of two stock indices: a deep LSTM beside GARCH, and what each of its levels knows.

python -m benchmarks.market_levels            # about 2 minutes on 2 cores
python -m benchmarks.market_levels --quick    # one seed and one year

The data are the daily returns of the S&P 500 and the NASDAQ Composite from 1999 to 2018 in the package arch (extra
`market`). All models forecast the variance of tomorrow's return from returns up to today. They are fitted to the years
before 2009, forecast 2009 day by day, are fitted again with 2009 included, forecast 2010, and so on to 2018.

- QLIKE: mean of log h + r² / h for the forecast h of the variance of r; lower is better.
- Log-likelihood: mean of log p(r) in nats per day, of a normal or a Student-t distribution with mean 0 and variance h;
  higher is better.

GARCH and GJR-GARCH are those of arch, one for each index. One LSTM reads both indices; a seed is one LSTM. Its sizes
and its number of updates were chosen on the years 2006 to 2008, before the forecasts.

The levels are those of the LSTM that was fitted to the years before 2009. Linear readouts are fitted on 2009 to 2015
and scored on 2016 to 2018, on both indices together.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras._types import Config

if TYPE_CHECKING:
    import keras

RESULTS = Path(__file__).resolve().parent / "results" / "market"
MARKETS = ("sp500", "nasdaq")
SEEDS = (0, 1, 2)
FIRST_YEAR, LAST_YEAR, FIRST_SCORED_YEAR = 2009, 2018, 2016
STEPS, BURN_IN, STRIDE = 250, 20, 10  # T; steps without a loss; days between the windows of training
UNITS, LAYERS, DROPOUT, RATE, BATCH = 16, 3, 0.2, 5e-3, 32
UPDATES, LATER_UPDATES = 100, 25  # of the first fit, and of each of the following years
MONTH = 21  # trading days
GARCH: Mapping[str, Config] = {
    "GARCH(1,1), normal": {"dist": "normal"},
    "GARCH(1,1), Student t": {"dist": "t"},
    "GJR-GARCH(1,1), Student t": {"dist": "t", "o": 1},
}


@dataclass(frozen=True)
class Market:
    """Daily returns of an index in percent, and the year of each."""

    name: str
    returns: np.ndarray
    years: np.ndarray

    def before(self, year: int) -> int:
        """Return the number of days before a year."""
        return int(np.searchsorted(self.years, year))


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of a year.

    Attributes:
        variance: Variance of each return.
        freedom: Degrees of freedom of the Student-t distribution; None for a normal distribution.
    """

    variance: np.ndarray
    freedom: float | None = None


def load_markets() -> list[Market]:
    """Return the returns of both indices."""
    from deeprnn_keras.data import market_series

    series = [market_series(name) for name in MARKETS]
    years = [one.dates[1:].astype("datetime64[Y]").astype(int) + 1970 for one in series]
    return [Market(one.name, one.returns, year) for one, year in zip(series, years, strict=True)]


# === GARCH ===


def garch_forecasts(market: Market, year: int, options: Config) -> Forecasts:
    """Return the forecasts of a year by a model that is fitted to the days before it."""
    from arch import arch_model

    first, last = market.before(year), market.before(year + 1)
    model = arch_model(market.returns[:last], mean="Zero", vol="GARCH", **options)
    fitted = model.fit(last_obs=first, disp="off")
    forecast = fitted.forecast(start=first - 1, horizon=1, reindex=True)
    variance = forecast.variance.to_numpy()[first - 1 : last - 1, 0]
    return Forecasts(variance, fitted.params.get("nu"))


# === LSTM ===


def features(market: Market, scale: float) -> np.ndarray:
    """Return the inputs of each day, (days, 2): the return and its absolute value, in standard deviations."""
    z = market.returns / scale
    return np.stack([z, np.abs(z)], axis=1).astype("float32")


def windows(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the T values up to and including each of some days, (days, T, ...)."""
    return values[ends[:, None] + np.arange(1 - STEPS, 1)]


def build_model(seed: int) -> keras.Model:
    """Return a network whose output for each day is log h of the next day, in units of the scaled returns."""
    import keras

    from deeprnn_keras import DeepRNN

    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((STEPS, 2)),
            DeepRNN(UNITS, LAYERS, return_sequences=True, dropout=DROPOUT, name="deep_rnn"),
            keras.layers.Dropout(DROPOUT),
            keras.layers.Dense(1, kernel_initializer="zeros", name="log_variance"),
        ],
        name="volatility",
    )
    model.compile(keras.optimizers.Adam(RATE, global_clipnorm=1.0), qlike_loss)
    return model


def qlike_loss(squares: Any, log_variance: Any) -> Any:  # noqa: ANN401 - tensors
    """Return log h + r² / h, which is twice the negative log-likelihood of a normal distribution and a constant."""
    from keras import ops

    return ops.squeeze(log_variance + squares * ops.exp(-log_variance), -1)


class VolatilityModel:
    """The LSTM of one seed, fitted again from year to year.

    Args:
        markets: The indices that it reads.
        seed: Random seed.
    """

    def __init__(self, markets: Sequence[Market], seed: int) -> None:
        self.markets, self.seed = markets, seed
        self.model = build_model(seed)
        self.scales = [float(market.returns[: market.before(FIRST_YEAR)].std()) for market in markets]

    def fit(self, year: int) -> None:
        """Train on windows of the days before a year; the first call trains longer than the following ones."""
        ends = [np.arange(market.before(year) - 2, STEPS - 2, -STRIDE) for market in self.markets]
        x = np.concatenate([windows(self.inputs(number), one) for number, one in enumerate(ends)])
        squares = [self.inputs(number)[:, :1] ** 2 for number in range(len(self.markets))]
        y = np.concatenate([windows(square, one + 1) for square, one in zip(squares, ends, strict=True)])
        weights = np.broadcast_to((np.arange(STEPS) >= BURN_IN).astype("float32"), y.shape[:2])
        updates = UPDATES if year == FIRST_YEAR else LATER_UPDATES
        rng = np.random.default_rng([self.seed, year])
        for _ in range(updates):
            rows = rng.choice(len(x), BATCH, replace=False)
            self.model.train_on_batch(x[rows], y[rows], sample_weight=weights[rows])

    def inputs(self, number: int) -> np.ndarray:
        """Return the inputs of an index, (days, 2)."""
        return features(self.markets[number], self.scales[number])

    def variances(self, number: int, days: np.ndarray) -> np.ndarray:
        """Return the forecasts of the variance of some days, each from the T days before it."""
        x = windows(self.inputs(number), days - 1)
        log_variance = self.model.predict(x, batch_size=256, verbose=0)[:, -1, 0]
        return self.scales[number] ** 2 * np.exp(log_variance.astype("float64"))

    def forecasts(self, number: int, year: int) -> dict[str, Forecasts]:
        """Return the forecasts of a year with both distributions; ν is fitted to the days before it."""
        market = self.markets[number]
        first, last = market.before(year), market.before(year + 1)
        variance, before = self.variances(number, np.arange(first, last)), np.arange(STEPS, first, 2)
        freedom = fit_freedom(market.returns[before] / np.sqrt(self.variances(number, before)))
        return {"LSTM, normal": Forecasts(variance), "LSTM, Student t": Forecasts(variance, freedom)}


def fit_freedom(residuals: np.ndarray) -> float:
    """Return the degrees of freedom of a Student-t distribution of variance 1 with the highest likelihood."""
    from scipy.optimize import minimize_scalar

    loss = lambda freedom: -np.mean(log_density(residuals, np.ones_like(residuals), freedom))  # noqa: E731
    return float(minimize_scalar(loss, bounds=(2.1, 100.0), method="bounded").x)


# === Scores ===


def log_density(returns: np.ndarray, variance: np.ndarray, freedom: float | None) -> np.ndarray:
    """Return log p(r) for mean 0 and the given variance."""
    from scipy import stats

    if freedom is None:
        return stats.norm.logpdf(returns, scale=np.sqrt(variance))
    return stats.t.logpdf(returns, freedom, scale=np.sqrt(variance * (freedom - 2) / freedom))


def qlike(returns: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return log h + r² / h of each day."""
    return np.log(variance) + returns**2 / variance


def score(market: Market, years: Iterable[int], forecast: Callable[[int], Forecasts]) -> dict[str, np.ndarray]:
    """Return the QLIKE and the log-likelihood of each day of some years."""
    losses: dict[str, list[np.ndarray]] = {"qlike": [], "log_likelihood": []}
    for year in years:
        returns, made = market.returns[market.before(year) : market.before(year + 1)], forecast(year)
        losses["qlike"].append(qlike(returns, made.variance))
        losses["log_likelihood"].append(log_density(returns, made.variance, made.freedom))
    return {name: np.concatenate(values) for name, values in losses.items()}


def standard_error(values: np.ndarray, lags: int = 10) -> float:
    """Return the standard error of the mean of a series, with the autocovariances of Newey and West (1987)."""
    centered = values - values.mean()
    variance = np.mean(centered**2)
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * np.mean(centered[lag:] * centered[:-lag]) * (1 - lag / len(values))
    return float(np.sqrt(variance / len(values)))


def walk_forward(markets: Sequence[Market], years: Sequence[int], seeds: Sequence[int]) -> tuple[list[Config], Any]:
    """Return one row per index and model, and the networks after their first fit, {seed: network}."""
    losses: dict[tuple[str, str], list[dict[str, np.ndarray]]] = {}
    for market in markets:
        for name, options in GARCH.items():
            made = score(market, years, lambda year, market=market, o=options: garch_forecasts(market, year, o))
            losses[market.name, name] = [made]
    first_models = {}
    for seed in seeds:
        network = VolatilityModel(markets, seed)
        made: dict[tuple[int, int], dict[str, Forecasts]] = {}
        for year in years:
            network.fit(year)
            if year == years[0]:
                first_models[seed] = network.model.get_weights()
            made |= {(number, year): network.forecasts(number, year) for number in range(len(markets))}
        for number, market in enumerate(markets):
            for name in made[number, years[0]]:
                one = score(market, years, lambda year, k=number, n=name, of=made: of[k, year][n])
                losses.setdefault((market.name, name), []).append(one)
        network.model.set_weights(first_models[seed])
        first_models[seed] = network
    return [summary_row(key, losses) for key in losses], first_models


def summary_row(key: tuple[str, str], losses: Mapping[tuple[str, str], list[dict[str, np.ndarray]]]) -> Config:
    """Return the means over days of a model, over its seeds, and its distance from GARCH(1,1) in QLIKE."""
    market, name = key
    runs = losses[key]
    by_seed = [float(run["qlike"].mean()) for run in runs]
    difference = np.mean([run["qlike"] for run in runs], axis=0) - losses[market, next(iter(GARCH))][0]["qlike"]
    return {
        "market": market,
        "model": name,
        "qlike": round(float(np.mean(by_seed)), 4),
        "qlike_by_seed": [round(value, 4) for value in by_seed],
        "log_likelihood": round(float(np.mean([run["log_likelihood"].mean() for run in runs])), 4),
        "qlike_minus_garch": round(float(difference.mean()), 4),
        "standard_error": round(standard_error(difference), 4),
        "days": len(difference),
    }


# === Levels ===


def level_targets(market: Market) -> dict[str, np.ndarray]:
    """Return the targets of the readouts for each day, NaN where they are not defined.

    The volatility of the month is the logarithm of the root mean square of the last 21 returns, today included. The
    regime is whether it is above its median of the calendar year; the median looks ahead, the inputs do not.
    """
    r = market.returns
    squares = np.concatenate([[0.0], np.cumsum(r**2)])
    month = np.full(len(r), np.nan)
    month[MONTH - 1 :] = 0.5 * np.log((squares[MONTH:] - squares[:-MONTH]) / MONTH)
    medians = {year: np.nanmedian(month[market.years == year]) for year in np.unique(market.years)}
    above = month > np.array([medians[year] for year in market.years])
    return {
        "today's absolute return": np.abs(r),
        "tomorrow's absolute return": np.append(np.abs(r[1:]), np.nan),
        "volatility of the month": month,
        "regime of the year": np.where(above, "high", "low"),
    }


def probe(network: VolatilityModel) -> list[Config]:
    """Return the score of each level for each target."""
    from deeprnn_keras import probe_levels

    markets = network.markets
    days = [np.arange(market.before(FIRST_YEAR), len(market.returns) - 1) for market in markets]
    x = np.concatenate([windows(network.inputs(number), one) for number, one in enumerate(days)])
    late = np.concatenate([m.years[one] >= FIRST_SCORED_YEAR for m, one in zip(markets, days, strict=True)])
    targets = [level_targets(market) for market in markets]
    rows = []
    for name in targets[0]:
        target = np.concatenate([one[name][day] for one, day in zip(targets, days, strict=True)])
        report = probe_levels(network.model, x, target, held_out=late, batch_size=256)
        scores = {row.level: round(row.score, 4) for row in report}
        about = {"metric": report.metric, "baseline": round(report.baseline, 4)}
        rows.append({"target": name, "seed": network.seed, **about, "scores": scores})
    return rows


# === Report ===


def print_tables(rows: Sequence[Config], levels: Sequence[Config]) -> None:
    """Print the results as two Markdown tables."""
    print("| | model | QLIKE | minus GARCH(1,1) | log-likelihood |\n|---|---|---|---|---|")
    for row in rows:
        distance = f"{row['qlike_minus_garch']:+.3f} ± {row['standard_error']:.3f}"
        seeds = row["qlike_by_seed"]
        spread = f" ({min(seeds):.3f} to {max(seeds):.3f})" if len(seeds) > 1 else ""
        print(f"| {row['market']} | {row['model']} | {row['qlike']:.3f}{spread} | {distance} | ", end="")
        print(f"{row['log_likelihood']:.3f} |")
    names = list(levels[0]["scores"])
    print(f"\n| target | score | {' | '.join(names)} | baseline |\n|---|---|{'---|' * (len(names) + 1)}")
    for target in dict.fromkeys(row["target"] for row in levels):
        own = [row for row in levels if row["target"] == target]
        means = [np.mean([row["scores"][name] for row in own]) for name in names]
        cells = " | ".join(f"{mean:.3f}" for mean in means)
        print(f"| {target} | {own[0]['metric']} | {cells} | {own[0]['baseline']:.3f} |")


def main(*arguments: str) -> None:
    """Measure, print the results, and without --quick save them in benchmarks/results/market/results.json."""
    from deeprnn_keras.bench.environment import environment, load_notes

    quick = "--quick" in arguments
    notes, markets = load_notes(), load_markets()
    years = range(FIRST_YEAR, FIRST_YEAR + 1 if quick else LAST_YEAR + 1)
    rows, networks = walk_forward(markets, years, SEEDS[:1] if quick else SEEDS)
    levels = [row for network in networks.values() for row in probe(network)]
    print_tables(rows, levels)
    if not quick:
        sizes = {"units": UNITS, "layers": LAYERS, "steps": STEPS, "updates": [UPDATES, LATER_UPDATES]}
        about = {**environment(), **sizes, "years": [FIRST_YEAR, LAST_YEAR], "notes": notes}
        RESULTS.mkdir(parents=True, exist_ok=True)
        results = {"about": about, "rows": rows, "levels": levels}
        (RESULTS / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
