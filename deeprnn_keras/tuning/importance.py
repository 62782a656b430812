"""Importance of hyperparameters: the share of the objective's variance that each explains by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras import extras
from deeprnn_keras._types import PathLike
from deeprnn_keras.training.plotting import (
    TEXT_COLOR,
    TRAIN_COLOR,
    import_pyplot,
    save_figure,
    set_title,
    style_axes,
)

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor

    from deeprnn_keras.tuning.results import SearchResults

MIN_TRIALS = 8
NUM_TREES = 200
MIN_OOB_R2 = 0.1  # the shares are not reliable below this value


@dataclass(frozen=True)
class Importance:
    """Shares of the variance of the objective that hyperparameters explain.

    Attributes:
        shares: (name, share) of each hyperparameter, in descending order.
        oob_r2: Out-of-bag R² of the random forest.
        num_trials: Number of trials that the random forest was fitted to.
    """

    shares: list[tuple[str, float]]
    oob_r2: float
    num_trials: int

    @property
    def reliable(self) -> bool:
        """True if the out-of-bag R² of the random forest is high enough."""
        return self.oob_r2 >= MIN_OOB_R2

    def __str__(self) -> str:
        if not self.reliable:
            return (
                f"Importance of hyperparameters: not reliable with {self.num_trials} trials "
                f"(out-of-bag R² {self.oob_r2:.2f})"
            )
        shares = ", ".join(f"{name} {share:.0%}" for name, share in self.shares[:4])
        return f"Share of the variance explained: {shares} ({self.num_trials} trials, out-of-bag R² {self.oob_r2:.2f})"


def hyperparameter_importance(results: SearchResults) -> Importance | None:
    """Return the importance of the hyperparameters of a search, or None if there are too few trials.

    A random forest is fitted to the trials. The marginal of a hyperparameter is the forest's mean prediction as a
    function of this hyperparameter alone; its share is the variance of the marginal divided by the variance of all
    predictions. These are the main effects of fANOVA (Hutter et al. 2014), averaged over the observed trials instead
    of a uniform distribution.

    Args:
        results: The results of the search.

    Raises:
        ImportError: If scikit-learn is missing.
    """
    ensemble = extras.import_optional("sklearn.ensemble", "tune", "hyperparameter_importance")
    names, x = _encode(results)
    y = np.array([row.value for row in results.rows])
    if len(y) < MIN_TRIALS or not names or np.ptp(y) == 0:
        return None
    forest = ensemble.RandomForestRegressor(NUM_TREES, min_samples_leaf=2, oob_score=True, random_state=0).fit(x, y)
    total = np.var(forest.predict(x))
    shares = [_main_effect(forest, x, column) / total if total else 0.0 for column in range(len(names))]
    ranked = sorted(zip(names, shares, strict=True), key=lambda pair: -pair[1])
    return Importance([(name, float(share)) for name, share in ranked], float(forest.oob_score_), len(y))


def _encode(results: SearchResults) -> tuple[list[str], np.ndarray]:
    """Return the names of hyperparameters that vary, and a row of numbers per trial; NaN where inactive."""
    columns: dict[str, list[float]] = {
        "L": [row.layers for row in results.rows],
        "h": [float(np.log(row.mean_units)) for row in results.rows],
        "cell": _category_codes([row.cell for row in results.rows]),
    }
    for name in dict.fromkeys(name for row in results.rows for name in row.other_values()):
        values = [row.values.get(name) for row in results.rows]
        numeric = all(value is None or isinstance(value, (int, float)) for value in values)
        columns[name] = [np.nan if v is None else float(v) for v in values] if numeric else _category_codes(values)
    varying = {name: column for name, column in columns.items() if len({v for v in column if v == v}) > 1}
    return list(varying), np.array(list(varying.values()), float).T


def _category_codes(values: Sequence[str | None]) -> list[float]:
    codes = {value: number for number, value in enumerate(sorted({v for v in values if v is not None}))}
    return [np.nan if value is None else float(codes[value]) for value in values]


def _main_effect(forest: RandomForestRegressor, x: np.ndarray, column: int) -> float:
    active = ~np.isnan(x[:, column])
    if not active.any():
        return 0.0
    rows = x[active]
    values, counts = np.unique(rows[:, column], return_counts=True)
    changed = np.tile(rows, (len(values), 1))
    changed[:, column] = np.repeat(values, len(rows))
    marginal = forest.predict(changed).reshape(len(values), len(rows)).mean(1)
    mean = np.average(marginal, weights=counts)
    return float(np.average((marginal - mean) ** 2, weights=counts) * active.mean())


def plot_importance(importance: Importance, path: PathLike) -> None:
    """Plot the shares as a bar chart, a PNG."""
    names = [name.replace("_", " ") for name, _ in importance.shares][::-1]
    shares = [100 * share for _, share in importance.shares][::-1]
    figure, axes = import_pyplot().subplots(figsize=(7, 1.3 + 0.4 * len(names)), dpi=120, layout="constrained")
    bars = axes.barh(names, shares, color=TRAIN_COLOR)
    axes.bar_label(bars, [f"{share:.0f}%" for share in shares], padding=4, color=TEXT_COLOR, fontsize=9)
    axes.set(
        xlabel="share of the variance explained by this hyperparameter alone, %", xlim=(0, 1.15 * max([*shares, 1]))
    )
    reliability = "" if importance.reliable else ", not reliable"
    axes.set_ylim(-0.6, len(names) - 0.4)
    style_axes(axes, grid=None)
    set_title(
        figure,
        f"Hyperparameter importance{reliability} ({importance.num_trials} trials, "
        f"out-of-bag R² {importance.oob_r2:.2f})",
    )
    save_figure(figure, path)
