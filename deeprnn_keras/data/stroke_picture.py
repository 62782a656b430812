"""`draw_strokes`: save pen strokes as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras._types import ArrayLike, PathLike
from deeprnn_keras.data.values import numeric_array
from deeprnn_keras.writing import atomic_write

FORMATS = (".png", ".svg", ".pdf")
HEIGHT = 1.0  # inches of a line of handwriting
MARGIN = 0.05  # as a fraction of the height
MAX_WIDTH = 60.0  # inches


def draw_strokes(strokes: ArrayLike, path: PathLike, *, line_width: float = 1.2) -> None:
    """Save pen strokes as a picture, black on white.

    Args:
        strokes: Offsets and ends of strokes, (T, 3), with y pointing down; see `read_strokes`.
        path: Path of the .png, .svg, or .pdf file, which is overwritten if it exists.
        line_width: Width of the pen in points.

    Raises:
        ValueError: If the strokes have another shape or are not finite, or the format is not supported.

    >>> import pathlib, tempfile
    >>> from deeprnn_keras.data import draw_strokes, synthetic_strokes
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "line.png"
    >>> draw_strokes(synthetic_strokes(train=1, test=1).train.targets[0], path)
    """
    strokes, path = numeric_array("strokes", strokes), Path(path)
    line_width = checks.positive("line_width", line_width)
    if strokes.ndim != 2 or strokes.shape[1:] != (3,) or not len(strokes) or not np.isfinite(strokes).all():
        raise ValueError(f"strokes must be finite numbers of shape (T, 3) with T at least 1, got shape {strokes.shape}")
    if path.suffix not in FORMATS:
        raise ValueError(f"path must end with {', '.join(FORMATS)}, got {str(path)!r}")
    from matplotlib.figure import Figure

    points = np.cumsum(strokes[:, :2], axis=0, dtype="float64")
    extent = np.maximum(points.max(0) - points.min(0), 1e-9)
    width = float(np.clip(HEIGHT * extent[0] / extent[1], HEIGHT, MAX_WIDTH))
    figure = Figure(figsize=(width, HEIGHT), dpi=150)
    axes = figure.add_axes((0, 0, 1, 1))
    for stroke in _pieces(points, strokes[:, 2] > 0.5):
        axes.plot(stroke[:, 0], -stroke[:, 1], "k-", linewidth=line_width, solid_capstyle="round", marker="")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(MARGIN)
    axes.axis("off")
    with atomic_write(path) as temporary_path:
        figure.savefig(temporary_path, format=path.suffix[1:], facecolor="white")


def _pieces(points: np.ndarray, ends: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the points of each stroke; a single point is drawn as a dot."""
    for stroke in np.split(points, np.flatnonzero(ends) + 1):
        if len(stroke):
            yield stroke if len(stroke) > 1 else np.repeat(stroke, 2, axis=0)
