"""Overhead of `TBPTTDataset` and `Resume` compared with `fit` on a constant batch.

python -m benchmarks.tbptt            # about 5 minutes on 2 cores
python -m benchmarks.tbptt --quick    # 4 rounds

All variants train the same model, a stateful language model of 2 x 256 units (n = 32, T = 64), for the same number of
updates. They alternate in one process, in short rounds, because the speed of a machine varies from minute to minute.
The reported ratio is the median over rounds of the mean update time divided by that of the constant batch in the same
round, with its quartiles. The time of the input pipeline without training is an upper bound on its overhead.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

RESULTS = Path(__file__).resolve().parent / "results" / "tbptt"
UNITS, LAYERS, BATCH, STEPS, EMBEDDING = 256, 2, 32, 64, 64
UPDATES, EVERY = 16, 16
MAX_RATIO = 1.03  # goal for the update time relative to a constant batch


def build_model(vocabulary_size: int, seed: int = 0) -> keras.Model:
    """Return the model, compiled with the optimizer of a recipe."""
    import keras

    from deeprnn_keras import LanguageModel, Recipe

    keras.utils.set_random_seed(seed)
    model = LanguageModel(vocabulary_size, UNITS, LAYERS, embedding=EMBEDDING, stateful=True)
    return Recipe("adam", 1e-3, global_clipnorm=1.0).compile(model, model.loss_function())


def make_rounds() -> dict[str, Callable[[], float]]:
    """Return {name of the variant: function that runs a round of updates and returns its seconds}."""
    import tensorflow as tf

    from deeprnn_keras import Resume, TBPTTDataset, king_james

    corpus = king_james()
    stream = corpus.encode([corpus.text])
    model, directory = build_model(len(corpus.vocabulary)), tempfile.mkdtemp()
    data = TBPTTDataset(stream, BATCH, STEPS, steps=UPDATES)
    constant = tf.data.Dataset.from_tensors(next(iter(data))).cache().repeat(UPDATES)
    numbers = iter(range(1_000))

    def seconds(batches: object, callbacks: Iterable[keras.callbacks.Callback] = ()) -> float:
        start = time.perf_counter()
        model.fit(batches, callbacks=list(callbacks), shuffle=False, verbose=0)
        return time.perf_counter() - start

    return {
        "constant batch": lambda: seconds(constant),
        "TBPTTDataset": lambda: seconds(data),
        "TBPTTDataset and Resume": lambda: seconds(
            data, [Resume(Path(directory) / str(next(numbers)), data, every=EVERY)]
        ),
    }


def measure(rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds per update in each round, for each variant."""
    functions = make_rounds()
    for function in functions.values():
        function()  # compiles
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(1e3 * function() / UPDATES)
    return times


def measure_pipeline(batches: int = 500) -> float:
    """Return the milliseconds per batch of the input pipeline without training."""
    from deeprnn_keras import TBPTTDataset, king_james

    corpus = king_james()
    data = iter(TBPTTDataset(corpus.encode([corpus.text]), BATCH, STEPS))
    next(data)
    start = time.perf_counter()
    for _ in range(batches):
        next(data)
    return 1e3 * (time.perf_counter() - start) / batches


def summary_rows(times: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Return the median time and the ratio to the constant batch of each variant."""
    rows = []
    for name, values in times.items():
        ratios = [value / constant for value, constant in zip(values, times["constant batch"], strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4) if len(set(ratios)) > 1 else ratios[:1] * 3
        rows.append(
            {
                "way": name,
                "ms_an_update": round(statistics.median(values), 2),
                "times_constant": round(median, 4),
                "quartiles": [round(low, 4), round(high, 4)],
            }
        )
    return rows


def main(*arguments: str) -> None:
    """Measure, print the results, and without --quick save them in benchmarks/results/tbptt/results.json."""
    from deeprnn_keras.bench.environment import environment, load_notes

    quick = "--quick" in arguments
    notes = load_notes()
    rows, pipeline_ms = summary_rows(measure(4 if quick else 30)), measure_pipeline()
    for row in rows:
        print(json.dumps(row), flush=True)
    print(f"Input pipeline without training: {pipeline_ms:.3f} ms per batch")
    verdict = "met" if rows[1]["times_constant"] <= MAX_RATIO else "missed"
    goal = f"an update with TBPTTDataset takes at most {MAX_RATIO} times as long as with a constant batch"
    print(f"Goal: {goal}: {verdict}", *notes, sep="\n")
    if not quick:
        sizes = {"units": UNITS, "layers": LAYERS, "batch": BATCH, "steps": STEPS, "updates": UPDATES, "every": EVERY}
        RESULTS.mkdir(parents=True, exist_ok=True)
        about = {**environment(), **sizes, "seed": 0, "notes": notes, "pipeline_ms": round(pipeline_ms, 4)}
        (RESULTS / "results.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
