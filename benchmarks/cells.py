"""Compare cells with deep transitions in `deeprnn_keras.RNN` with the same cells in `keras.layers.RNN`.

python -m benchmarks.cells            # about 10 minutes on 2 cores
python -m benchmarks.cells --quick    # 2 cells, 3 rounds

Both layers have the same cell class, weights, model, and data. Keras runs and differentiates each time step. The two
implementations alternate in one process; a time is the median over rounds of the median step time of a round.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.bench.implementations import Step

RESULTS = Path(__file__).resolve().parent / "results" / "cells"
CELLS = {
    "mlp_gate_rnn": {},
    "mlp_gate_gru": {},
    "mlp_gate_lstm": {},
    "deep_transition_rnn": {"depth": 2},
    "deep_transition_gru": {"depth": 2},
    "deep_transition_lstm": {"depth": 2},
    "rhn": {"depth": 5},
}
UNITS, BATCH, STEPS = 256, 32, 64
MIN_SPEEDUP = 1.5  # goal for training
MIN_STEPS = 3  # per round


def build_model(layer_class: type[keras.layers.Layer], name: str, options: Mapping[str, int], seed: int) -> keras.Model:
    """Return a compiled model of one recurrent layer with d = h and a head with one output per time step."""
    import keras

    from deeprnn_keras.specs import registered_cell

    keras.utils.set_random_seed(seed)
    cell = registered_cell(name).cell(UNITS, **options)
    layers = [keras.Input((STEPS, UNITS)), layer_class(cell, return_sequences=True), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(), "mse")
    return model


def make_steps(name: str, options: Mapping[str, int], mode: str, seed: int) -> dict[str, Step]:
    """Return {"keras": step of the Keras model, "DeepRNN": step of the model of this package}."""
    import keras
    import numpy as np

    from deeprnn_keras import RNN
    from deeprnn_keras.bench.with_keras import predict_step, train_step

    rng = np.random.default_rng(seed)
    x = rng.standard_normal((BATCH, STEPS, UNITS), dtype="float32")
    y = rng.standard_normal((BATCH, STEPS, 1), dtype="float32")
    classes = {"keras": keras.layers.RNN, "DeepRNN": RNN}
    models = {key: build_model(layer_class, name, options, seed) for key, layer_class in classes.items()}
    if mode == "infer":
        return {key: predict_step(model, x) for key, model in models.items()}
    return {key: train_step(model, x, y) for key, model in models.items()}


def measure(
    steps: Mapping[str, Step], rounds: int, seconds: float = 0.6
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return the median step time of each round in milliseconds, and the duration of the first call in seconds."""
    first_calls: dict[str, float] = {}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for name, step in steps.items():
        start = time.perf_counter()
        step()
        first_calls[name] = time.perf_counter() - start
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(1e3 * _median_seconds(step, seconds))
    return times, first_calls


def _median_seconds(step: Step, seconds: float) -> float:
    durations, round_start = [], time.perf_counter()
    while len(durations) < MIN_STEPS or time.perf_counter() - round_start < seconds:
        start = time.perf_counter()
        step()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def measure_rows(names: Iterable[str], rounds: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield one row per cell and mode."""
    for name in names:
        for mode in ("train", "infer"):
            times, first_calls = measure(make_steps(name, CELLS[name], mode, seed), rounds)
            keras_ms, deeprnn_ms = (statistics.median(times[key]) for key in ("keras", "DeepRNN"))
            speedups = [slow / fast for slow, fast in zip(times["keras"], times["DeepRNN"], strict=True)]
            yield {
                "cell": " ".join([name, *(f"{key} {value}" for key, value in CELLS[name].items())]),
                "mode": mode,
                "keras_ms": round(keras_ms, 2),
                "deeprnn_ms": round(deeprnn_ms, 2),
                "times_as_fast": round(keras_ms / deeprnn_ms, 2),
                "least": round(min(speedups), 2),
                "greatest": round(max(speedups), 2),
                "keras_first_s": round(first_calls["keras"], 2),
                "deeprnn_first_s": round(first_calls["DeepRNN"], 2),
            }


def main(*arguments: str) -> None:
    """Measure, print a table, and without --quick save it in benchmarks/results/cells."""
    from rich.console import Console
    from rich.table import Table

    from deeprnn_keras.bench.environment import environment

    quick = "--quick" in arguments
    rows = []
    for row in measure_rows(["mlp_gate_lstm", "rhn"] if quick else CELLS, 3 if quick else 5):
        rows.append(row)
        print(json.dumps(row), flush=True)
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=140).print(table)
    slow = [row["cell"] for row in rows if row["mode"] == "train" and row["times_as_fast"] < MIN_SPEEDUP]
    verdict = f"missed by {', '.join(slow)}" if slow else "met by all cells"
    print(f"Goal: training at least {MIN_SPEEDUP}x as fast as Keras: {verdict}")
    if not quick:
        save(rows, {**environment(), "units": UNITS, "batch": BATCH, "steps": STEPS, "seed": 0})


def save(rows: list[dict[str, Any]], about: Mapping[str, Any]) -> None:
    """Write results.json and results.csv."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "results.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
    with (RESULTS / "results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
