"""Compare training of cells that are parallel in time with that of the LSTM in native code, on long sequences.

python -m benchmarks.parallel            # about 3 minutes on 2 cores
python -m benchmarks.parallel 512        # one number of steps T; the results of others are kept
python -m benchmarks.parallel --plot     # only plots the saved results

Each model is one layer with d = h = 256 and a head with one output per time step; an update (Adam, mean squared error)
reads 16,384 steps in all. The cells alternate in one process; a time is the median over rounds.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deeprnn_keras.bench.implementations import Step

RESULTS = Path(__file__).resolve().parent / "results" / "parallel"
BASE = "lstm"
CELLS = ("min_gru", "min_lstm", "qrnn", "sru", "lru", "rg_lru")
LENGTHS = (512, 4096)
UNITS, STEPS_PER_UPDATE, ROUNDS = 256, 16_384, 4
MIN_SPEEDUP = 2.5  # goal of the fastest cell at the largest T
COLORS = ("#9db8d2", "#c2410c")


def make_step(cell: str, length: int, seed: int = 0) -> Step:
    """Return a training update of a layer with this cell on sequences of this length."""
    import keras
    import numpy as np

    from deeprnn_keras import DeepRNN
    from deeprnn_keras.bench.with_keras import train_step

    keras.utils.set_random_seed(seed)
    layers = [keras.Input((length, UNITS)), DeepRNN(UNITS, cell=cell, return_sequences=True), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(), "mse")
    rng, n = np.random.default_rng(seed), STEPS_PER_UPDATE // length
    x = rng.standard_normal((n, length, UNITS), dtype="float32")
    return train_step(model, x, rng.standard_normal((n, length, 1), dtype="float32"))


def seconds(step: Step) -> float:
    """Return the duration of one update."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def make_steps(length: int) -> dict[str, Step]:
    """Return an update of each cell on sequences of this length, the LSTM first; all have run once."""
    steps = {cell: make_step(cell, length) for cell in (BASE, *CELLS)}
    for step in steps.values():
        step()  # traces the graph
    return steps


def measure(steps: Mapping[str, Step], length: int) -> list[dict[str, Any]]:
    """Return one row per cell."""
    rounds = [{cell: seconds(step) for cell, step in steps.items()} for _ in range(ROUNDS)]
    rows = []
    for cell in steps:
        speedups = [times[BASE] / times[cell] for times in rounds]
        rows.append(
            {
                "cell": cell,
                "steps": length,
                "batch": STEPS_PER_UPDATE // length,
                "ms_per_update": round(1e3 * statistics.median(times[cell] for times in rounds), 1),
                "times_as_fast": round(statistics.median(speedups), 2),
                "least": round(min(speedups), 2),
                "greatest": round(max(speedups), 2),
            }
        )
    return rows


def load_rows() -> list[dict[str, Any]]:
    """Return the saved rows; empty if there are none."""
    path = RESULTS / "results.json"
    return json.loads(path.read_text())["rows"] if path.is_file() else []


def save(rows: list[dict[str, Any]]) -> None:
    """Write results.json, results.csv, and parallel.png."""
    from deeprnn_keras.bench.environment import environment

    RESULTS.mkdir(parents=True, exist_ok=True)
    about = {**environment(), "units": UNITS, "rounds": ROUNDS, "seed": 0}
    (RESULTS / "results.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
    with (RESULTS / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    plot(rows)


def plot(rows: list[dict[str, Any]]) -> None:
    """Save a plot of the speed relative to the LSTM, with a bar per cell and length."""
    from deeprnn_keras.training.plotting import import_pyplot, save_figure, set_legend, set_title, style_axes

    figure, axes = import_pyplot().subplots(figsize=(8, 3.6), dpi=120, layout="constrained")
    thickness = 0.8 / len(LENGTHS)
    for index, (length, color) in enumerate(zip(LENGTHS, COLORS, strict=True)):
        fast = {row["cell"]: row for row in rows if row["steps"] == length}
        positions = [place + (index - 0.5) * thickness for place, cell in enumerate(CELLS) if cell in fast]
        values = [fast[cell]["times_as_fast"] for cell in CELLS if cell in fast]
        axes.barh(positions, values, 0.92 * thickness, color=color, label=f"T = {length:,}")
        for position, value in zip(positions, values, strict=True):
            axes.text(value + 0.05, position, f"{value:.1f}", va="center", fontsize=8)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(CELLS)), CELLS)
    axes.invert_yaxis()
    axes.set_xlabel("training speed relative to the native LSTM")
    style_axes(axes)
    set_title(figure, f"Training of one layer, h = {UNITS}, {STEPS_PER_UPDATE:,} steps per update")
    set_legend(figure, axes)
    save_figure(figure, RESULTS / "parallel.png")


def main(*arguments: str) -> None:
    """Measure, print the rows, and save them with those of other lengths."""
    rows = load_rows()
    if "--plot" in arguments:
        plot(rows)
        return
    for length in [int(one) for one in arguments] or LENGTHS:
        new = measure(make_steps(length), length)
        print(*map(json.dumps, new), sep="\n", flush=True)
        rows = sorted([row for row in rows if row["steps"] != length] + new, key=lambda row: row["steps"])
        save(rows)
    fastest = max((row for row in rows if row["steps"] == max(LENGTHS)), key=lambda row: row["times_as_fast"])
    verdict = "met" if fastest["times_as_fast"] >= MIN_SPEEDUP else "missed"
    print(f"Goal: {MIN_SPEEDUP}x at T = {max(LENGTHS):,}: {verdict} ({fastest['cell']} {fastest['times_as_fast']}x)")


if __name__ == "__main__":
    main(*sys.argv[1:])
