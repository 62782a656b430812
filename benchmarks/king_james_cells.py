"""Cells at equal size and equal time: character models of the King James Bible.

python -m benchmarks.king_james_cells --measure   # measures the updates, about 3 minutes on 2 idle cores
python -m benchmarks.king_james_cells             # trains what is missing, 2 at a time, and updates docs/layers.md
python -m benchmarks.king_james_cells --report    # prints the table of the results so far

Each model is `kjv_lstm_2x256` with another cell and the width whose number of parameters is closest to its own. It
makes as many updates as take `MINUTES` at its time per update, which is measured first, the models alternating update
by update in one process. The trainings themselves may then run beside other programs and on several days; results are
appended to benchmarks/results/king_james_cells/results.csv. The learning rate rises over the first hundredth of the
updates and then decays along a cosine to a twentieth; it is the same for all cells. The score is that on the first
10,000 characters of each of the ten held-out pieces of `TextCorpus.split`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from benchmarks.regularizers import measure
from benchmarks.single_thread import Trainings

if TYPE_CHECKING:
    import keras

NAME = "cells of equal size"
RESULTS = Path(__file__).resolve().parent / "results" / "king_james_cells"
STEP_TIMES = RESULTS / "step_times.json"
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
MINUTES = 3.0
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


def build_model(name: str, vocabulary: str, updates: int) -> keras.Model:
    """Return a compiled model whose learning rate ends after a number of updates."""
    import keras

    from deeprnn_keras import zoo

    warmup = max(1, round(WARMUP * updates))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, updates - warmup, alpha=FINAL, warmup_target=LEARNING_RATE, warmup_steps=warmup
    )
    model = zoo.create_model(ENTRY, vocabulary=vocabulary, **with_units(name))
    model.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0), model.loss_function())
    return model


def measure_steps() -> None:
    """Measure the update of each model and write the milliseconds to `STEP_TIMES`."""
    import keras
    import numpy as np

    from deeprnn_keras import king_james
    from deeprnn_keras.bench.environment import environment, load_notes
    from deeprnn_keras.bench.with_keras import train_step

    notes = load_notes()
    keras.utils.set_random_seed(0)
    corpus = king_james()
    ids = corpus.vocabulary.encode(corpus.text[: BATCH * (STEPS + 1)]).reshape(BATCH, STEPS + 1)
    x, y = np.ascontiguousarray(ids[:, :-1]), np.ascontiguousarray(ids[:, 1:])
    steps = {name: train_step(build_model(name, corpus.vocabulary.symbols, 1000), x, y) for name in CELLS}
    times = {name: row["ms"] for name, row in measure(steps, base="lstm").items()}
    RESULTS.mkdir(parents=True, exist_ok=True)
    about = {**environment(), "notes": notes, "milliseconds": times}
    STEP_TIMES.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(times))


def num_updates(name: str) -> int:
    """Return the number of updates that take `MINUTES`."""
    milliseconds = json.loads(STEP_TIMES.read_text(encoding="utf-8"))["milliseconds"]
    return round(60e3 * MINUTES / milliseconds[name])


def train(name: str, seed: int) -> dict[str, Any]:
    """Train a model and return a row of the table."""
    import keras

    from deeprnn_keras import king_james, token_windows

    keras.utils.set_random_seed(seed)
    corpus, updates = king_james(), num_updates(name)
    split = corpus.split()
    data = token_windows(corpus.encode(split.train), STEPS, BATCH, seed=seed, steps=updates)
    model = build_model(name, corpus.vocabulary.symbols, updates)
    model.fit(data, shuffle=False, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()])
    score = model.score([piece[:SCORED] for piece in split.validation])
    units = model.get_config()["units"]
    return {
        "parameters": model.count_params(),
        "layers": len(units),
        "units": units[0],
        "updates": updates,
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
        size = f"{own[0]['layers']} x {own[0]['units']} | {int(own[0]['parameters']):,}"
        score = f"{mean(bits):.3f}{deviation}"
        lines.append((mean(bits), f"| `{name}` | {size} | {int(own[0]['updates']):,} | {score} | {len(bits)} |"))
    head = "| cell | L x h | parameters | updates | bits per character | seeds |\n|---|---|---|---|---|---|"
    return "\n".join([head, *(line for _, line in sorted(lines))])


TRAININGS = Trainings(
    "benchmarks.king_james_cells",
    RESULTS / "results.csv",
    train,
    [(name, seed) for seed, name in product(SEEDS, CELLS)],
    table,
    page="docs/layers.md",
    block=NAME,
)
build_blocks = TRAININGS.build_blocks


def main(*arguments: str) -> None:
    """Measure the updates with --measure; else run the trainings."""
    if "--measure" in arguments:
        measure_steps()
        return
    TRAININGS.run(arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
