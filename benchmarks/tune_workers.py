"""One worker against two: `python -m benchmarks.tune_workers` times the same twelve trials with both, alternating.

The trials are trainings of character models of the King James Bible, 240 updates each; the time is that of the whole
search, with the start of every process. Writes benchmarks/results/tune_workers/results.json.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

RESULTS = Path(__file__).resolve().parent / "results" / "tune_workers"
TRIALS, UPDATES, ROUNDS = 12, 240, 2


def search(folder, workers):
    """The same search, whoever runs it."""
    from deeprnn_keras import king_james, zoo
    from deeprnn_keras.tuning import HyperDeepRNN
    from deeprnn_keras.tuning.text_search import TextSearch

    corpus = king_james()
    config = zoo.info("kjv_lstm_2x256", vocabulary=corpus.vocabulary.symbols)
    hyper = HyperDeepRNN(config, num_layers=(1, 3), units=(64, 256), cell=["lstm", "gru"])
    return TextSearch(hyper, corpus, folder, "random", TRIALS, None, UPDATES, workers, prune=False)


def seconds(workers):
    """Of a search, and the trials' values, which must not depend on who ran them."""
    folder = Path(tempfile.mkdtemp())
    command = [sys.executable, "-m", "benchmarks.tune_workers", str(folder), str(workers)]
    began = time.perf_counter()
    answer = search(folder, workers).run(Console(quiet=True), command)
    taken = time.perf_counter() - began
    values = {row.trial_id: row.value for row in answer.rows}
    shutil.rmtree(folder)
    return taken, values


def main():
    """Alternating rounds, medians, the ratio."""
    from deeprnn_keras.bench.environment import environment
    from deeprnn_keras.training.files import save_json

    times, values = {1: [], 2: []}, {}
    for number in range(ROUNDS):
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            taken, values[workers] = seconds(workers)
            times[workers].append(taken)
            print(f"round {number + 1}, {workers} worker(s): {taken:.0f} s, {len(values[workers])} trials", flush=True)
    median = {workers: statistics.median(found) for workers, found in times.items()}
    ratio = median[1] / median[2]
    worst = max(abs(values[1][name] - values[2][name]) for name in values[1])
    print(f"two workers finish {TRIALS} trials {ratio:.2f} times as fast as one")
    print(f"largest difference of a trial's bits per character: {worst:.4f}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    found = {"seconds": times, "ratio": ratio, "largest difference": worst, "trials": TRIALS, "updates": UPDATES}
    save_json({**found, "environment": environment()}, RESULTS / "results.json")


if __name__ == "__main__":
    if "KERASTUNER_TUNER_ID" in os.environ:
        search(sys.argv[1], int(sys.argv[2])).run_as_child()
    else:
        main()
