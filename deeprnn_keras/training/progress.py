"""`Progress`: a bar with the time left, and one line per epoch."""

import math

import keras
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

COLUMNS = (("epoch", 7), ("train nats", 12), ("ppl", 8), ("bits/{}", 11), ("val nats", 10), ("ppl", 8))
COLUMNS += (("bits/{}", 11), ("time", 7))
SHORT = {"character": "char"}


def nats_ppl_bits(cross_entropy):
    """'1.234', '3.43', '1.780': nats per symbol, perplexity, bits per symbol."""
    perplexity = math.exp(cross_entropy) if cross_entropy < 700 else math.inf
    return f"{cross_entropy:.4f}", f"{perplexity:.3f}", f"{cross_entropy / math.log(2):.4f}"


class Progress(keras.callbacks.Callback):
    """Shows a whole training in one bar, and after each epoch cross-entropy, perplexity and bits per symbol.

    Args:
        console: a `rich.console.Console`.
        unit: what a symbol is: "character", "word" or "byte".
    """

    def __init__(self, console, unit="character"):
        super().__init__()
        self.console, self.epoch, self.unit = console, 0, SHORT.get(unit, unit)

    def on_train_begin(self, logs=None):
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("updates"),
            TimeElapsedColumn(),
            TextColumn("· left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=self.console,
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._bar.add_task("training", total=self.params["steps"] * self.params["epochs"], loss="")
        self._began = self._bar.get_time()
        self._bar.start()
        self._bar.console.print(self._row([name.format(self.unit) for name, _ in COLUMNS], style="bold"))

    def on_epoch_begin(self, epoch, logs=None):
        self._began = self._bar.get_time()
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        bits = float(logs["loss"]) / math.log(2)
        self._bar.update(
            self._task,
            completed=self.epoch * self.params["steps"] + batch + 1,  # not one more: a resumed training begins later
            description=f"epoch {self.epoch + 1}/{self.params['epochs']}",
            loss=f"{bits:.3f} bits/{self.unit}",
        )

    def on_test_begin(self, logs=None):
        self._bar.update(self._task, loss="validating")

    def on_epoch_end(self, epoch, logs=None):
        seconds = self._bar.get_time() - self._began
        cells = [f"{epoch + 1}/{self.params['epochs']}", *nats_ppl_bits(logs["loss"]), *nats_ppl_bits(logs["val_loss"])]
        self._bar.console.print(self._row([*cells, f"{seconds:.0f} s"]))

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Takes the bar off the screen; safe to call twice."""
        if hasattr(self, "_bar"):
            self._bar.stop()

    @staticmethod
    def _row(cells, style=None):
        # a row at a time: a table cannot be printed before its last row is known
        grid = Table.grid(padding=(0, 1))
        for _, width in COLUMNS:
            grid.add_column(width=width, justify="right", style=style)
        grid.add_row(*cells)
        return grid
