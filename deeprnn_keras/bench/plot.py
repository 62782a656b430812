"""The picture: time per training step of LSTM stacks in Keras, ours and PyTorch."""

from deeprnn_keras.bench.case import Case
from deeprnn_keras.bench.goals import case_of
from deeprnn_keras.bench.summary import milliseconds
from deeprnn_keras.training.curve import MUTED_COLOR, TEXT_COLOR
from deeprnn_keras.training.files import atomic_write

BARS = {"keras": ("Keras", "#c3ccd5"), "DeepRNN": ("ours", "#c2410c"), "torch": ("PyTorch", "#9db8d2")}
THICKNESS = 0.27
LONGEST = 2.0  # a longer bar is cut here, and its number marked


def plot_steps(results, path):
    """Draws a group of bars per size, each bar's length its time over Keras', with its milliseconds; a PNG.

    A bar of more than twice Keras' time is cut there and marked with ».

    Sizes that lack Keras or ours are left out. Returns whether there was anything to draw.
    """
    groups = _groups(results)
    if not groups:
        return False
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 0.9 + 0.52 * len(groups)), dpi=120, layout="constrained")
    for place, (name, (label, color)) in enumerate(BARS.items()):
        bars = [(row, times[name]) for row, (_, times) in enumerate(groups) if name in times]
        heights = [row + (place - 1) * THICKNESS for row, _ in bars]
        widths = [time / groups[row][1]["keras"] for row, time in bars]
        axes.barh(
            heights,
            [min(width, LONGEST) for width in widths],
            0.92 * THICKNESS,
            color=color,
            label=label if bars else None,
        )
        for height, width, (_, time) in zip(heights, widths, bars, strict=True):
            _note(axes, width, height, time, name)
    _dress(axes, [_label(case) for case, _ in groups], results["about"]["device"])
    with atomic_write(path) as temporary_path:
        figure.savefig(temporary_path)
    pyplot.close(figure)
    return True


def _groups(results):
    """[(case, {name: milliseconds})] of trained LSTM stacks."""
    groups = []
    for key, found in results["cases"].items():
        case = case_of(key)
        times = {name: milliseconds(found.get(name)) for name in BARS}
        times = {name: time for name, time in times.items() if time is not None}
        if (case.cell, case.mode) == ("lstm", "train") and {"keras", "DeepRNN"} <= times.keys():
            groups.append((case, times))
    return sorted(groups, key=lambda group: group[0].place)


def _label(case: Case):
    layers = "layer" if case.num_layers == 1 else "layers"
    return f"{case.num_layers} {layers} of {case.units}\nn = {case.batch_size}, T = {case.steps}"


def _note(axes, width, height, time, name):
    number = (f"{time:,.0f} ms" if time >= 10 else f"{time:.1f} ms") + (" »" if width > LONGEST else "")
    ours = name == "DeepRNN"
    axes.annotate(
        number,
        (min(width, LONGEST), height),
        (3, -0.5),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=TEXT_COLOR if ours else MUTED_COLOR,
        fontweight="bold" if ours else "normal",
    )


def _dress(axes, labels, device):
    axes.set_yticks(range(len(labels)), labels, fontsize=8, color=TEXT_COLOR)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, max(1.12, axes.get_xlim()[1] * 1.08))
    axes.set_xlabel("time per training step, Keras = 1", color=TEXT_COLOR, fontsize=9)
    axes.set_title(f"Training an LSTM on {device}", loc="left", color=TEXT_COLOR, fontsize=11)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED_COLOR)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8, colors=MUTED_COLOR)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color="#e6eaee", linewidth=0.8)
    axes.figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper right", ncols=3, frameon=False, fontsize=8.5
    )
