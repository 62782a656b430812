"""Report of `explain_kernels`: the implementations of a model's recurrent layers, as data and as text."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import groupby

WIDTH = 100
ON_GPU, ON_CPU = "on a GPU", "on a CPU"
GAP = 2
LABEL_WIDTH = len(ON_GPU) + GAP
NO_LAYER = "no recurrent layer"
DISPLAY_NAMES = {
    "cudnn": "cuDNN",
    "native": "native",
    "scan": "scan",
    "linear_scan": "linear scan",
    "xla": "XLA",
    "loop": "Keras' loop",
}
FASTEST = ("cudnn", "native")


@dataclass(frozen=True)
class KernelRow:
    """One recurrent layer.

    Attributes:
        path: Path of the layer in the model, for example "encoder/deep_rnn/forward_1".
        type: Class of the layer, for example "deeprnn_keras.LSTM", or "keras.layers.RNN(LSTMCell)" for a cell in
            Keras' general layer.
        kernel: Implementation that runs it on this machine: "cudnn", "native", "scan", "linear_scan", "xla", or "loop";
            "custom" if its class defines an `inner_loop`; "error" if it requests an implementation that is not
            supported.
        reasons: Reasons why no faster implementation is used.
        gpu_kernel: Implementation on a machine with a GPU.
        gpu_reasons: Reasons for `gpu_kernel`.
    """

    path: str
    type: str
    kernel: str
    reasons: tuple[str, ...]
    gpu_kernel: str
    gpu_reasons: tuple[str, ...]

    def explanation(self) -> Hashable:
        """Return all fields except the path; adjacent rows with the same explanation share one list of reasons."""
        return self.type, self.kernel, self.reasons, self.gpu_kernel, self.gpu_reasons


class KernelReport(list[KernelRow]):
    """List of `KernelRow` that prints as a table.

    Args:
        rows: The rows.
        here: Heading of the column of `kernel`.
    """

    def __init__(self, rows: Iterable[KernelRow] = (), here: str = "here") -> None:
        super().__init__(rows)
        self.here = here

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def text(self, width: int = WIDTH) -> str:
        """Return the table; no line exceeds `width` unless a name does."""
        if not self:
            return NO_LAYER
        first = max(len(self.here), *(len(row.kernel) for row in self)) + GAP
        path_width = max(len(row.path) for row in self)
        if first + LABEL_WIDTH + path_width + GAP + max(len(row.type) for row in self) > width:
            path_width = 0  # the type follows the path directly instead of in its own column
        lines = [f"{self.here:<{first}}{ON_GPU:<{LABEL_WIDTH}}recurrent layer"]
        for _, group in groupby(self, key=KernelRow.explanation):
            rows = list(group)
            lines.append("")
            for row in rows:
                kernels = f"{row.kernel:<{first}}{row.gpu_kernel:<{LABEL_WIDTH}}"
                lines += _wrap(kernels, f"{row.path:<{path_width}}  {row.type}", width)
            for label, reason in self._labeled_reasons(rows[0]):
                lines += _wrap(f"{'':<{first}}{label:<{LABEL_WIDTH}}", reason, width)
        return "\n".join(lines)

    def _labeled_reasons(self, row: KernelRow) -> list[tuple[str, str]]:
        """Return [(label, reason)].

        The label is the machine of the first of its reasons, "both" if they are the same with and without a GPU, and
        empty for each further reason.
        """
        reasons_by_label = {self.here: row.reasons, ON_GPU: row.gpu_reasons}
        if (row.kernel, row.reasons) == (row.gpu_kernel, row.gpu_reasons):
            reasons_by_label = {"both": row.reasons}
        return [
            ("" if index else label, reason)
            for label, reasons in reasons_by_label.items()
            for index, reason in enumerate(reasons)
        ]

    def summary(self) -> str:
        """Return one line, for example "on a GPU cuDNN; on a CPU native".

        The reasons follow for implementations that are not the fastest of their device.
        """
        paths_by_text: dict[str, list[str]] = {}
        for row in self:
            gpu, here = _describe(row.gpu_kernel, row.gpu_reasons), _describe(row.kernel, row.reasons)
            paths_by_text.setdefault(f"{ON_GPU} {gpu}; {self.here} {here}", []).append(row.path)
        if len(paths_by_text) == 1:
            return next(iter(paths_by_text))
        return ". ".join(f"{', '.join(paths)}: {text}" for text, paths in paths_by_text.items()) or NO_LAYER


def _describe(kernel: str, reasons: Iterable[str]) -> str:
    explanation = "" if kernel in FASTEST else f" ({'; '.join(reasons)})"
    return DISPLAY_NAMES.get(kernel, kernel) + explanation


def _wrap(head: str, text: str, width: int) -> list[str]:
    """Return lines that begin with `head` and continue with a hanging indent; names are not broken."""
    indent = " " * (len(head) + GAP)
    return textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
