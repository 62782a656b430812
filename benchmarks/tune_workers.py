"""Duration of a tuner search with one worker and with two.

`python -m benchmarks.tune_workers` runs the same 12 trials with one and with two workers, alternating.

Each trial trains a character model on the King James Bible for 240 updates: in one case with h from 32 to 128, in the
other from 64 to 256. The wider a model, the better a single process uses both cores by itself. The duration is that of
the whole search, including the start of all processes. The results are saved in
benchmarks/results/tune_workers/results.json.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from deeprnn_keras.tuning.search import Search

RESULTS = Path(__file__).resolve().parent / "results" / "tune_workers"
TRIALS, UPDATES, ROUNDS = 12, 240, 3
WIDTHS = {"narrow": (32, 128), "wide": (64, 256)}


def create_search(directory: Path, workers: int, widths: str) -> Search:
    """Return the search, which is the same for any number of workers."""
    from deeprnn_keras import king_james, zoo
    from deeprnn_keras.tuning import HyperDeepRNN
    from deeprnn_keras.tuning.search import Search

    corpus = king_james()
    config = zoo.info("kjv_lstm_2x256", vocabulary=corpus.vocabulary.symbols)
    hyper = HyperDeepRNN(config, num_layers=(1, 3), units=WIDTHS[widths], cell=["lstm", "gru"])
    return Search(hyper, config.family, corpus, directory, "random", TRIALS, None, UPDATES, workers, prune=False)


def time_search(workers: int, widths: str) -> tuple[float, dict[str, float]]:
    """Return the seconds of a search and the objective of each trial, which must not depend on the workers."""
    directory = Path(tempfile.mkdtemp())
    command = [sys.executable, "-m", "benchmarks.tune_workers", "--child", str(directory), str(workers), widths]
    started_at = time.perf_counter()
    results = create_search(directory, workers, widths).run(Console(quiet=True), command)
    seconds = time.perf_counter() - started_at
    shutil.rmtree(directory)
    return seconds, {row.trial_id: row.value for row in results.rows}


def compare(widths: str) -> dict[str, Any]:
    """Return the durations of alternating rounds, the ratio of medians, and the largest difference of objectives."""
    times: dict[int, list[float]] = {1: [], 2: []}
    values: dict[int, dict[str, float]] = {}
    for number in range(ROUNDS):
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            seconds, values[workers] = time_search(workers, widths)
            times[workers].append(round(seconds, 1))
            print(f"{widths}, round {number + 1}, {workers} worker(s): {seconds:.0f} s", flush=True)
    ratio = statistics.median(times[1]) / statistics.median(times[2])
    largest = max(abs(values[1][name] - values[2][name]) for name in values[1])
    print(f"{widths}: two workers complete {TRIALS} trials {ratio:.2f}x as fast as one", flush=True)
    print(f"Largest difference between the objectives of a trial: {largest:.4f} bits per character")
    return {"seconds": times, "ratio": round(ratio, 3), "largest difference": largest}


def main(*widths: str) -> None:
    """Measure the given cases of `WIDTHS`, or all of them, and save the results."""
    from deeprnn_keras.bench.environment import environment, load_notes
    from deeprnn_keras.writing import save_json

    notes = load_notes()
    print(*notes, sep="\n")
    path = RESULTS / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    about = {**environment(), "trials": TRIALS, "updates": UPDATES, "seed": 0, "notes": notes}
    for name in widths or WIDTHS:
        results[name] = {**compare(name), "h": WIDTHS[name], "about": about}
    RESULTS.mkdir(parents=True, exist_ok=True)
    save_json(results, path)


if __name__ == "__main__":
    if "--child" in sys.argv:
        create_search(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]).run_as_child()
    else:
        main(*sys.argv[1:])
