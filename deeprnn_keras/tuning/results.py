"""`SearchResults`: the trials of a search as rows, best first, and the files that show them."""

import statistics
from dataclasses import dataclass
from pathlib import Path

from deeprnn_keras.training.files import save_table
from deeprnn_keras.tuning.ranges import rounded

SHORT = {"learning_rate": "lr", "global_clipnorm": "clip", "forget_bias": "forget bias", "batch_size": "n", "bptt": "T"}
OWN_COLUMNS = ("num_layers", "units", "cell")


@dataclass(frozen=True)
class Row:
    """One configuration that was tried.

    Attributes:
        trial_id, status, values, message: of its `TrialRecord`.
        layers, units, cell: L, h (one number, or one per layer) and the cell, solved ones included.
        value: the objective, the mean over seeds; spread: its standard deviation, None with one seed.
        seeds: trainings it was seen in.
        weights, ms: its size, and the time of a training step in milliseconds.
    """

    trial_id: str
    status: str
    values: dict
    layers: int
    units: int | tuple
    cell: str
    value: float
    spread: float | None
    seeds: int
    weights: int | None
    ms: float | None
    message: str | None = None

    @property
    def shown_units(self):
        """Such as '128', or '64-96'."""
        return str(self.units) if isinstance(self.units, int) else "-".join(map(str, self.units))

    @property
    def width(self):
        """h, the mean of all layers where they differ."""
        return self.units if isinstance(self.units, int) else round(sum(self.units) / len(self.units))

    def others(self):
        """The active hyper-parameters beside L, h and the cell, such as 'lr 0.0032, clip 1'."""
        return ", ".join(f"{SHORT.get(name, name.replace('_', ' '))} {_short(value)}" for name, value in self._others())

    def _others(self):
        skipped = lambda name: name in OWN_COLUMNS or name.startswith("units_")  # noqa: E731
        return [(name, value) for name, value in self.values.items() if not skipped(name)]


def _short(value):
    return f"{value:.3g}" if isinstance(value, float) else str(value)


class SearchResults:
    """The results of a search.

    Args:
        records: [`TrialRecord`].
        hyper: the `HyperDeepRNN`.
        objective: with `name` and `direction`, as keras-tuner has it.
        scale: (name, factor): how the objective is shown, such as ("bits per character", 1 / ln 2).

    Attributes:
        rows: [`Row`] of complete trials, best first; those seen in most seeds stand before others.
        failed: [`TrialRecord`] of trials that failed.
    """

    def __init__(self, records, hyper, objective, scale=None):
        self.hyper, self.objective = hyper, objective
        self.name, self._factor = scale or (objective.name, 1.0)
        self.sign = -1 if objective.direction == "max" else 1
        self.failed = [record for record in records if record.status in ("FAILED", "INVALID")]
        last = _last_rungs([record for record in records if record.complete])
        rows = [self._row(record) for record in last]
        most = max((row.seeds for row in rows), default=1)
        self.rows = sorted(rows, key=lambda row: (row.seeds < most, self.sign * row.value))

    def _row(self, record):
        found = self.hyper.resolve(record.values)
        values = [self._factor * value for _, value in record.seeds] or [self._factor * record.score]
        weights = record.metrics.get("weights", found.weights)
        return Row(
            record.trial_id,
            record.status,
            {name: rounded(value) for name, value in record.values.items()},
            found.config.num_layers,
            found.config.units,
            record.values.get("cell", self.hyper.space.own_cell()),
            statistics.mean(values),
            statistics.stdev(values) if len(values) > 1 else None,
            len(values),
            None if weights is None else int(weights),
            record.metrics.get("ms_per_step"),
            record.message,
        )

    def best(self):
        """The best row.

        Raises:
            ValueError: if no trial is complete.
        """
        if not self.rows:
            raise ValueError("no trial of the search is complete")
        return self.rows[0]

    def pareto(self):
        """The rows that no smaller model beats, from the smallest to the largest."""
        front = []
        sized = [row for row in self.rows if row.weights is not None]
        for row in sorted(sized, key=lambda row: (row.weights, self.sign * row.value)):
            if not front or self.sign * row.value < self.sign * front[-1].value:
                front.append(row)
        return front

    def save_csv(self, path):
        """All rows, one column per hyper-parameter."""
        names = list(dict.fromkeys(name for row in self.rows for name, _ in row._others()))
        save_table([self._plain(row, names) for row in self.rows], path)

    def _plain(self, row, names):
        return {
            "trial": row.trial_id,
            "status": row.status,
            self.name: f"{row.value:.6g}",
            "standard deviation": "" if row.spread is None else f"{row.spread:.3g}",
            "seeds": row.seeds,
            "layers": row.layers,
            "units": row.shown_units,
            "cell": row.cell,
            **{name: row.values.get(name, "") for name in names},
            "weights": "" if row.weights is None else row.weights,
            "ms per step": "" if row.ms is None else f"{row.ms:.2f}",
        }

    def table(self, count=10):
        """The best rows as a `rich` table."""
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False, title_justify="left")
        right = {"justify": "right", "no_wrap": True}
        for heading, style in (("", right), (self.name, right), ("L", right), ("h", right), ("cell", {})):
            table.add_column(heading, **style)
        table.add_column("other hyper-parameters", overflow="fold")
        for heading in ("weights", "ms/step"):
            table.add_column(heading, **right)
        for place, row in enumerate(self.rows[:count], start=1):
            spread = "" if row.spread is None else f" ± {row.spread:.3f} ({row.seeds})"
            table.add_row(
                str(place),
                f"{row.value:.4f}{spread}",
                str(row.layers),
                row.shown_units,
                row.cell,
                row.others() + (" · broken off" if row.status == "PRUNED" else ""),
                "" if row.weights is None else f"{row.weights:,}",
                "" if row.ms is None else f"{row.ms:.1f}",
                style="bold green" if place == 1 else None,
            )
        return table

    def save(self, directory):
        """Write trials.csv, heat_map.png, weights.png, importance.png, and hparams/; return their paths."""
        from deeprnn_keras.tuning.importance import importance, plot_importance
        from deeprnn_keras.tuning.plots import plot_heat_map, plot_weights
        from deeprnn_keras.tuning.tensorboard_hparams import write_hparams

        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.save_csv(directory / "trials.csv")
        plot_heat_map(self, directory / "heat_map.png")
        plot_weights(self, directory / "weights.png")
        found = importance(self)
        if found is not None:
            plot_importance(found, directory / "importance.png")
        write_hparams(self, directory / "hparams")
        names = ("trials.csv", "heat_map.png", "weights.png", "importance.png", "hparams")
        return [directory / name for name in names if (directory / name).exists()]


def _last_rungs(records):
    """Of trials that Hyperband went on with only the last one: the same values, more epochs."""
    found = {}
    for record in records:
        key = tuple(sorted((name, str(value)) for name, value in record.values.items()))
        if key not in found or (record.rung or 0) > (found[key].rung or 0):
            found[key] = record
    return list(found.values())
