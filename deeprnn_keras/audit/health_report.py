"""Report of `gradient_health`, as data, as text, and as a plot."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deeprnn_keras._types import PathLike
from deeprnn_keras.training.plotting import (
    MUTED_COLOR,
    TEXT_COLOR,
    VALIDATION_COLOR,
    import_pyplot,
    note,
    save_figure,
    set_title,
    style_axes,
)

if TYPE_CHECKING:
    from types import ModuleType

    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

VANISHED = 1e-4  # norm at which a gradient counts as vanished, relative to its norm at lag 0
BAR_COLORS = {
    "dead": VALIDATION_COLOR,
    "output": "#2f6db3",
    "candidate": "#7fa8d1",
    "forget": "#3a7d5c",
    "update": "#3a7d5c",
    "input": "#a3c9a8",
    "reset": "#a3c9a8",
}
DASHES = (0, (3, 2))
MAX_LEGEND_LAYERS = 8  # with more layers, a color bar replaces the legend
MAX_HEIGHT = 14.0  # inches
MAX_LABELED_BARS = 72  # with more bars, the values are not written beside the bars
MIN_BARS = 5  # height of the plot of fractions, in bars
MAX_MARKERS = 12  # a line with fewer points than this has markers
LOWEST_PLOTTED = 1e-12  # lower limit of the norm axis, relative to the norm at lag 0
TEXT_WIDTH = 100  # characters


@dataclass(frozen=True)
class Finding:
    """A problem and its remedy.

    Attributes:
        name: "vanishing", "exploding", "dead units", "saturated gates", "clip too tight", "learning rate too high", or
            "not finite".
        text: Measured values that show the problem.
        advice: Recommended change.
    """

    name: str
    text: str
    advice: str


@dataclass(frozen=True)
class LayerDescription:
    """Description of a layer.

    Attributes:
        name: Name of its cell.
        activation: Name of the activation of the candidate, or None if it is unknown.
    """

    name: str
    activation: str | None


@dataclass(frozen=True)
class HealthReport:
    """Measurements of `gradient_health`; prints as a table with findings.

    Attributes:
        layers: Descriptions of the layers, from the lowest up.
        connection: Connections between the layers.
        hidden_norms: Array (L, lags) of the norms of the gradient of the last step's loss with respect to H at `lag`
            steps before the last one; defined in `gradient_health`.
        state_norms: Array (L, lags) of the norms with respect to all states of a layer together.
        max_abs_hidden: Largest |H| of each layer.
        saturation: {gate: fraction of its values that are saturated} of each layer.
        dead_fraction: Fraction of units of each layer that are 0 in every row and at every step.
        loss: Loss of the batch, over all steps.
        gradient_norm: Norm of the gradient of the loss with respect to all weights together.
        weight_norms: {path of the weight: norm of the gradient of the loss}.
        weights_finite: True if all weights are finite.
        learning_rate: Learning rate of the optimizer.
        global_clipnorm: Clipping norm of the optimizer, or None.
        clipped_fraction: Fraction of clipped updates; None unless the callback `GradientHealth` made the report.
        gradient_norms: `gradient_norm` of each measurement of the run; empty unless `GradientHealth` made the report.
        findings: Findings; empty if there is no problem.
    """

    layers: list[LayerDescription]
    connection: str
    hidden_norms: np.ndarray
    state_norms: np.ndarray
    max_abs_hidden: list[float]
    saturation: list[dict[str, float]]
    dead_fraction: list[float]
    loss: float
    gradient_norm: float
    weight_norms: dict[str, float]
    weights_finite: bool
    learning_rate: float
    global_clipnorm: float | None
    clipped_fraction: float | None = None
    gradient_norms: list[float] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Names of the findings, or "healthy"."""
        return ", ".join(finding.name for finding in self.findings) or "healthy"

    @property
    def vanishing_lags(self) -> list[int | None]:
        """First lag of each layer at which `state_norms` is below 1e-4 of its value at lag 0, or None."""
        lags: list[int | None] = []
        for norms in self.state_norms:
            vanished = np.flatnonzero(norms < VANISHED * norms[0])
            is_measurable = norms[0] > 0 and np.isfinite(norms).all()
            lags.append(int(vanished[0]) if is_measurable and len(vanished) else None)
        return lags

    def __str__(self) -> str:
        return "\n".join([*self._table(), "", self._summary(), "", *self._describe_findings()])

    __repr__ = __str__

    def _table(self) -> list[str]:
        last = self.state_norms.shape[1] - 1
        lags = sorted({lag for lag in (0, 1, 5, 20, last) if lag <= last})
        name_width = max(len(layer.name) for layer in self.layers) + 2
        heading = "".join(f"{f'lag {lag}':>10}" for lag in lags)
        lines = [f"{'layer':<8}{'cell':<{name_width}}{heading}{'vanishing lag':>15}{'dead':>7}  saturated"]
        vanishing_lags = self.vanishing_lags
        for index in reversed(range(len(self.layers))):
            norms = "".join(f"{self.state_norms[index, lag]:>10.1e}" for lag in lags)
            vanishing_lag = "-" if vanishing_lags[index] is None else vanishing_lags[index]
            fractions = ", ".join(f"{gate} {fraction:.0%}" for gate, fraction in self.saturation[index].items()) or "-"
            name = f"{f'H^({index + 1})':<8}{self.layers[index].name:<{name_width}}"
            lines.append(f"{name}{norms}{vanishing_lag:>15}{self.dead_fraction[index]:>7.0%}  {fractions}")
        return lines

    def _summary(self) -> str:
        clip = "no clipping" if self.global_clipnorm is None else f"global_clipnorm {self.global_clipnorm:g}"
        clip += "" if self.clipped_fraction is None else f" ({self.clipped_fraction:.0%} of the updates clipped)"
        return (
            f"loss {self.loss:.4g}, gradient norm {self.gradient_norm:.3g}, {clip}, "
            f"learning rate {self.learning_rate:.3g}"
        )

    def _describe_findings(self) -> list[str]:
        if not self.findings:
            return ["healthy: the gradient neither vanishes nor explodes, and all layers contribute."]
        return [
            textwrap.fill(text, TEXT_WIDTH, initial_indent=indent, subsequent_indent="    ", break_long_words=False)
            for finding in self.findings
            for text, indent in ((f"{finding.name}: {finding.text}", ""), (f"Change: {finding.advice}", "    "))
        ]

    def plot(self, path: PathLike) -> Path:
        """Plot gradient norms against the lag, and fractions of dead and saturated units.

        Args:
            path: PNG file to write.

        Returns:
            The path.
        """
        pyplot = import_pyplot()
        num_bars = sum(1 + len(gates) for gates in self.saturation)
        height = min(max(4.2, 1.8 + 0.17 * num_bars + 0.1 * len(self.layers)), MAX_HEIGHT)
        figure, (left, right) = pyplot.subplots(
            1, 2, figsize=(10.5, height), dpi=120, width_ratios=(3, 2), layout="constrained"
        )
        self._plot_norms(left, _layer_colormap(pyplot))
        self._plot_fractions(right)
        for axes, columns in ((left, 5), (right, 2)):
            _, labels = axes.get_legend_handles_labels()
            if labels:  # the legend is below the label of the axis; its distance does not depend on the height
                position = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.6 / height)}
                axes.legend(ncols=columns, frameon=False, fontsize=8, **position)
        set_title(figure, f"Gradient health: {self.verdict}")
        save_figure(figure, path)
        return Path(path)

    def _plot_norms(self, axes: Axes, colormap: Colormap) -> None:
        num_layers, num_lags = self.state_norms.shape
        is_single_state = [
            np.array_equal(*norms, equal_nan=True) for norms in zip(self.hidden_norms, self.state_norms, strict=True)
        ]
        for index in reversed(range(num_layers)):
            color = colormap(index / max(num_layers - 1, 1))
            norms = _plottable(self.state_norms[index])
            if not is_single_state[index]:
                hidden_norms = _plottable(self.hidden_norms[index])
                axes.plot(hidden_norms, color=color, linewidth=0.9, alpha=0.45, linestyle=DASHES)
            marker = "o" if np.isfinite(norms).sum() < MAX_MARKERS else None
            label = f"H^({index + 1})" if num_layers <= MAX_LEGEND_LAYERS else None
            axes.plot(norms, color=color, linewidth=1.9, marker=marker, markersize=4, label=label)
        if not all(is_single_state):
            axes.plot([], [], color=MUTED_COLOR, linewidth=0.9, linestyle=DASHES, label="H alone")
        self._add_color_bar(axes, colormap)
        self._set_norm_limits(axes)
        margin = 0.02 * num_lags if num_lags > 1 else 0.5
        axes.set_xlim(-margin, num_lags - 1 + margin)
        axes.xaxis.get_major_locator().set_params(integer=True)  # pyright: ignore[reportCallIssue]  # of MaxNLocator
        if num_lags == 1:
            axes.set_xticks([0])
        axes.set_ylabel("gradient norm", color=TEXT_COLOR)
        axes.set_xlabel("lag (steps before the last)", color=TEXT_COLOR)
        title = "Norm of the gradient of the last step's loss with respect to the states"
        axes.set_title(title, loc="left", color=TEXT_COLOR, fontsize=10)
        style_axes(axes)

    def _add_color_bar(self, axes: Axes, colormap: Colormap) -> None:
        """Add a color bar for the layers if there are too many for a legend."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.ticker import MaxNLocator

        num_layers = len(self.layers)
        if num_layers <= MAX_LEGEND_LAYERS:
            return
        colors = ScalarMappable(Normalize(1, num_layers), colormap)
        bar = axes.figure.colorbar(colors, ax=axes, pad=0.02, ticks=MaxNLocator(6, integer=True))
        bar.set_label("layer l of H^(l)", color=TEXT_COLOR)

    def _set_norm_limits(self, axes: Axes) -> None:
        state_norms, hidden_norms = _plottable(self.state_norms), _plottable(self.hidden_norms)
        if np.isfinite(state_norms[:, 0]).any():
            smallest = min(np.nanmin(state_norms), np.nanmin(hidden_norms))
            bottom, top = max(smallest, LOWEST_PLOTTED * np.nanmax(state_norms[:, 0])), np.nanmax(state_norms)
            margin = max((top / bottom) ** 0.06, 1.3)
            axes.set_yscale("log")
            axes.set_ylim(bottom / margin, top * margin)
        else:
            axes.set_yscale("log")
            axes.set_ylim(LOWEST_PLOTTED, 1)
            note(axes, "all gradients are 0 or not finite")

    def _plot_fractions(self, axes: Axes) -> None:
        position, centers = 0.0, []
        with_values = sum(1 + len(gates) for gates in self.saturation) <= MAX_LABELED_BARS
        labeled: set[str] = set()
        for index in reversed(range(len(self.layers))):
            fractions = {"dead": self.dead_fraction[index], **self.saturation[index]}
            centers.append(position + (len(fractions) - 1) / 2)
            for name, fraction in fractions.items():
                label = None if name in labeled else "dead units" if name == "dead" else f"{name} saturated"
                axes.barh(position, fraction, color=BAR_COLORS[name], height=0.8, label=label)
                options = {"textcoords": "offset points", "va": "center", "fontsize": 7}
                if with_values:
                    axes.annotate(f"{fraction:.0%}", (fraction, position), (4, 0), **options)
                labeled.add(name)
                position += 1
            position += 0.8
        names = [f"H^({index + 1})" for index in reversed(range(len(self.layers)))]
        axes.set_yticks(centers, names)
        last = position - 1.8  # center of the last bar
        margin = max(0.8, (MIN_BARS - last) / 2)
        axes.set_ylim(last + margin, -margin)
        style_axes(axes, grid=None)
        axes.set_xlim(0, 1.1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
        axes.set_title("Fractions of units and of gate values", loc="left", color=TEXT_COLOR, fontsize=10)


def _layer_colormap(pyplot: ModuleType) -> Colormap:
    """Return the colors of the layers: viridis without its darkest and lightest colors."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(pyplot.get_cmap("viridis")(np.linspace(0.08, 0.82, 256)))


def _plottable(norms: np.ndarray) -> np.ndarray:
    """Return norms for a log scale: values that are 0 or not finite leave a gap."""
    return np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)
