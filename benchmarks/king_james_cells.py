"""Cells at equal size and equal processor time: character models of the King James Bible.

python -m benchmarks.king_james_cells            # trains what is missing, 2 at a time, and updates docs/layers.md
python -m benchmarks.king_james_cells --report   # updates the page with the results so far

Each model is `kjv_lstm_2x256` with another cell and the width whose number of parameters is closest to its own. A
training ends after `MINUTES` of processor time on one thread, from the end of the first update, which compiles. Since
processor time hardly depends on other programs, trainings can run beside each other and be continued on another day;
results are appended to benchmarks/results/king_james_cells/results.csv. The learning rate rises over the first
hundredth of the time and then decays along a cosine to a twentieth; it is the same for all cells. The score is that on
the first 10,000 characters of each of the ten held-out pieces of `TextCorpus.split`.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from benchmarks.generated import update_pages
from benchmarks.result_rows import read_rows
from benchmarks.single_thread import run

if TYPE_CHECKING:
    import keras

NAME = "cells"
RESULTS = Path(__file__).resolve().parent / "results" / "king_james_cells" / "results.csv"
ENTRY = "kjv_lstm_2x256"
RESIDUAL = {"num_layers": 4, "activation": "silu", "normalization": "rms"}
CELLS: Mapping[str, Mapping[str, Any]] = {
    "lstm": {},
    "gru": {"cell": "gru"},
    "min_gru": {"cell": "min_gru", **RESIDUAL},
    "rg_lru": {"cell": {"name": "rg_lru", "max_decay": 3.0}, **RESIDUAL},
    "mlp_gate_lstm": {"cell": "mlp_gate_lstm"},
    "rhn": {"cell": {"name": "rhn", "depth": 5}, "num_layers": 1},
}
"""Overrides of `ENTRY`. The recurrence of the parallel cells is linear; they form residual layers."""

SEEDS = (0, 1, 2)
MINUTES = 5.0
LEARNING_RATE, WARMUP, FINAL = 4e-3, 0.01, 0.05
BATCH, STEPS = 32, 64
SCORED = 10_000  # characters of each held-out piece


def with_units(name: str) -> dict[str, Any]:
    """Return the overrides of a cell with the number of units whose number of parameters is closest to `ENTRY`'s."""
    from deeprnn_keras import zoo

    target = zoo.count_params(ENTRY)
    options = dict(CELLS[name])
    sizes = {units: zoo.count_params(ENTRY, **options, units=units) for units in range(64, 1025, 2)}
    return {**options, "units": min(sizes, key=lambda units: abs(sizes[units] - target))}


def learning_rate(progress: float) -> float:
    """Return the learning rate after a fraction of the time."""
    if progress < WARMUP:
        return LEARNING_RATE * progress / WARMUP
    cosine = (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return LEARNING_RATE * (FINAL + (1 - FINAL) * cosine)


def processor_clock(seconds: float) -> keras.callbacks.Callback:
    """Return a callback that sets the learning rate and ends the training after `seconds` of processor time."""
    import keras

    class ProcessorClock(keras.callbacks.Callback):
        started: float | None = None
        updates = 0

        def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
            now = time.process_time()
            if self.started is None:
                self.started = now
            self.updates += 1
            progress = (now - self.started) / seconds
            self.model.optimizer.learning_rate = learning_rate(progress)
            self.model.stop_training = progress >= 1

    return ProcessorClock()


def train(name: str, seed: int) -> dict[str, Any]:
    """Train a model for `MINUTES` of processor time and return a row of the table."""
    import keras

    from deeprnn_keras import king_james, token_windows, zoo

    keras.utils.set_random_seed(seed)
    corpus = king_james()
    split = corpus.split()
    data = token_windows(corpus.encode(split.train), STEPS, BATCH, seed=seed)
    model = zoo.create_model(ENTRY, vocabulary=corpus.vocabulary.symbols, **with_units(name))
    model.compile(keras.optimizers.Adam(learning_rate(0.0), global_clipnorm=1.0), model.loss_function())
    clock = processor_clock(60 * MINUTES)
    model.fit(data, epochs=1000, shuffle=False, verbose=0, callbacks=[clock, keras.callbacks.TerminateOnNaN()])
    score = model.score([piece[:SCORED] for piece in split.validation])
    return {
        "parameters": model.count_params(),
        "units": model.get_config()["units"][0],
        "layers": len(model.get_config()["units"]),
        "updates": clock.updates,
        "minutes": MINUTES,
        "bits_per_character": round(score.bits_per_character, 4),
    }


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return the mean and standard deviation over the seeds of each cell as a Markdown table, the best cell first."""
    lines = []
    for name in CELLS:
        own = [row for row in rows if row["name"] == name]
        if not own:
            continue
        bits = [float(row["bits_per_character"]) for row in own]
        deviation = f" ± {stdev(bits):.3f}" if len(bits) > 1 else ""
        updates = mean(int(row["updates"]) for row in own)
        size = f"{own[0]['layers']} x {own[0]['units']} | {int(own[0]['parameters']):,}"
        lines.append(
            (mean(bits), f"| `{name}` | {size} | {updates:,.0f} | {mean(bits):.3f}{deviation} | {len(bits)} |")
        )
    head = "| cell | L x h | parameters | updates | bits per character | seeds |\n|---|---|---|---|---|---|"
    return "\n".join([head, *(line for _, line in sorted(lines))])


def build_blocks() -> dict[str, str]:
    """Return the block of each page for the saved results."""
    return {"docs/layers.md": table(read_rows(RESULTS)) + "\n"}


def main(*arguments: str) -> None:
    """Train what is missing, unless --report is given, and update the page."""
    jobs = [(name, seed) for seed, name in product(SEEDS, CELLS)]
    run(arguments, "benchmarks.king_james_cells", RESULTS, train, jobs, lambda: update_pages(NAME, build_blocks()))


if __name__ == "__main__":
    main(*sys.argv[1:])
