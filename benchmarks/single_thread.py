"""Trainings in processes with one thread each, several at a time, whose results are appended to a CSV file.

Trainings with a fixed number of updates do not depend on the load of the machine; they can fill idle cores and be
continued on another day.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.generated import update_pages
from benchmarks.result_rows import append_row, read_rows

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
SINGLE_THREAD_XLA = "--xla_cpu_multi_thread_eigen=false"
TRAIN, REPORT = "--train", "--report"
WORKERS = 2  # processes at a time


@dataclass(frozen=True)
class Trainings:
    """Trainings of a program `python -m MODULE`, whose table is a block of a page.

    Attributes:
        module: Name of the program.
        path: CSV file for the results.
        train: Function that trains a model by its name and seed and returns the values of its row.
        jobs: (name, seed) of each training.
        table: Function that returns the table of the rows.
        page: Path of the page, relative to the root of the repository.
        block: Name of the block.
    """

    module: str
    path: Path
    train: Callable[[str, int], Mapping[str, Any]]
    jobs: Sequence[tuple[str, int]]
    table: Callable[[Sequence[Mapping[str, str]]], str]
    page: str
    block: str

    def run(self, arguments: Sequence[str]) -> None:
        """Run the program.

        Args:
            arguments: "--train NAME SEED" trains one model in this process. "--report" prints the table of the results
                so far. Without arguments, the models without a row are trained, and the page is updated.
        """
        if arguments[:1] == (TRAIN,):
            append_result(self.path, self.train, *arguments[1:])
            return
        if REPORT not in arguments:
            train_missing(self.module, self.path, self.jobs)
            update_pages(self.block, self.build_blocks())
        print(self.table(read_rows(self.path)))

    def build_blocks(self) -> dict[str, str]:
        """Return the block of the page for the saved results."""
        return {self.page: self.table(read_rows(self.path)) + "\n"}


def train_missing(module: str, path: Path, jobs: Iterable[tuple[str, int]], workers: int = WORKERS) -> None:
    """Run `python -m MODULE --train NAME SEED` for the jobs without a row, `workers` at a time.

    Args:
        module: Program that calls `append_result` if it gets `--train`.
        path: CSV file with the columns "name" and "seed".
        jobs: (name, seed) of each training.
        workers: Number of processes at a time.
    """
    done = {(row["name"], int(row["seed"])) for row in read_rows(path)}
    flags = " ".join(filter(None, [os.environ.get("XLA_FLAGS"), SINGLE_THREAD_XLA]))
    environment = {**os.environ, **ONE_THREAD, "XLA_FLAGS": flags}

    def run(job: tuple[str, int]) -> None:
        command = [sys.executable, "-m", module, TRAIN, job[0], str(job[1])]
        subprocess.run(command, check=True, env=environment)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, [job for job in jobs if job not in done]))


def append_result(path: Path, train: Callable[[str, int], Mapping[str, Any]], name: str, seed: str) -> None:
    """Train a model, and print and append its row."""
    row = {"name": name, "seed": int(seed), **train(name, int(seed))}
    print(row, flush=True)
    append_row(path, row)
