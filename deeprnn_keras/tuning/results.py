"""Results of a search: ranked trials, tables, and files."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras._types import PathLike
from deeprnn_keras.tuning.hyperparameters import round_value
from deeprnn_keras.tuning.trial_records import TrialRecord
from deeprnn_keras.writing import save_table

if TYPE_CHECKING:
    import keras_tuner
    from rich.table import Table

    from deeprnn_keras.tuning.hyper_deep_rnn import HyperDeepRNN

LABELS = {
    "learning_rate": "lr",
    "global_clipnorm": "clip",
    "forget_bias": "forget bias",
    "batch_size": "n",
    "bptt": "T",
}
ARCHITECTURE_COLUMNS = ("num_layers", "units", "cell")


@dataclass(frozen=True)
class Row:
    """One configuration and its results.

    Attributes:
        trial_id: As in `TrialRecord`.
        status: As in `TrialRecord`.
        values: Values of the active hyperparameters, by name.
        layers: Number of layers, L.
        units: Hidden units h, or one number per layer; with a budget `params`, the h that was chosen to match it.
        cell: Cell, as text.
        value: Mean of the objective over the seeds.
        std: Standard deviation of the objective over the seeds; None with one seed.
        scores: (seed, objective) of each run; the seed is None if it is unknown.
        num_params: Number of parameters, or None if it is unknown.
        ms_per_step: Duration of a training step in milliseconds, or None.
        message: Reason for pruning, or None.
    """

    trial_id: str
    status: str
    values: dict[str, Any]
    layers: int
    units: int | tuple[int, ...]
    cell: str
    value: float
    std: float | None
    scores: tuple[tuple[int | None, float], ...]
    num_params: int | None
    ms_per_step: float | None
    message: str | None = None

    @property
    def num_seeds(self) -> int:
        """Number of seeds."""
        return len(self.scores)

    @property
    def units_label(self) -> str:
        """The units as text, for example '128' or '64-96'."""
        return str(self.units) if isinstance(self.units, int) else "-".join(map(str, self.units))

    @property
    def mean_units(self) -> int:
        """The units, averaged over layers."""
        return self.units if isinstance(self.units, int) else round(sum(self.units) / len(self.units))

    def other_values(self) -> dict[str, Any]:
        """Return the values of the active hyperparameters other than L, h, and the cell."""
        return {
            name: value
            for name, value in self.values.items()
            if name not in ARCHITECTURE_COLUMNS and not name.startswith("units_")
        }

    def other_values_label(self) -> str:
        """Return the values other than L, h, and the cell as text, for example 'lr 0.0032, clip 1'."""
        return ", ".join(
            f"{LABELS.get(name, name.replace('_', ' '))} {_value_label(value)}"
            for name, value in self.other_values().items()
        )


def _value_label(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


class SearchResults:
    """Results of a search.

    Iteration yields one dictionary per trial and seed, including failed trials: `pandas.DataFrame(tuner.results())`.

    Args:
        records: Records of the trials.
        hyper: The hypermodel.
        objective: The objective, with `name` and `direction`.
        scale: Name and factor of the unit in which the objective is shown, for example ("bits per character",
            1 / ln 2); None for the objective itself.

    Attributes:
        rows: Completed trials, best first; those with the most seeds precede the others.
        failed: Records of failed trials.
        name: Name of the objective, or of its unit.
        sign: 1 if the objective is minimized, -1 if it is maximized.
    """

    def __init__(
        self,
        records: Iterable[TrialRecord],
        hyper: HyperDeepRNN,
        objective: keras_tuner.Objective,
        scale: tuple[str, float] | None = None,
    ) -> None:
        records = list(records)
        self.hyper, self.objective = hyper, objective
        self.name, self._factor = scale or (objective.name, 1.0)
        self.sign = -1 if objective.direction == "max" else 1
        self.failed = [record for record in records if record.failed]
        rows = [self._row(record) for record in _without_continued([r for r in records if r.complete])]
        max_seeds = max((row.num_seeds for row in rows), default=1)
        self.rows = sorted(rows, key=lambda row: (row.num_seeds < max_seeds, self.sign * row.value))

    def _row(self, record: TrialRecord) -> Row:
        candidate = self.hyper.resolve(record.values)
        seeds = record.seeds or [(None, score) for score in [record.score] if score is not None]
        scores = tuple((seed, self._factor * score) for seed, score in seeds)
        values = [score for _, score in scores]
        num_params = record.metrics.get("num_params", candidate.num_params)
        return Row(
            record.trial_id,
            record.status,
            {name: round_value(value) for name, value in record.values.items()},
            candidate.config.num_layers,
            candidate.config.units,
            record.values.get("cell", self.hyper.space.default_cell()),
            statistics.mean(values),
            statistics.stdev(values) if len(values) > 1 else None,
            scores,
            None if num_params is None else int(num_params),
            record.metrics.get("ms_per_step"),
            record.message,
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield one dictionary per trial and seed, best first, then failed trials, whose score is None."""
        for row in self.rows:
            for seed, score in row.scores:
                yield {
                    "trial": row.trial_id,
                    "status": row.status,
                    "seed": seed,
                    "score": score,
                    "num_layers": row.layers,
                    "units": row.units if isinstance(row.units, int) else row.units_label,
                    "cell": row.cell,
                    **row.other_values(),
                    "num_params": row.num_params,
                    "ms_per_step": row.ms_per_step,
                    "message": row.message,
                }
        for record in self.failed:
            values = {name: round_value(value) for name, value in record.values.items()}
            ended = {"trial": record.trial_id, "status": record.status, "seed": None, "score": None}
            yield {**ended, **values, "message": record.message}

    def best(self) -> Row:
        """Return the best row.

        Raises:
            ValueError: If no trial is complete.
        """
        if not self.rows:
            raise ValueError(f"no trial of the search is complete; {len(self.failed)} have failed")
        return self.rows[0]

    def pareto(self) -> list[Row]:
        """Return the Pareto front of the number of parameters and the objective, in ascending order of size."""
        front: list[Row] = []
        for row in sorted(self.sized_rows(), key=lambda row: (row.num_params, self.sign * row.value)):
            if not front or self.sign * row.value < self.sign * front[-1].value:
                front.append(row)
        return front

    def sized_rows(self) -> list[Row]:
        """Return the rows whose number of parameters is known."""
        return [row for row in self.rows if row.num_params is not None]

    # === Output ===
    def table(self, count: int = 10) -> Table:
        """Return the best `count` rows as a `rich` table."""
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False, title_justify="left")
        for heading in ("", self.name, "L", "h"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("cell")
        table.add_column("other hyperparameters", overflow="fold")
        for heading in ("parameters", "ms/step"):
            table.add_column(heading, justify="right", no_wrap=True)
        for rank, row in enumerate(self.rows[:count], start=1):
            std = "" if row.std is None else f" ± {row.std:.3f} ({row.num_seeds})"
            table.add_row(
                str(rank),
                f"{row.value:.4f}{std}",
                str(row.layers),
                row.units_label,
                row.cell,
                row.other_values_label() + (" · pruned" if row.status == "PRUNED" else ""),
                "" if row.num_params is None else f"{row.num_params:,}",
                "" if row.ms_per_step is None else f"{row.ms_per_step:.1f}",
                style="bold green" if rank == 1 else None,
            )
        return table

    def save_csv(self, path: PathLike) -> None:
        """Write all rows, with one column per hyperparameter."""
        names = list(dict.fromkeys(name for row in self.rows for name in row.other_values()))
        save_table([self._to_csv_row(row, names) for row in self.rows], path)

    def _to_csv_row(self, row: Row, names: Sequence[str]) -> dict[str, Any]:
        return {
            "trial": row.trial_id,
            "status": row.status,
            self.name: f"{row.value:.6g}",
            "standard deviation": "" if row.std is None else f"{row.std:.3g}",
            "seeds": row.num_seeds,
            "layers": row.layers,
            "units": row.units_label,
            "cell": row.cell,
            **{name: row.values.get(name, "") for name in names},
            "parameters": "" if row.num_params is None else row.num_params,
            "ms per step": "" if row.ms_per_step is None else f"{row.ms_per_step:.2f}",
        }

    def save(self, directory: PathLike) -> list[Path]:
        """Write trials.csv, heat_map.png, parameters.png, importance.png, and hparams/; return their paths."""
        from deeprnn_keras.tuning.importance import hyperparameter_importance, plot_importance
        from deeprnn_keras.tuning.plots import plot_heat_map, plot_num_params
        from deeprnn_keras.tuning.tensorboard_hparams import write_hparams

        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.save_csv(directory / "trials.csv")
        plot_heat_map(self, directory / "heat_map.png")
        plot_num_params(self, directory / "parameters.png")
        importance = hyperparameter_importance(self)
        if importance is not None:
            plot_importance(importance, directory / "importance.png")
        write_hparams(self, directory / "hparams")
        names = ("trials.csv", "heat_map.png", "parameters.png", "importance.png", "hparams")
        return [directory / name for name in names if (directory / name).exists()]


def _without_continued(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the records without those that Hyperband continued in a later trial with the same values."""
    last: dict[tuple[tuple[str, str], ...], TrialRecord] = {}
    for record in records:
        key = tuple(sorted((name, str(value)) for name, value in record.values.items()))
        if key not in last or (record.hyperband_epochs or 0) > (last[key].hyperband_epochs or 0):
            last[key] = record
    return list(last.values())
