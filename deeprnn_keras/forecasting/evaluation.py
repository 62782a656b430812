"""Evaluation of a forecaster with rolling origins, beside simple methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras import progress
from deeprnn_keras._types import ArrayLike
from deeprnn_keras.extras import import_optional
from deeprnn_keras.forecasting import carried as streams
from deeprnn_keras.forecasting.baselines import baseline_quantiles, check_baselines
from deeprnn_keras.forecasting.frames import Frame
from deeprnn_keras.forecasting.panel import encode_static
from deeprnn_keras.forecasting.windows import WindowCutter

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.forecasting.forecaster import Forecaster

NETWORK = "network"
DECILES = tuple(round(0.1 * number, 1) for number in range(1, 10))
INTERVAL = (0.1, 0.9)
LEVEL = 80  # percent, of the interval
METRICS = ("MASE", "sMAPE", "WQL", "CRPS", "coverage")
MASE_STEPS = 10_000  # before each origin; bounds the memory for long series


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a forecaster and of simple methods.

    Attributes:
        metrics: {method: {metric: value}}, the forecaster first, as "network". Metrics of quantiles are absent for a
            likelihood without quantiles.
        windows: Number of origins of each series.
        series: Number of series.
        forecasts: Forecasts of all methods and windows: {method: quantiles 0.1 to 0.9, (windows, H, 9)}, and "y", the
            values, (windows, H). The windows of a series follow each other.

    >>> from deeprnn_keras.forecasting import Evaluation
    >>> metrics = {"network": {"MASE": 0.8}, "seasonal_naive": {"MASE": 1.0}}
    >>> Evaluation(metrics, windows=5, series=1, forecasts={}).summary()
    'The network beats the best simple method, seasonal_naive: MASE 0.800 and 1.000.'
    """

    metrics: Mapping[str, Mapping[str, float]]
    windows: int
    series: int
    forecasts: Mapping[str, np.ndarray]

    @property
    def best(self) -> str:
        """Method with the lowest MASE; NaN counts as the highest."""
        return min(self.metrics, key=lambda name: np.nan_to_num(self.metrics[name]["MASE"], nan=np.inf))

    def summary(self) -> str:
        """Return a sentence that states whether the network is better than the best simple method."""
        others = {name: values["MASE"] for name, values in self.metrics.items() if name != NETWORK}
        own = self.metrics[NETWORK]["MASE"]
        if not others:
            return f"MASE of the network: {own:.3f}."
        name = min(others, key=lambda one: np.nan_to_num(others[one], nan=np.inf))
        beats = "beats" if own < others[name] else "does not beat"
        return f"The network {beats} the best simple method, {name}: MASE {own:.3f} and {others[name]:.3f}."

    def __str__(self) -> str:
        width = max(map(len, self.metrics))
        lines = [f"{'':{width}}" + "".join(f"{metric:>10}" for metric in METRICS)]
        for name, values in self.metrics.items():
            cells = (f"{values[metric]:10.3f}" if metric in values else f"{'':>10}" for metric in METRICS)
            lines.append(f"{name:{width}}" + "".join(cells))
        plural = "s" if self.windows > 1 else ""
        note = f"Means over {self.windows} window{plural} of each series ({self.series}); lower is better"
        if any("coverage" in values for values in self.metrics.values()):
            note += f". The coverage of the {LEVEL}% interval is best at {LEVEL / 100:.3f}"
        return "\n".join([self.summary(), *lines, f"{note}."])


def evaluate(
    forecaster: Forecaster,
    df: Frame | ArrayLike,
    windows: int,
    *,
    stride: int,
    baselines: Sequence[str],
    num_samples: int,
    seed: int | None,
    console: Console | None,
) -> Evaluation:
    """Compare a forecaster with simple methods; `Forecaster.evaluate` documents the arguments."""
    check_requirements(baselines)
    fitted = forecaster._require_fitted()
    panel, _ = forecaster._read(df, fitted)
    static, _ = encode_static(panel, forecaster.arguments.static, fitted.encoding)
    cutter = forecaster._cutter(panel, static, fitted)
    required = cutter.min_context() + forecaster.horizon + (windows - 1) * stride
    panel.check_lengths(required, f"evaluation with windows={windows} and stride={stride}")
    origins = cutter.last_origins(np.full(len(panel), windows), stride)
    has_quantiles = forecaster.likelihood.has_quantiles
    probabilities = DECILES if has_quantiles else (0.5,)
    network = network_quantiles(forecaster, cutter, origins, probabilities, num_samples, seed)
    y = panel.y[origins[:, None] + np.arange(forecaster.horizon)]
    histories = _histories(cutter, origins)
    return compare(histories, y, network, fitted.season, baselines, console, series=len(panel))


def check_requirements(baselines: Sequence[str]) -> None:
    """Raise a ValueError if a simple method is unknown, or an ImportError if a package is missing."""
    check_baselines(baselines)
    import_optional("utilsforecast.losses", "forecast", "Evaluation")


def compare(
    histories: Sequence[np.ndarray],
    y: np.ndarray,
    network: np.ndarray,
    season: int,
    baselines: Sequence[str],
    console: Console | None,
    *,
    series: int,
) -> Evaluation:
    """Return the metrics of forecasts, and of simple methods on the same windows.

    Args:
        histories: Values before each origin, NaN where missing; the windows of a series follow each other.
        y: Values after each origin, (windows, H).
        network: Quantiles 0.1 to 0.9 of the network, or 0.5 only, (windows, H, quantiles).
        season: Steps of a season.
        baselines: Names of the simple methods.
        console: Console for a progress bar, or None.
        series: Number of series.
    """
    forecasts: dict[str, np.ndarray] = {NETWORK: network}
    jobs = [(name, history) for name in baselines for history in histories]
    with progress.shown(console, "Evaluating", "forecasts of simple methods") if console else nullcontext():
        made = [
            baseline_quantiles(name, history, season, y.shape[1], DECILES)
            for name, history in progress.tracked(jobs, len(jobs))
        ]
    for number, name in enumerate(baselines):
        forecasts[name] = np.stack(made[number * len(y) : (number + 1) * len(y)])
    training = _training_frame(histories, season)
    metrics = {name: _metrics(training, y, quantiles, season) for name, quantiles in forecasts.items()}
    return Evaluation(metrics, len(y) // series, series, {**forecasts, "y": y})


def network_quantiles(
    forecaster: Forecaster,
    cutter: WindowCutter,
    origins: np.ndarray,
    probabilities: Sequence[float],
    num_samples: int,
    seed: int | None,
) -> np.ndarray:
    """Return quantiles of the forecaster, (windows, H, quantiles), from the context of each window."""
    raw = cutter.raw(origins, cutter.horizon)
    history, horizon = raw.columns(slice(None, -cutter.horizon)), raw.columns(slice(-cutter.horizon, None))
    static = cutter.static[cutter.series_of(origins)]
    program = forecaster._require_program()
    carried = streams.begin(program, cutter, history, origins - 1, static, horizon.known)
    return np.stack(forecaster._predict(cutter.builder, carried, probabilities, num_samples, seed), axis=2)


def _histories(cutter: WindowCutter, origins: np.ndarray) -> list[np.ndarray]:
    """Return the values of each series up to each origin."""
    panel, series = cutter.panel, cutter.series_of(origins)
    return [panel.y[panel.bounds[number] : origin] for number, origin in zip(series, origins, strict=True)]


# === Metrics ===


def _metrics(training: Frame, y: np.ndarray, quantiles: np.ndarray, season: int) -> dict[str, float]:
    """Return the metrics of a method by utilsforecast, as means over the windows.

    MASE is scaled by the seasonal differences of the values up to each origin. Missing values are not counted, nor are
    windows after a history without seasonal differences; NaN if there is no other.
    """
    losses = import_optional("utilsforecast.losses", "forecast", "Evaluation")
    frame = _frame(y, quantiles)
    model = ["median"]
    found = {
        "MASE": _mean(_with_scale(losses.mase(frame, model, season, training), training, season), model),
        "sMAPE": 200 * _mean(losses.smape(frame, model), model),
    }
    if quantiles.shape[2] == 1:
        return found
    levels = {"median": [f"q{probability:g}" for probability in DECILES]}
    found["CRPS"] = 2 * _mean(losses.mqloss(frame, levels, np.array(DECILES)), model)
    whole = frame.assign(unique_id=0)
    found["WQL"] = _mean(losses.scaled_crps(whole, levels, np.array(DECILES)), model)
    interval = frame.rename(
        columns={f"q{INTERVAL[0]:g}": f"median-lo-{LEVEL}", f"q{INTERVAL[1]:g}": f"median-hi-{LEVEL}"}
    )
    found["coverage"] = _mean(losses.coverage(interval, model, LEVEL), model)
    return found


def _frame(y: np.ndarray, quantiles: np.ndarray) -> Frame:
    """Return the values and quantiles of all windows in long format; a window is a series."""
    pandas = import_optional("pandas", "forecast", "Evaluation")
    count, horizon = y.shape
    columns: dict[str, Any] = {"unique_id": np.repeat(np.arange(count), horizon), "y": y.ravel()}
    columns["ds"] = np.tile(np.arange(horizon), count)
    if quantiles.shape[2] > 1:
        columns |= {f"q{p:g}": quantiles[:, :, number].ravel() for number, p in enumerate(DECILES)}
    columns["median"] = quantiles[:, :, quantiles.shape[2] // 2].ravel()
    return pandas.DataFrame(columns).dropna(subset="y")


def _training_frame(histories: Sequence[np.ndarray], season: int) -> Frame:
    """Return the values before each origin that the scale of MASE is computed from."""
    pandas = import_optional("pandas", "forecast", "Evaluation")
    last = [history[-MASE_STEPS - season :] for history in histories]
    lengths = [len(history) for history in last]
    return pandas.DataFrame({"unique_id": np.repeat(np.arange(len(last)), lengths), "y": np.concatenate(last)})


def _with_scale(table: Frame, training: Frame, season: int) -> Frame:
    """Return the rows of the windows with seasonal differences other than 0; MASE is not defined for the others."""
    differences = training.groupby("unique_id")["y"].diff(season).abs()
    scales = differences.groupby(training["unique_id"]).mean()
    return table[table["unique_id"].isin(scales.index[scales > 0])]


def _mean(table: Frame, columns: Sequence[str]) -> float:
    return float(table[list(columns)].mean().iloc[0])
