"""The learning curve as a picture."""

import math

from deeprnn_keras.training.files import atomic_write

TEXT_COLOR, MUTED_COLOR, TRAIN_COLOR, VALIDATION_COLOR = "#22303c", "#7b8794", "#9db8d2", "#c2410c"


def plot_curve(record, path, title, references=(), final=None, unit="character"):
    """Draws bits per character against updates, as a PNG.

    Args:
        record: a `Record`: `steps` [(update, nats)] and `epochs` [{"update", "validation", ...}].
        path: of the PNG.
        title: a line above the picture.
        references: [(name, bits per character)] drawn as horizontal lines.
        final: bits per character of the finished model on the validation text, or None.
        unit: what a symbol is, where it is no character.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), dpi=120, layout="constrained")
    bits = 1 / math.log(2)
    if record.steps:
        updates, nats = zip(*record.steps, strict=True)
        axes.plot(updates, [bits * value for value in nats], color=TRAIN_COLOR, linewidth=1.2, label="training windows")
    if record.epochs:
        updates = [epoch["update"] for epoch in record.epochs]
        values = [bits * epoch["validation"] for epoch in record.epochs]
        axes.plot(updates, values, "o-", color=VALIDATION_COLOR, markersize=5, label="validation windows")
    ends = [value for _, value in references]
    end = max([updates[-1] if record.steps or record.epochs else 1, 1])
    for name, value in references:
        axes.axhline(value, color=MUTED_COLOR, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.annotate(
            f"{name} {value:.2f}",
            (1, value),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            color=MUTED_COLOR,
            fontsize=9,
        )
    if final is not None:
        ends.append(final)
        axes.plot(
            [end],
            [final],
            "*",
            color=TEXT_COLOR,
            markersize=13,
            clip_on=False,
            zorder=5,
            label=f"validation text, with context: {final:.3f}",
        )
    seen = [bits * nats for _, nats in record.steps] + [bits * epoch["validation"] for epoch in record.epochs]
    lowest = min(ends + seen, default=0)
    axes.set(
        xlabel="updates",
        ylabel=f"bits per {unit}",
        xlim=(0, end * 1.02),
        ylim=(lowest - 0.15, max([3.5, *ends]) + 0.1 if seen else None),
    )
    axes.set_title(title, loc="left", color=TEXT_COLOR, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6eaee", linewidth=0.8)
    if seen:
        axes.legend(frameon=False, loc="upper right")
    with atomic_write(path) as temporary_path:
        figure.savefig(temporary_path)
    pyplot.close(figure)
