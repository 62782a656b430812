"""Progress bar with the remaining time, and one table row per epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import keras
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TextColumn
from rich.table import Table
from typing_extensions import override

from deeprnn_keras import progress
from deeprnn_keras._types import Logs
from deeprnn_keras.training.callback_state import StateTypes

# header and width of each column; {} is the unit of a symbol
COLUMNS = (("epoch", 7), ("train nats", 12), ("ppl", 8), ("bits/{}", 11), ("val nats", 10), ("ppl", 8))
COLUMNS += (("bits/{}", 11), ("time", 7))
UNIT_ABBREVIATIONS = {"character": "char"}


def nats_ppl_bits(cross_entropy: float) -> tuple[str, str, str]:
    """Format a cross-entropy as nats per symbol, perplexity, and bits per symbol: '1.2340', '3.435', '1.7803'."""
    perplexity = math.exp(cross_entropy) if cross_entropy < 700 else math.inf
    return f"{cross_entropy:.4f}", f"{perplexity:.3f}", f"{cross_entropy / math.log(2):.4f}"


class Progress(keras.callbacks.Callback):
    """Progress bar of a whole run, with cross-entropy, perplexity, and bits per symbol after each epoch.

    Args:
        console: Console to print to.
        unit: Unit of a symbol: "character", "word", or "byte".
    """

    resumable_state: ClassVar[StateTypes] = {"unit": None, "epoch": int}

    def __init__(self, console: Console, unit: str = "character") -> None:
        super().__init__()
        self.console, self.epoch = console, 0
        self.unit = UNIT_ABBREVIATIONS.get(unit, unit)
        self._bar: Bar | None = None

    @override
    def on_train_begin(self, logs: Logs = None) -> None:
        self._bar = Bar(
            *progress.columns("updates"),
            TextColumn("{task.fields[loss]}"),
            console=self.console,
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._bar.add_task("training", total=self.params["steps"] * self.params["epochs"], loss="")
        self._epoch_start = self._bar.get_time()
        self._bar.start()
        self._bar.console.print(self._row([name.format(self.unit) for name, _ in COLUMNS], style="bold"))

    @override
    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        assert self._bar is not None
        self._epoch_start = self._bar.get_time()
        self.epoch = epoch

    @override
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        assert self._bar is not None and logs is not None
        bits = float(logs["loss"]) / math.log(2)
        self._bar.update(
            self._task,
            completed=self.epoch * self.params["steps"] + batch + 1,  # a counter would be wrong in a resumed run
            description=f"epoch {self.epoch + 1}/{self.params['epochs']}",
            loss=f"{bits:.3f} bits/{self.unit}",
        )

    @override
    def on_test_begin(self, logs: Logs = None) -> None:
        assert self._bar is not None
        self._bar.update(self._task, loss="validating")

    @override
    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        assert self._bar is not None and logs is not None
        seconds = self._bar.get_time() - self._epoch_start
        cells = [f"{epoch + 1}/{self.params['epochs']}", *nats_ppl_bits(logs["loss"]), *nats_ppl_bits(logs["val_loss"])]
        self._bar.console.print(self._row([*cells, f"{seconds:.0f} s"]))

    @override
    def on_train_end(self, logs: Logs = None) -> None:
        self.close()

    def close(self) -> None:
        """Remove the progress bar from the console. Calling it twice is allowed."""
        if self._bar is not None:
            self._bar.stop()

    @staticmethod
    def _row(cells: Sequence[str], style: str | None = None) -> Table:
        # one table per row, because a table is printed only when its last row is known
        grid = Table.grid(padding=(0, 1))
        for _, width in COLUMNS:
            grid.add_column(width=width, justify="right", style=style)
        grid.add_row(*cells)
        return grid
