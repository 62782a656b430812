"""Accuracy of the zero-shot forecaster on real series, beside seasonal naive and exponential smoothing (ETS).

python -m benchmarks.zero_shot            # prints the table, and writes benchmarks/results/zero_shot/results.md
python -m benchmarks.zero_shot --no-ets   # without ETS, which takes most of the time

The series come from statsmodels, sktime, and vega_datasets (pip install vega_datasets); none of them is training data.
A relative MASE is the MASE of a method divided by that of seasonal naive on the same windows; below 1 a method is
better than seasonal naive.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.zero_shot_series import RealSeries, real_series
from deeprnn_keras import zoo
from deeprnn_keras.forecasting import ZeroShotForecaster

RESULTS = Path(__file__).parent / "results" / "zero_shot" / "results.md"
MODEL = "recurrent_forecaster_150k"
MAX_WINDOWS, MIN_WINDOWS = 10, 3
NETWORK, NAIVE, ETS = "network", "seasonal_naive", "ets"
HEADINGS = ("series", "frequency", "steps", "H", "windows", MODEL, "ETS", "coverage of 80 %")


@dataclass(frozen=True)
class Row:
    """Results on one series.

    Attributes:
        series: The series.
        windows: Number of forecast origins.
        network: Relative MASE of the network.
        ets: Relative MASE of ETS, NaN if it was not computed.
        coverage: Share of the values within the 80% interval of the network.
    """

    series: RealSeries
    windows: int
    network: float
    ets: float
    coverage: float

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        sizes = (len(self.series.frame), self.series.horizon, self.windows)
        scores = (self.network, self.ets, self.coverage)
        return (self.series.name, self.series.frequency, *map(str, sizes), *(f"{score:.3f}" for score in scores))


def rolling_plan(steps: int, horizon: int) -> tuple[int, int]:
    """Return the number of windows and the steps between them, so that all are in the last half of a series.

    >>> rolling_plan(1000, 14), rolling_plan(25, 4)
    ((10, 14), (3, 4))
    """
    room = steps // 2 - horizon
    windows = int(np.clip(room // horizon + 1, MIN_WINDOWS, MAX_WINDOWS))
    return windows, max(1, min(horizon, room // (windows - 1)))


def measure(forecaster: ZeroShotForecaster, series: Sequence[RealSeries], ets: bool) -> Iterator[Row]:
    """Yield the results on each series."""
    for one in series:
        windows, stride = rolling_plan(len(one.frame), one.horizon)
        baselines = (NAIVE, ETS) if ets else (NAIVE,)
        evaluation = forecaster.evaluate(one.frame, windows, horizon=one.horizon, stride=stride, baselines=baselines)
        scores = {
            name: values["MASE"] / evaluation.metrics[NAIVE]["MASE"] for name, values in evaluation.metrics.items()
        }
        coverage = evaluation.metrics[NETWORK]["coverage"]
        yield Row(one, windows, scores[NETWORK], scores.get(ETS, np.nan), coverage)


def summary(rows: Sequence[Row]) -> str:
    """Return the means over the series."""
    lines = []
    for name, scores in (
        (MODEL, np.array([row.network for row in rows])),
        ("ETS", np.array([row.ets for row in rows])),
    ):
        if not np.isnan(scores).any():
            lines.append(
                f"{name}: mean relative MASE {scores.mean():.3f}, geometric mean {np.exp(np.log(scores).mean()):.3f}, "
                f"better than seasonal naive on {np.sum(scores < 1)} of {len(rows)} series."
            )
    better = sum(row.network < row.ets for row in rows)
    if len(lines) == 2:
        lines.append(f"{MODEL} is better than ETS on {better} of {len(rows)} series.")
    lines.append(f"Its 80% intervals contain {np.mean([row.coverage for row in rows]):.1%} of the values.")
    return "\n".join(lines)


def table(rows: Sequence[Row]) -> str:
    """Return the results as a table in Markdown."""
    cells = [HEADINGS, ("---",) * 2 + ("---:",) * (len(HEADINGS) - 2), *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def page(rows: Sequence[Row]) -> str:
    """Return the page with the results."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("keras", "statsmodels", "sktime", "utilsforecast"))
    return (
        f"# {MODEL} on real series\n\n"
        f"MASE relative to seasonal naive, over rolling origins in the last half of each series; H steps are forecast. "
        f"The network was trained on synthetic series only. `python -m benchmarks.zero_shot` writes this page "
        f"({packages}, Python {platform.python_version()}).\n\n{table(rows)}\n{summary(rows)}\n"
    )


def main() -> None:
    """Print the table while it is computed, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-ets", action="store_true", help="leave out ETS, and do not write the page")
    ets = not parser.parse_args().no_ets
    forecaster, rows = zoo.create_forecaster(MODEL, pretrained=True), []
    print(" | ".join(HEADINGS))
    for row in measure(forecaster, real_series(), ets):
        rows.append(row)
        print(" | ".join(row.cells()), flush=True)
    print(summary(rows))
    if ets:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
