"""The cells that are deep inside the step: `deeprnn_keras.RNN` against the same cell in `keras.layers.RNN`.

python -m benchmarks.cells            # some ten minutes on two cores
python -m benchmarks.cells --quick    # two cells, three rounds

Both layers have the same cell object class, weights, model and data; Keras goes through its steps and differentiates
them one by one. They take turns in one process; times are medians over rounds of the median of a round.
"""

import csv
import json
import statistics
import sys
import time
from pathlib import Path

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
GOAL = 1.5  # times as fast in training


def model(layer_class, name, options, seed):
    """One recurrent layer of h units on d = h inputs, and one number per step."""
    import keras

    from deeprnn_keras.specs import registered_cell

    keras.utils.set_random_seed(seed)
    cell = registered_cell(name).cell(UNITS, **options)
    layers = [keras.Input((STEPS, UNITS)), layer_class(cell, return_sequences=True), keras.layers.Dense(1)]
    made = keras.Sequential(layers)
    made.compile(keras.optimizers.Adam(), "mse")
    return made


def steps(name, options, mode, seed):
    """{"keras": a step of the model, "ours": likewise}."""
    import keras
    import numpy as np

    from deeprnn_keras import RNN
    from deeprnn_keras.bench.with_keras import predict_step, train_step

    rng = np.random.default_rng(seed)
    x = rng.standard_normal((BATCH, STEPS, UNITS), dtype="float32")
    y = rng.standard_normal((BATCH, STEPS, 1), dtype="float32")
    made = {"keras": model(keras.layers.RNN, name, options, seed), "ours": model(RNN, name, options, seed)}
    if mode == "infer":
        return {key: predict_step(each, x) for key, each in made.items()}
    return {key: train_step(each, x, y) for key, each in made.items()}


def measured(calls, rounds, seconds=0.6):
    """{name: [milliseconds of the median step of each round]}, turn by turn; the first call apart, in seconds."""
    first, times = {}, {name: [] for name in calls}
    for name, call in calls.items():
        began = time.perf_counter()
        call()
        first[name] = time.perf_counter() - began
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(1e3 * _median_step(call, seconds))
    return times, first


def _median_step(call, seconds):
    taken, began = [], time.perf_counter()
    while len(taken) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def rows(names, rounds, seed=0):
    """One row per cell and mode."""
    for name in names:
        for mode in ("train", "infer"):
            times, first = measured(steps(name, CELLS[name], mode, seed), rounds)
            keras_ms, ours_ms = (statistics.median(times[key]) for key in ("keras", "ours"))
            ratios = [slow / fast for slow, fast in zip(times["keras"], times["ours"], strict=True)]
            yield {
                "cell": " ".join([name, *(f"{key} {value}" for key, value in CELLS[name].items())]),
                "mode": mode,
                "keras_ms": round(keras_ms, 2),
                "ours_ms": round(ours_ms, 2),
                "times_as_fast": round(keras_ms / ours_ms, 2),
                "least": round(min(ratios), 2),
                "greatest": round(max(ratios), 2),
                "keras_first_s": round(first["keras"], 2),
                "ours_first_s": round(first["ours"], 2),
            }


def main(*arguments):
    """Measures, prints a table, and without --quick writes it to benchmarks/results/cells."""
    from rich.console import Console
    from rich.table import Table

    from deeprnn_keras.bench.environment import environment

    quick = "--quick" in arguments
    found = []
    for row in rows(["mlp_gate_lstm", "rhn"] if quick else CELLS, 3 if quick else 5):
        found.append(row)
        print(json.dumps(row), flush=True)
    table = Table(*found[0], box=None, pad_edge=False)
    for row in found:
        table.add_row(*map(str, row.values()))
    Console(width=140).print(table)
    slow = [row["cell"] for row in found if row["mode"] == "train" and row["times_as_fast"] < GOAL]
    print(f"training {GOAL} times as fast: {'missed by ' + ', '.join(slow) if slow else 'met by all'}")
    if not quick:
        about = {**environment(), "units": UNITS, "batch": BATCH, "steps": STEPS, "seed": 0}
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "results.json").write_text(json.dumps({"about": about, "rows": found}, indent=1) + "\n")
        with (RESULTS / "results.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, found[0])
            writer.writeheader()
            writer.writerows(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
