"""Printed scores of training runs and trained models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.generation import Score


def print_score(score: Mapping[str, float | int], console: Console) -> None:
    """Print `{metric: value}`, one metric per line."""
    for metric, value in score.items():
        text = f"{value:.4f}" if isinstance(value, float) else f"{value:,}"
        console.print(f"[bold]{metric.replace('_', ' '):>14}[/]  {text}")


def score_table(
    score: Score,
    references: Sequence[tuple[str, float]],
    name: str,
    text: str = "validation text",
    unit: str = "character",
) -> Table:
    """Return a table of the bits per symbol of a model and of compressors, sorted from worst to best.

    Args:
        score: Score of the model.
        references: `(name, bits per symbol)` of compressors on the same text.
        name: Name of the model.
        text: Name of the text.
        unit: "character", "word", or "byte".
    """
    table = Table(title=f"{escape(text)}, {score.count:,} {unit}s", title_style="bold", title_justify="left")
    table.add_column("")
    for heading in (f"bits per {unit}", "perplexity", f"nats per {unit}"):
        table.add_column(heading, justify="right")
    model = (name, score.bits_per_character)
    for label, bits in sorted([*references, model], key=lambda row: -row[1]):
        perplexity = 2**bits if bits < 1000 else math.inf
        row = (f"{bits:.4f}", f"{perplexity:.3f}", f"{bits * math.log(2):.4f}")
        table.add_row(escape(label), *row, style="bold green" if (label, bits) == model else None)
    if references:
        table.caption = "The compressors see only this text; the model was trained on the training text before."
    table.caption_justify = "left"
    return table
