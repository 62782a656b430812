"""Compare training steps of a `DeepRNN` with and without regularizers that keep the fast kernel, and with resets.

python -m benchmarks.regularizers            # about 40 seconds on 2 cores

The models alternate in one process; a time is the median over rounds of the median step time of a round. Each model
carries its states from batch to batch, as in truncated backpropagation through time.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cells import measure

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.bench.implementations import Step

RESULTS = Path(__file__).resolve().parent / "results" / "regularizers"
UNITS, LAYERS, BATCH, STEPS = 256, 2, 32, 64
ROUNDS, SECONDS = 5, 0.4
MAX_RATIO = 1.15  # goal for weight and variational dropout
SEGMENTS = 4  # documents per row of the model with resets
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "weight_dropout": {"weight_dropout": 0.5},
    "variational_dropout": {"variational_dropout": 0.3},
    "both": {"weight_dropout": 0.5, "variational_dropout": 0.3},
    "learned_initial_state": {"learned_initial_state": True},
    "reset_mask": {},
}


def build_model(name: str) -> keras.Model:
    """Return a compiled model with one output per time step; that of "reset_mask" also reads a mask (n, T)."""
    import keras

    from deeprnn_keras import DeepRNN

    keras.utils.set_random_seed(0)
    x = keras.Input((STEPS, UNITS), batch_size=BATCH)
    resets = keras.Input((STEPS,), batch_size=BATCH, dtype="bool")
    layer = DeepRNN(UNITS, LAYERS, return_sequences=True, stateful=True, **OPTIONS[name])
    hidden = layer(x, reset_mask=resets) if name == "reset_mask" else layer(x)
    model = keras.Model([x, resets] if name == "reset_mask" else x, keras.layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(), "mse")
    return model


def make_steps() -> dict[str, Step]:
    """Return {name: training step}."""
    import numpy as np

    from deeprnn_keras.bench.with_keras import train_step

    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH, STEPS, UNITS), dtype="float32")
    y = rng.standard_normal((BATCH, STEPS, 1), dtype="float32")
    resets = rng.random((BATCH, STEPS)) < SEGMENTS / STEPS
    return {name: train_step(build_model(name), (x, resets) if name == "reset_mask" else x, y) for name in OPTIONS}


def main() -> None:
    """Run the benchmark, print the ratios, and write them to results/regularizers."""
    times, _ = measure(make_steps(), ROUNDS, SECONDS)
    medians = {name: statistics.median(rounds) for name, rounds in times.items()}
    for name, median in medians.items():
        print(f"{name:24}{median:8.1f} ms  {median / medians['none']:.2f}x")
    settings = {"units": UNITS, "layers": LAYERS, "batch_size": BATCH, "steps": STEPS, "segments_per_row": SEGMENTS}
    RESULTS.mkdir(parents=True, exist_ok=True)
    result = {"settings": settings, "milliseconds": {name: round(median, 2) for name, median in medians.items()}}
    (RESULTS / "results.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if medians["both"] > MAX_RATIO * medians["none"]:
        raise SystemExit(f"weight and variational dropout take more than {MAX_RATIO} times as long")


if __name__ == "__main__":
    main()
