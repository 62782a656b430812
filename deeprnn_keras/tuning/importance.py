"""Which hyper-parameters mattered: the share of the objective's variance that each explains by itself."""

from dataclasses import dataclass

import numpy as np

from deeprnn_keras import extras
from deeprnn_keras.training.files import atomic_write

LEAST_TRIALS = 8
TREES = 200
TRUSTED = 0.1  # R² on trials that a tree has not seen, below which shares mean little


@dataclass(frozen=True)
class Importance:
    """Shares of variance by hyper-parameter, the largest first.

    Attributes:
        shares: [(name, share)].
        r2: of the forest on trials that its trees have not seen.
        trials: it was fitted to.
    """

    shares: list
    r2: float
    trials: int

    @property
    def trusted(self):
        """Whether the forest predicts trials it has not seen."""
        return self.r2 >= TRUSTED

    def __str__(self):
        if not self.trusted:
            return f"{self.trials} trials do not tell which hyper-parameters matter (R² out of bag {self.r2:.2f})"
        first = ", ".join(f"{name} {share:.0%}" for name, share in self.shares[:4])
        return f"share of the variance explained: {first} ({self.trials} trials, R² out of bag {self.r2:.2f})"


def importance(results):
    """The `Importance` of the hyper-parameters of an `SearchResults`; None with fewer than eight trials.

    A random forest is fitted to the trials; the share of a hyper-parameter is the variance of its marginal, the
    forest's mean prediction as a function of it alone, over the variance of all predictions: the main effects of
    fANOVA (Hutter et al. 2014), here with the observed trials in place of the uniform distribution.
    """
    ensemble = extras.import_optional("sklearn.ensemble", "tune", "importance")
    names, x = _encoded(results)
    y = np.array([row.value for row in results.rows])
    if len(y) < LEAST_TRIALS or not names or np.ptp(y) == 0:
        return None
    forest = ensemble.RandomForestRegressor(TREES, min_samples_leaf=2, oob_score=True, random_state=0).fit(x, y)
    total = np.var(forest.predict(x))
    shares = [_main_effect(forest, x, column) / total if total else 0.0 for column in range(len(names))]
    order = sorted(zip(names, shares, strict=True), key=lambda pair: -pair[1])
    return Importance([(name, float(share)) for name, share in order], float(forest.oob_score_), len(y))


def _encoded(results):
    """-> (names of what varies, a row of numbers for each trial; NaN where inactive)."""
    table = {
        "L": [row.layers for row in results.rows],
        "h": [np.log(row.width) for row in results.rows],
        "cell": _codes([row.cell for row in results.rows]),
    }
    others = dict.fromkeys(name for row in results.rows for name, _ in row._others())
    for name in others:
        values = [row.values.get(name) for row in results.rows]
        numbers = all(value is None or isinstance(value, (int, float)) for value in values)
        table[name] = [np.nan if v is None else float(v) for v in values] if numbers else _codes(values)
    kept = {name: column for name, column in table.items() if len({v for v in column if v == v}) > 1}
    return list(kept), np.array(list(kept.values()), float).T


def _codes(values):
    known = {value: number for number, value in enumerate(sorted({v for v in values if v is not None}))}
    return [np.nan if value is None else float(known[value]) for value in values]


def _main_effect(forest, x, column):
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


def plot_importance(found, path):
    """Draws the shares as bars, a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from deeprnn_keras.training.curve import TEXT_COLOR, TRAIN_COLOR

    names = [name.replace("_", " ") for name, _ in found.shares][::-1]
    shares = [100 * share for _, share in found.shares][::-1]
    figure, axes = pyplot.subplots(figsize=(7, 0.9 + 0.4 * len(names)), dpi=120, layout="constrained")
    bars = axes.barh(names, shares, color=TRAIN_COLOR)
    axes.bar_label(bars, [f"{share:.0f} %" for share in shares], padding=4, color=TEXT_COLOR, fontsize=9)
    axes.set(xlabel="share of the variance that it explains by itself, %", xlim=(0, 1.15 * max([*shares, 1])))
    title = "What mattered" if found.trusted else "What mattered: too few trials to tell"
    axes.set_title(
        f"{title} ({found.trials} trials, R² out of bag {found.r2:.2f})", loc="left", color=TEXT_COLOR, fontsize=11
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    with atomic_write(path) as temporary_path:
        figure.savefig(temporary_path)
    pyplot.close(figure)
