"""Every plot of the package, for few and for many layers, trials, and cases: no text overlaps another or is cut off."""

import itertools
import math
from types import SimpleNamespace

import keras_tuner
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from deeprnn_keras.audit.health_report import HealthReport, LayerDescription
from deeprnn_keras.audit.probe_report import LevelScore, ProbeReport
from deeprnn_keras.bench.plot import plot_step_times
from deeprnn_keras.training.curve import plot_curve
from deeprnn_keras.training.range_report import RangeTestResult
from deeprnn_keras.tuning import HyperDeepRNN, plots
from deeprnn_keras.tuning.importance import Importance, plot_importance
from deeprnn_keras.tuning.results import SearchResults
from deeprnn_keras.tuning.trial_records import TrialRecord

HYPER = HyperDeepRNN(inputs=4, outputs=1, loss="mse")
REFERENCES = [("gzip -9", 2.39), ("xz -9", 2.07), ("bz2 -9", 1.87)]
LONG_TITLE = "LSTM 3 x 1840-1840-400, embedding 400, tied, 47,253,725 parameters, on the King James Bible, second run"


def curve(path, losses=(), validation=(), references=REFERENCES, final=None):
    steps = [(20 * number, loss / 1.4427) for number, loss in enumerate(losses, start=1)]
    epochs = [{"update": update, "validation": bits / 1.4427} for update, bits in validation]
    plot_curve(SimpleNamespace(steps=steps, epochs=epochs), path, LONG_TITLE, references, final)


def falling(start, end, count=90):
    return [end + (start - end) * math.exp(-number / 15) for number in range(count)]


def health(path, layers, lags, gates, decay=0.9):
    norms = np.array([[decay ** (lag * (1 + layer)) for lag in range(lags)] for layer in range(layers)])
    saturation = [dict.fromkeys(gates, layer % 3 / 3) for layer in range(layers)]
    description = [LayerDescription("LSTM", "tanh")] * layers
    dead = [layer / layers for layer in range(layers)]
    about = (2.3, 1.0, {}, True, 1e-3, 1.0)
    HealthReport(description, "stack", norms / 2, norms, [0.9] * layers, saturation, dead, *about).plot(path)


def probe(path, scores, metric="accuracy", baseline=0.1):
    rows = [LevelScore(f"H^({level})" if level else "X", 8, score) for level, score in enumerate(scores)]
    ProbeReport(rows, metric, baseline).plot(path)


def range_test(path, losses, diverged):
    rates = np.geomspace(1e-6, 10, len(losses)).tolist()
    RangeTestResult(rates, losses, losses, rates[-1] if diverged else None).plot(path)


def search(values, layers, units, direction="min"):
    sizes = itertools.cycle(itertools.product(layers, units))
    records = [
        TrialRecord(f"{number:03}", "COMPLETED", {"num_layers": depth, "units": width, "cell": "lstm"}, value)
        for number, (value, (depth, width)) in enumerate(zip(values, sizes, strict=False))
    ]
    return SearchResults(records, HYPER, keras_tuner.Objective("val_loss", direction))


def ripple(count, scale=1.0):
    return [scale * (1 + 0.3 * math.sin(7.0 * number)) for number in range(count)]


SEARCHES = {
    "none": search([], [1], [8]),
    "one trial": search([1.0], [2], [32]),
    "two trials": search([1.0, 1.2], [1, 4], [512]),
    "many trials": search(ripple(100), range(1, 11), range(8, 1000, 93)),
    "one diverged": search([1e6, *ripple(19)], [1, 2, 3, 4], [32, 64, 100, 200, 500]),
    "small values": search(ripple(12, 1e-5), [1, 2, 3], [32, 64, 128, 256]),
    "large values, maximized": search(ripple(12, -1e5), [1, 2, 3], [32, 64, 128, 256], "max"),
    "similar widths": search(ripple(32), [1, 2], range(100, 116)),
    "equal sizes": search(ripple(4), [2], [64]),
}


def steps(path, sizes, device="2 cores, AMD EPYC"):
    times = {"keras": 100.0, "torch": 230.0, "DeepRNN": 44.0}
    figures = {name: {"rounds_ms": [ms], "steps": [3], "first_call_s": 1.0} for name, ms in times.items()}
    results = {"about": {"device": device}, "cases": {f"lstm {size} train": figures for size in sizes}}
    assert plot_step_times(results, path)


PLOTS = {
    "curve": lambda path: curve(path, falling(6, 1.5), [(900, 1.7), (1800, 1.6)], final=1.55),
    "curve, close references": lambda path: curve(path, falling(6, 1.5), [], [("a", 2.1), ("b", 2.09), ("c", 2.08)]),
    "curve, many epochs": lambda path: curve(path, falling(6, 0.1), [(20 * k, 2 + k / 90) for k in range(1, 90)]),
    "curve, one update": lambda path: curve(path, [6.0], [(1, 6.0)], final=5.9),
    "curve, not finite": lambda path: curve(path, [math.nan]),
    "curve, empty": lambda path: curve(path, references=()),
    "health, 1 layer": lambda path: health(path, 1, 1, ()),
    "health, 3 layers": lambda path: health(path, 3, 20, ("update", "reset")),
    "health, 12 layers": lambda path: health(path, 12, 100, ("input", "forget", "output")),
    "health, 40 layers": lambda path: health(path, 40, 50, ("input", "forget", "output")),
    "health, vanished": lambda path: health(path, 2, 5, (), decay=0.0),
    "probe, 1 layer": lambda path: probe(path, [0.2, 0.9]),
    "probe, 20 layers": lambda path: probe(path, np.linspace(0.2, 0.99, 21)),
    "probe, negative": lambda path: probe(path, [-3.0, -0.4, -0.1], "R²", -0.02),
    "range test": lambda path: range_test(path, [*falling(4, 1, 90)[::-1][:40], *falling(4, 1, 60)], True),
    "range test, flat": lambda path: range_test(path, ripple(20, 0.1), False),
    "importance, 1 name": lambda path: plot_importance(Importance([("h", 1.0)], 0.4, 20), path),
    "importance, 16 names": lambda path: plot_importance(
        Importance([(f"a_long_hyperparameter_{number}", 0.3 / (number + 1)) for number in range(16)], 0.05, 9), path
    ),
    "bench, 1 size": lambda path: steps(path, ["1x128x8x8"]),
    "bench, 12 sizes": lambda path: steps(
        path,
        [f"{layers}x{units}x32x64" for layers in (1, 2, 4) for units in (64, 128, 512, 1024)],
        "128 cores, Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz, NVIDIA H200 with 141 GB of memory",
    ),
} | {
    f"{kind}, {name}": lambda path, plot=plot, results=results: plot(results, path)
    for name, results in SEARCHES.items()
    for kind, plot in (("heat map", plots.plot_heat_map), ("parameters", plots.plot_num_params))
}

# plots of more than one point whose axes are not those of a percentage
FILLED = ["curve", "curve, close references", "curve, many epochs", "probe, 1 layer", "probe, 20 layers", "range test"]
FILLED += ["probe, negative", "parameters, two trials", "parameters, many trials", "parameters, similar widths"]
SAVED = {name.split(",")[0]: name for name in reversed(PLOTS)}.values()  # the first of each kind; saving draws twice


@pytest.fixture
def draw(monkeypatch, tmp_path):
    """Return a function that makes a plot and returns its drawn figure."""

    def draw(name):
        figures, save = [], Figure.savefig

        def record(figure, path):
            figures.append(figure)
            if name in SAVED:
                save(figure, path)
            else:
                path.touch()

        with monkeypatch.context() as patch:
            patch.setattr(Figure, "savefig", record)
            PLOTS[name](tmp_path / "plot.png")
        assert [file.name for file in tmp_path.iterdir()] == ["plot.png"]
        (figure,) = figures
        figure.draw_without_rendering()
        return figure

    return draw


def axis_labels(axis):
    """Return the tick labels of an axis that are within its limits."""
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [tick.label1 for tick in ticks if low <= tick.get_loc() <= high and tick.label1.get_text()]


def visible_texts(figure):
    axes_list = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    ticks = [tick for axis in axes_list for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]]
    tick_labels = {label for tick in ticks for label in (tick.label1, tick.label2)}
    shown = [label for axis in axes_list for label in axis_labels(axis)]
    shown += [text for text in figure.findobj(Text) if text not in tick_labels]
    return [text for text in shown if text.get_text().strip() and text.get_visible()]


@pytest.mark.parametrize("name", PLOTS)
def test_plot_is_readable(draw, name):
    figure = draw(name)
    check_texts(figure)
    check_legends(figure)
    if "none" not in name:
        for axes in figure.axes:
            is_color_bar = axes.get_label() == "<colorbar>"
            assert axis_labels(axes.yaxis) and (is_color_bar or axis_labels(axes.xaxis))
    if name in FILLED:
        (axes,) = figure.axes
        drawn, view = axes.dataLim.transformed(axes.transData), axes.get_window_extent()
        assert drawn.width > 0.66 * view.width and drawn.height > 0.66 * view.height


def check_texts(figure):
    """Check that all texts are inside the figure and none overlaps another."""
    # the window extent of an annotation would include its arrow
    boxes = [(text.get_text(), Text.get_window_extent(text).padded(-1)) for text in visible_texts(figure)]
    inside = figure.bbox.padded(2)
    assert [text for text, box in boxes if not all(inside.contains(*corner) for corner in box.corners())] == []
    assert [(a, b) for (a, first), (b, second) in itertools.combinations(boxes, 2) if first.overlaps(second)] == []


def check_legends(figure):
    """Check that no legend covers axes."""
    legends = [legend for legend in [*figure.legends, *(axes.get_legend() for axes in figure.axes)] if legend]
    for axes, legend in itertools.product(figure.axes, legends):
        assert not legend.get_window_extent().padded(-1).overlaps(axes.get_window_extent())


@pytest.mark.parametrize(
    "widths, edges",
    [
        ([64], [64, 65]),
        ([8, 16, 32], [8, 16, 32, 33]),
        (range(32, 512, 13), [32, 64, 128, 256, 512]),
        (range(100, 116), [100, 105, 110, 115, 120]),
        (range(90, 200, 7), [80, 100, 120, 140, 160, 180, 200]),
        (range(1, 3000, 50), [1, 4, 16, 64, 256, 1024, 4096]),
    ],
    ids=str,
)
def test_columns_of_the_heat_map_have_round_edges(widths, edges):
    found, labels = plots._columns(widths)
    assert len(labels) == len(found) - 1 <= plots.MAX_OCTAVES
    assert found == edges


@pytest.mark.parametrize("name, ends", [("one diverged", "max"), ("many trials", "neither")])
def test_heat_map_has_a_color_bar_that_outliers_do_not_stretch(name, ends):
    results = SEARCHES[name]
    (low, high), extend = plots._scale(results, [row.value for row in results.rows])
    assert extend == ends and low == results.best().value and high < 3
