"""One worker against two: `python -m benchmarks.tune_workers` times the same twelve trials with both, alternating.

The trials are trainings of character models of the King James Bible, 240 updates each, once with h from 32 to 128 and
once from 64 to 256: the wider a model, the better one process uses both cores by itself. The time is that of the whole
search, with the start of every process. Writes benchmarks/results/tune_workers/results.json.
"""

import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

RESULTS = Path(__file__).resolve().parent / "results" / "tune_workers"
TRIALS, UPDATES, ROUNDS = 12, 240, 3
WIDTHS = {"narrow": (32, 128), "wide": (64, 256)}


def search(directory, workers, widths):
    """The same search, whoever runs it."""
    from deeprnn_keras import king_james, zoo
    from deeprnn_keras.tuning import HyperDeepRNN
    from deeprnn_keras.tuning.search import Search

    corpus = king_james()
    config = zoo.info("kjv_lstm_2x256", vocabulary=corpus.vocabulary.symbols)
    hyper = HyperDeepRNN(config, num_layers=(1, 3), units=WIDTHS[widths], cell=["lstm", "gru"])
    return Search(hyper, config.family, corpus, directory, "random", TRIALS, None, UPDATES, workers, prune=False)


def seconds(workers, widths):
    """Of a search, and the trials' values, which must not depend on who ran them."""
    directory = Path(tempfile.mkdtemp())
    command = [sys.executable, "-m", "benchmarks.tune_workers", "--child", str(directory), str(workers), widths]
    began = time.perf_counter()
    results = search(directory, workers, widths).run(Console(quiet=True), command)
    taken = time.perf_counter() - began
    shutil.rmtree(directory)
    return taken, {row.trial_id: row.value for row in results.rows}


def compared(widths):
    """Alternating rounds, medians, the ratio."""
    times, values = {1: [], 2: []}, {}
    for number in range(ROUNDS):
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            taken, values[workers] = seconds(workers, widths)
            times[workers].append(round(taken, 1))
            print(f"{widths}, round {number + 1}, {workers} worker(s): {taken:.0f} s", flush=True)
    ratio = statistics.median(times[1]) / statistics.median(times[2])
    worst = max(abs(values[1][name] - values[2][name]) for name in values[1])
    print(f"{widths}: two workers finish {TRIALS} trials {ratio:.2f} times as fast as one", flush=True)
    print(f"largest difference of a trial's bits per character: {worst:.4f}")
    return {"seconds": times, "ratio": round(ratio, 3), "largest difference": worst}


def main(*widths):
    """Measures the widths that are named, or all, and keeps the results."""
    from deeprnn_keras.bench.environment import environment, load_notes
    from deeprnn_keras.training.files import save_json

    notes = load_notes()
    print(*notes, sep="\n")
    results = RESULTS / "results.json"
    found = json.loads(results.read_text()) if results.exists() else {}
    about = {**environment(), "trials": TRIALS, "updates": UPDATES, "seed": 0, "notes": notes}
    for name in widths or WIDTHS:
        found[name] = {**compared(name), "h": WIDTHS[name], "about": about}
    RESULTS.mkdir(parents=True, exist_ok=True)
    save_json(found, results)


if __name__ == "__main__":
    if "--child" in sys.argv:
        search(sys.argv[2], int(sys.argv[3]), sys.argv[4]).run_as_child()
    else:
        main(*sys.argv[1:])
