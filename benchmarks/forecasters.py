"""Forecasters of the zoo beside those of neuralforecast, on the same series and windows.

python -m benchmarks.forecasters PYTHON           # PYTHON: interpreter of an environment with neuralforecast
python -m benchmarks.forecasters PYTHON --quick   # one seed, short trainings: shows only that it runs

The comparison takes about an hour on 2 idle cores and can be interrupted: results are appended to
benchmarks/results/forecasters/results.csv, and what is there is not measured again.

The series are four hourly columns of the year 2011 in the package ISLP (pip install --no-deps ISLP==0.6.0): rentals of
bicycles, temperature, humidity, and wind speed. Missing hours repeat the last value. The last 20 days are forecast from
their midnights by models that are trained once on the days before them. MASE is the mean absolute error of the median,
divided by that of the value one day earlier in the days before.

Each model has the defaults of its library. neuralforecast gets the number of steps of its context, its DeepAR the
position in the day and in the week, which deeprnn_keras reads by default, and its 1,000 updates read 128 windows each
instead of 1,024, with which they take hours on two cores. deeprnn_keras makes 1,000 updates of 128 windows for the
LSTM; for DeepAR, updates of 32 windows until the loss on held-out windows no longer falls.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.generated import update_pages
from benchmarks.result_rows import append_row, read_rows

if TYPE_CHECKING:
    import pandas as pd

NAME = "neuralforecast"
RESULTS = Path(__file__).resolve().parent / "results" / "forecasters"
PEER = Path(__file__).with_name("neuralforecast_peer.py")
MODELS = ("deepar", "nixtla_lstm")
LIBRARIES = ("neuralforecast", "deeprnn_keras")
SEEDS = (0, 1, 2)
SERIES = ("bikers", "temp", "hum", "windspeed")
DAY, WEEK = 24, 168


@dataclass(frozen=True)
class Settings:
    """Size of a comparison.

    Attributes:
        horizon: Hours of a forecast, H.
        windows: Number of windows that are held out.
        epochs: Maximum number of epochs here; None for that of the zoo.
        peer_steps: Number of updates of neuralforecast; None for its default.
    """

    horizon: int = DAY
    windows: int = 20
    epochs: int | None = None
    peer_steps: int | None = None


QUICK = Settings(epochs=2, peer_steps=20)


@dataclass(frozen=True)
class Score:
    """Result of one training.

    Attributes:
        library: "deeprnn_keras" or "neuralforecast".
        model: Name in the zoo.
        seed: Random seed.
        mase: Mean over the series of the MASE of all windows.
        seconds: Duration of training and forecasting.
    """

    library: str
    model: str
    seed: int
    mase: float
    seconds: float


def read_series() -> pd.DataFrame:
    """Return a long frame of the series with the position in the day and the week."""
    import pandas as pd

    spec = find_spec("ISLP")
    if spec is None or spec.origin is None:
        raise ImportError("the series are columns of the package ISLP: pip install --no-deps ISLP==0.6.0")
    table = pd.read_csv(Path(spec.origin).parent / "data" / "Bikeshare.csv")
    hours = 24 * (table["day"] - 1) + table["hr"].astype(int)
    table["ds"] = pd.Timestamp("2011-01-01") + pd.to_timedelta(hours, unit="h")
    table = table.set_index("ds")[list(SERIES)].astype(float).asfreq("h").ffill()
    frame = table.melt(ignore_index=False, var_name="unique_id", value_name="y").reset_index()
    frame = frame.sort_values(["unique_id", "ds"])
    position = (frame["ds"] - pd.Timestamp("2011-01-01")) // pd.Timedelta("1h")
    for name, period in (("day", DAY), ("week", WEEK)):
        for function in (np.sin, np.cos):
            frame[f"{name}_{function.__name__}"] = function(2 * np.pi * position / period)
    return frame[["unique_id", "ds", "y", "day_sin", "day_cos", "week_sin", "week_cos"]]


def mean_mase(frame: pd.DataFrame, y: np.ndarray, median: np.ndarray, settings: Settings) -> float:
    """Return the mean over the series of their MASE.

    Args:
        frame: The series, sorted.
        y: Values of the windows, (windows of all series, H), series by series.
        median: Forecasts.
        settings: Size of the comparison.

    Raises:
        ValueError: If y are not the last windows of the series.
    """
    held_out = settings.windows * settings.horizon
    values = frame["y"].to_numpy().reshape(len(SERIES), -1)
    if not np.allclose(y.reshape(len(SERIES), -1), values[:, -held_out:], atol=1e-5):
        raise ValueError("the forecasts are not those of the last windows of the series")
    scale = np.abs(values[:, DAY:-held_out] - values[:, : -held_out - DAY]).mean(1)
    return float((np.abs(median - y).reshape(len(SERIES), -1).mean(1) / scale).mean())


def own_score(frame: pd.DataFrame, model: str, seed: int, settings: Settings) -> Score:
    """Return the result of a forecaster of the zoo."""
    from deeprnn_keras import zoo

    series = frame[["unique_id", "ds", "y"]]
    options = {} if settings.epochs is None else {"epochs": settings.epochs}
    forecaster = zoo.create_forecaster(model, horizon=settings.horizon, seed=seed, **options)
    start = time.perf_counter()
    forecaster.fit(series, holdout=settings.windows * settings.horizon, verbose=False)
    made = forecaster.evaluate(series, settings.windows, baselines=()).forecasts
    seconds = time.perf_counter() - start
    median = made["network"][:, :, made["network"].shape[2] // 2]
    return Score("deeprnn_keras", model, seed, mean_mase(frame, made["y"], median, settings), seconds)


def peer_score(python: str, frame: pd.DataFrame, model: str, seed: int, settings: Settings) -> Score:
    """Return the result of the model of neuralforecast, which runs in a process of another interpreter."""
    with tempfile.TemporaryDirectory() as directory:
        series, settings_path, output = (Path(directory) / name for name in ("series.csv", "settings.json", "made.npz"))
        frame.to_csv(series, index=False)
        settings_path.write_text(json.dumps(asdict(settings)))
        command = [python, str(PEER), str(series), model, str(seed), str(settings_path), str(output)]
        process = subprocess.run(command, capture_output=True, text=True, cwd=directory)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{process.stderr}")
        with np.load(output) as made:
            y, median, seconds = made["y"], made["median"], float(made["seconds"])
    return Score("neuralforecast", model, seed, mean_mase(frame, y, median, settings), seconds)


def compare(
    python: str, seeds: Sequence[int] = SEEDS, settings: Settings | None = None, done: Path | None = None
) -> list[Score]:
    """Return the result of each library, model, and seed.

    Args:
        python: Interpreter of an environment with neuralforecast.
        seeds: Random seeds.
        settings: Size of the comparison.
        done: CSV file to which the results are appended as they come; what it contains is not measured again.
    """
    settings, frame = settings or Settings(), read_series()
    scores = [] if done is None else read_scores(done)
    measured = {(score.library, score.model, score.seed) for score in scores}
    for model in MODELS:
        for seed in seeds:
            for library in LIBRARIES:
                if (library, model, seed) in measured:
                    continue
                own = library == "deeprnn_keras"
                options = (frame, model, seed, settings)
                scores.append(own_score(*options) if own else peer_score(python, *options))
                print(json.dumps(asdict(scores[-1])), flush=True)
                if done is not None:
                    append_row(done, asdict(scores[-1]))
    return scores


def read_scores(path: Path) -> list[Score]:
    """Return the results in a CSV file, or an empty list if it does not exist."""
    return [
        Score(row["library"], row["model"], int(row["seed"]), float(row["mase"]), float(row["seconds"]))
        for row in read_rows(path)
    ]


def table(scores: Sequence[Score]) -> str:
    """Return the mean and standard deviation of the MASE over the seeds, and the shortest time, as a Markdown table.

    Other programs can only lengthen a time, so the shortest is closest to that of an idle machine.
    """
    lines = ["| model | library | MASE | seconds, shortest of the seeds |", "|---|---|---|---|"]
    for model in MODELS:
        for library in LIBRARIES:
            own = [score for score in scores if (score.model, score.library) == (model, library)]
            mases = [score.mase for score in own]
            deviation = np.std(mases, ddof=1) if len(mases) > 1 else 0.0
            seconds = min(score.seconds for score in own)
            lines.append(f"| `{model}` | {library} | {np.mean(mases):.3f} ± {deviation:.3f} | {seconds:.0f} |")
    return "\n".join(lines)


def build_blocks() -> dict[str, str]:
    """Return the block of each page for the saved results."""
    return {"docs/forecasting.md": table(read_scores(RESULTS / "results.csv")) + "\n"}


def main(python: str, *arguments: str) -> None:
    """Compare, and print the results with --quick, or else save them and update docs/forecasting.md."""
    from deeprnn_keras.bench.environment import environment, load_notes

    if "--quick" in arguments:
        print(table(compare(python, SEEDS[:1], QUICK)))
        return
    notes = load_notes()
    compare(python, done=RESULTS / "results.csv")
    about = {**environment(), **asdict(Settings()), "notes": notes}
    (RESULTS / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    update_pages(NAME, build_blocks())


if __name__ == "__main__":
    main(*sys.argv[1:])
