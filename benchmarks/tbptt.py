"""What care costs in time: `TBPTTDataset` and `Resume` against `fit` on one constant batch.

python -m benchmarks.tbptt            # some five minutes on two cores
python -m benchmarks.tbptt --quick    # three rounds

The model is the same, a language model of 2 x 256 that carries its state (n = 32, T = 64), and so is the number of
updates. The three ways take turns in one process, in short rounds, since a machine may change its pace from minute to
minute: a ratio is the median over rounds of a way's mean update to that on the constant batch in the same round, and
its quartiles are given. What the pipeline takes by itself, with nobody training, bounds its cost from above.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results" / "tbptt"
UNITS, LAYERS, BATCH, STEPS, EMBEDDING = 256, 2, 32, 64, 64
UPDATES, EVERY = 16, 16
GOAL = 1.03  # at most so many times the update on a constant batch


def model(symbols, seed=0):
    """Compiled with a guarded optimizer, as a recipe has it."""
    import keras

    from deeprnn_keras import LanguageModel, Recipe

    keras.utils.set_random_seed(seed)
    made = LanguageModel(symbols, UNITS, LAYERS, embedding=EMBEDDING, stateful=True)
    return Recipe("adam", 1e-3, global_clipnorm=1.0).compile(made, made.loss_function())


def ways():
    """{name: seconds of a round of UPDATES updates, when called}."""
    import tensorflow as tf

    from deeprnn_keras import Resume, TBPTTDataset, king_james

    corpus = king_james()
    stream = corpus.encode([corpus.text])
    fitted, directory = model(len(corpus.vocabulary)), tempfile.mkdtemp()
    data = TBPTTDataset(stream, BATCH, STEPS, steps=UPDATES)
    constant = tf.data.Dataset.from_tensors(next(iter(data))).cache().repeat(UPDATES)
    rounds = iter(range(1_000))

    def seconds(batches, callbacks=()):
        began = time.perf_counter()
        fitted.fit(batches, callbacks=list(callbacks), shuffle=False, verbose=0)
        return time.perf_counter() - began

    return {
        "constant batch": lambda: seconds(constant),
        "TBPTTDataset": lambda: seconds(data),
        "TBPTTDataset and Resume": lambda: seconds(
            data, [Resume(Path(directory) / str(next(rounds)), data, every=EVERY)]
        ),
    }


def measured(rounds):
    """{name: [milliseconds an update, by round]}."""
    calls = ways()
    for call in calls.values():
        call()
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(1e3 * call() / UPDATES)
    return times


def pipeline_alone(batches=500):
    """Milliseconds a batch that nobody trains on."""
    from deeprnn_keras import TBPTTDataset, king_james

    corpus = king_james()
    data = iter(TBPTTDataset(corpus.encode([corpus.text]), BATCH, STEPS))
    next(data)
    began = time.perf_counter()
    for _ in range(batches):
        next(data)
    return 1e3 * (time.perf_counter() - began) / batches


def main(*arguments):
    """Measures, prints, and without --quick writes benchmarks/results/tbptt/results.json."""
    from deeprnn_keras.bench.environment import load_notes, environment

    quick = "--quick" in arguments
    notes = load_notes()
    times, alone, rows = measured(4 if quick else 30), pipeline_alone(), []
    for name, values in times.items():
        ratios = [value / one for value, one in zip(values, times["constant batch"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4) if len(set(ratios)) > 1 else ratios[:1] * 3
        rows.append(
            {
                "way": name,
                "ms_an_update": round(statistics.median(values), 2),
                "times_constant": round(middle, 4),
                "quartiles": [round(low, 4), round(high, 4)],
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    print(f"the pipeline alone: {alone:.3f} ms a batch")
    verdict = "met" if rows[1]["times_constant"] <= GOAL else "missed"
    print(f"TBPTTDataset at most {GOAL} times a constant batch, median of rounds: {verdict}", *notes, sep="\n")
    if not quick:
        sizes = {"units": UNITS, "layers": LAYERS, "batch": BATCH, "steps": STEPS, "updates": UPDATES, "every": EVERY}
        RESULTS.mkdir(parents=True, exist_ok=True)
        about = {**environment(), **sizes, "seed": 0, "notes": notes, "pipeline_ms": round(alone, 4)}
        (RESULTS / "results.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
