"""Compare training steps of a `DeepRNN` with and without regularizers that keep the fast kernel, and with resets.

python -m benchmarks.regularizers            # about a minute on 2 cores

The models alternate step by step in one process. The ratio of a model is the median over rounds of its time divided by
that of the model without regularizers in the same round. Processor time, the sum over threads, hardly depends on other
processes of the machine; elapsed time does. Each model carries its states from batch to batch, as in truncated
backpropagation through time.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.bench.implementations import Step

RESULTS = Path(__file__).resolve().parent / "results" / "regularizers"
UNITS, LAYERS, BATCH, STEPS = 256, 2, 32, 64
ROUNDS, WARMUP = 40, 3
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


def measure(steps: Mapping[str, Step], base: str = "none") -> dict[str, dict[str, float]]:
    """Return {name: {"ms", "processor_ms", "ratio", "processor_ratio"}}, medians over the rounds.

    Args:
        steps: Training steps by name.
        base: Name of the step to which the ratios are.
    """
    clocks = {"": time.perf_counter, "processor_": time.process_time}
    times: dict[str, dict[str, list[float]]] = {name: {clock: [] for clock in clocks} for name in steps}
    for number in range(WARMUP + ROUNDS):
        for name, step in steps.items():
            before = {clock: read() for clock, read in clocks.items()}
            step()
            for clock, read in clocks.items():
                if number >= WARMUP:
                    times[name][clock].append(1e3 * (read() - before[clock]))
    results = {}
    for name, by_clock in times.items():
        results[name] = {f"{clock}ms": round(statistics.median(values), 1) for clock, values in by_clock.items()}
        for clock, values in by_clock.items():
            ratios = [one / other for one, other in zip(values, times[base][clock], strict=True)]
            results[name][f"{clock}ratio"] = round(statistics.median(ratios), 3)
    return results


def main() -> None:
    """Run the benchmark, print the ratios, and write them to results/regularizers."""
    results = measure(make_steps())
    for name, row in results.items():
        elapsed, processor = f"{row['ms']:8.1f} ms  {row['ratio']:.2f}x", f"{row['processor_ratio']:.2f}x"
        print(f"{name:24}{elapsed}  processor time {processor}")
    settings = {"units": UNITS, "layers": LAYERS, "batch_size": BATCH, "steps": STEPS, "segments_per_row": SEGMENTS}
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"settings": settings, "rounds": ROUNDS, "results": results}, indent=1)
    (RESULTS / "results.json").write_text(text + "\n", encoding="utf-8")
    if max(results["both"]["ratio"], results["both"]["processor_ratio"]) > MAX_RATIO:
        raise SystemExit(f"weight and variational dropout take more than {MAX_RATIO} times as long")


if __name__ == "__main__":
    main()
