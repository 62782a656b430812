"""`HealthReport`: what a measurement found, as data, as text and as a picture."""

import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deeprnn_keras.training.curve import MUTED_COLOR, TEXT_COLOR, VALIDATION_COLOR
from deeprnn_keras.training.files import atomic_write

VANISHED = 1e-4  # of the gradient at the last step
GRID = "#e6eaee"
SHARES = {
    "dead": VALIDATION_COLOR,
    "output": "#2f6db3",
    "candidate": "#7fa8d1",
    "forget": "#3a7d5c",
    "update": "#3a7d5c",
    "input": "#a3c9a8",
    "reset": "#a3c9a8",
}
DASHES = (0, (3, 2))
FEW = 12  # points of a line that are drawn as points
LOWEST = 1e-12  # of the norm at lag 0; a picture need not show what lies below
WIDTH = 100  # of the words, in characters


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        name: "vanishing", "exploding", "dead units", "saturated gates", "clip too tight", "learning rate too high" or
            "not finite".
        text: what was measured.
        advice: what to change.
    """

    name: str
    text: str
    advice: str


@dataclass(frozen=True)
class LayerKind:
    """A layer's cell and the activation of its candidate, by name (None if it has none that is known)."""

    name: str
    activation: str | None


@dataclass(frozen=True)
class HealthReport:
    """What `gradient_health` measured; printed, a table and the findings in words.

    Attributes:
        kinds: one `LayerKind` per layer, from the lowest up.
        connection: how the layers are joined.
        hidden, state: (L, lags): norm of the gradient of the last step's loss by H, and by all states together, that
            lie `lag` steps before it; defined in `gradient_health`.
        largest: the largest |H| of each layer.
        saturation: per layer {gate: share of its values that are saturated}.
        dead: per layer the share of units that are 0 at every row and step.
        loss: of the batch, over all steps.
        gradient_norm: of the gradient of that loss by all weights together, and
        by_weight: {path of the weight: norm}.
        weights_finite: there is no NaN among the weights.
        learning_rate, global_clipnorm: of the optimizer, None where nothing is clipped.
        clipped: the share of updates that were clipped, and
        norms: the gradient norms, over the run; from `GradientHealth` only.
        findings: a list of `Finding`, empty if all is well.
    """

    kinds: list
    connection: str
    hidden: np.ndarray
    state: np.ndarray
    largest: list
    saturation: list
    dead: list
    loss: float
    gradient_norm: float
    by_weight: dict
    weights_finite: bool
    learning_rate: float
    global_clipnorm: float | None
    clipped: float | None = None
    norms: list = field(default_factory=list)
    findings: list = field(default_factory=list)

    @property
    def verdict(self):
        """The names of the findings, or "healthy"."""
        return ", ".join(finding.name for finding in self.findings) or "healthy"

    @property
    def reach(self):
        """Per layer the first lag at which `state` is below 1e-4 of what it is at lag 0, or None if it never is."""
        lags = []
        for norms in self.state:
            gone = np.flatnonzero(norms < VANISHED * norms[0])
            known = norms[0] > 0 and np.isfinite(norms).all()
            lags.append(int(gone[0]) if known and len(gone) else None)
        return lags

    def __str__(self):
        return "\n".join([*self._table(), "", self._figures(), "", *self._words()])

    __repr__ = __str__

    def _table(self):
        last = self.state.shape[1] - 1
        lags = sorted({lag for lag in (0, 1, 5, 20, last) if lag <= last})
        wide = max(len(kind.name) for kind in self.kinds) + 2
        head = "".join(f"{f'lag {lag}':>10}" for lag in lags)
        lines = [f"{'layer':<8}{'cell':<{wide}}{head}{'lost at':>9}{'dead':>7}  saturated"]
        for place in reversed(range(len(self.kinds))):
            norms = "".join(f"{self.state[place, lag]:>10.1e}" for lag in lags)
            lost = "-" if self.reach[place] is None else self.reach[place]
            shares = ", ".join(f"{gate} {share:.0%}" for gate, share in self.saturation[place].items()) or "-"
            name = f"{f'H^({place + 1})':<8}{self.kinds[place].name:<{wide}}"
            lines.append(f"{name}{norms}{lost:>9}{self.dead[place]:>7.0%}  {shares}")
        return lines

    def _figures(self):
        clip = "no clipping" if self.global_clipnorm is None else f"global_clipnorm {self.global_clipnorm:g}"
        clip += "" if self.clipped is None else f" ({self.clipped:.0%} of the updates clipped)"
        return (
            f"loss {self.loss:.4g}, gradient norm {self.gradient_norm:.3g}, {clip}, "
            f"learning rate {self.learning_rate:.3g}"
        )

    def _words(self):
        if not self.findings:
            return ["healthy: the gradient neither vanishes nor explodes, and all layers take part."]
        return [
            textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent="    ", break_long_words=False)
            for finding in self.findings
            for text, first in ((f"{finding.name}: {finding.text}", ""), (f"Change: {finding.advice}", "    "))
        ]

    def plot(self, path):
        """Draws the gradient against the lag, and the shares of dead and saturated units: a PNG; returns its path."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        bars = sum(1 + len(gates) for gates in self.saturation)
        height = min(max(4.2, 1.8 + 0.17 * bars), 7.5)
        figure, (left, right) = pyplot.subplots(
            1, 2, figsize=(10.5, height), dpi=120, width_ratios=(3, 2), layout="constrained"
        )
        self._draw_lags(left, pyplot.get_cmap("viridis"))
        self._draw_shares(right)
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        figure.suptitle(f"Gradient health: {self.verdict}", x=0.01, ha="left", color=TEXT_COLOR, fontsize=12)
        with atomic_write(path) as temporary_path:
            figure.savefig(temporary_path)
        pyplot.close(figure)
        return Path(path)

    def _draw_lags(self, axes, colours):
        count, lags = self.state.shape
        same = [np.array_equal(*norms, equal_nan=True) for norms in zip(self.hidden, self.state, strict=True)]
        for place in reversed(range(count)):
            colour = colours(0.08 + 0.74 * place / max(count - 1, 1))
            norms = _drawable(self.state[place])
            if not same[place]:
                axes.plot(_drawable(self.hidden[place]), color=colour, linewidth=0.9, alpha=0.45, linestyle=DASHES)
            marker = "o" if np.isfinite(norms).sum() < FEW else None
            axes.plot(norms, color=colour, linewidth=1.9, marker=marker, markersize=4, label=f"H^({place + 1})")
        if not all(same):
            axes.plot([], [], color=MUTED_COLOR, linewidth=0.9, linestyle=DASHES, label="H alone")
        drawn = _drawable(self.state)
        if np.isfinite(drawn[:, 0]).any():
            bottom = max(min(np.nanmin(drawn), np.nanmin(_drawable(self.hidden))), LOWEST * np.nanmax(drawn[:, 0]))
            axes.set_yscale("log")
            axes.set_ylim(bottom / 4, np.nanmax(drawn) * 4)
        else:
            axes.set_yticks([])
            axes.annotate("no gradient that is finite and not 0", (0.5, 0.5), xycoords="axes fraction", ha="center")
        axes.set_xlim(-0.02 * lags, max(lags - 1, 1) + 0.02 * lags)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("lag: steps before the last", color=TEXT_COLOR)
        axes.set_title(
            "Norm of the gradient of the last step's loss by the states", loc="left", color=TEXT_COLOR, fontsize=10
        )
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.legend(frameon=False, fontsize=8.5, ncols=1 + count // 5)

    def _draw_shares(self, axes):
        at, middles, seen = 0.0, [], set()
        for place in reversed(range(len(self.kinds))):
            shares = {"dead": self.dead[place], **self.saturation[place]}
            middles.append(at + (len(shares) - 1) / 2)
            for gate, share in shares.items():
                label = None if gate in seen else "dead units" if gate == "dead" else f"{gate} at its ends"
                axes.barh(at, share, color=SHARES[gate], height=0.8, label=label)
                axes.annotate(f"{share:.0%}", (share, at), (4, 0), textcoords="offset points", va="center", fontsize=7)
                seen.add(gate)
                at += 1
            at += 0.8
        names = [f"H^({place + 1})" for place in reversed(range(len(self.kinds)))]
        axes.set_yticks(middles, names)
        axes.set_ylim(max(at, 9) - 0.8, -0.8)
        axes.set_xlim(0, 1.1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        axes.set_title("Shares of units and of values", loc="left", color=TEXT_COLOR, fontsize=10)
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=3)


def _drawable(norms):
    """Norms on a log scale: what is 0 or not finite leaves a gap."""
    return np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)
