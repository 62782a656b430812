"""`KernelReport`: the kernels of a model's recurrent layers, as data and as text."""

import textwrap
from dataclasses import dataclass
from itertools import groupby

WIDTH = 100
GPU, CPU = "on a GPU", "on a CPU"
GAP = 2
LABEL = len(GPU) + GAP
NOTHING = "no recurrent layer"
IN_WORDS = {"cudnn": "cuDNN", "xla": "XLA", "loop": "Keras' loop"}


@dataclass(frozen=True)
class KernelRow:
    """One recurrent layer.

    Attributes:
        path: the names that lead to it, "encoder/deep_rnn/forward_1".
        type: such as "deeprnn_keras.LSTM", or "keras.layers.RNN(LSTMCell)" for a cell in Keras' general layer.
        kernel: what runs it on this machine: "cudnn", "xla", "loop"; "own" where its class brings an `inner_loop`
            of its own; "error" where it requests what is not supported.
        reasons: why this one and no faster one.
        gpu_kernel, gpu_reasons: the same where there is a GPU.
    """

    path: str
    type: str
    kernel: str
    reasons: tuple
    gpu_kernel: str
    gpu_reasons: tuple

    def explanation(self):
        """All but the path, what neighbours in the table may share."""
        return self.type, self.kernel, self.reasons, self.gpu_kernel, self.gpu_reasons


class KernelReport(list):
    """A list of `KernelRow`; printed, a table.

    Args:
        rows: the rows.
        here: what the column of `kernel` is called.
    """

    def __init__(self, rows=(), here="here"):
        super().__init__(rows)
        self.here = here

    def __str__(self):
        return self.text()

    __repr__ = __str__

    def text(self, width=WIDTH):
        """The table, no line longer than `width` unless a name is; neighbours with one explanation share it."""
        if not self:
            return NOTHING
        first = max(len(self.here), *(len(row.kernel) for row in self)) + GAP
        names = max(len(row.path) for row in self)
        if first + LABEL + names + GAP + max(len(row.type) for row in self) > width:
            names = 0  # the type follows the path, not in a column of its own
        lines = [f"{self.here:<{first}}{GPU:<{LABEL}}recurrent layer"]
        for _, alike in groupby(self, key=KernelRow.explanation):
            lines.append("")
            for row in (rows := list(alike)):
                lines += _wrapped(
                    f"{row.kernel:<{first}}{row.gpu_kernel:<{LABEL}}", f"{row.path:<{names}}  {row.type}", width
                )
            for label, reason in self._labelled(rows[0]):
                lines += _wrapped(f"{'':<{first}}{label:<{LABEL}}", reason, width)
        return "\n".join(lines)

    def _labelled(self, row):
        """[(label, reason)]: where, at the first of the reasons; one list where a GPU changes nothing."""
        lists = {self.here: row.reasons, GPU: row.gpu_reasons}
        if (row.kernel, row.reasons) == (row.gpu_kernel, row.gpu_reasons):
            lists = {"both": row.reasons}
        return [
            ("" if index else label, reason) for label, reasons in lists.items() for index, reason in enumerate(reasons)
        ]

    def summary(self):
        """One line for all layers, such as "on a GPU cuDNN; on a CPU the fused kernel", with reasons for a loop."""
        alike = {}
        for row in self:
            gpu, here = _in_words(row.gpu_kernel, row.gpu_reasons), _in_words(row.kernel, row.reasons)
            alike.setdefault(f"{GPU} {gpu}; {self.here} {here}", []).append(row.path)
        if len(alike) == 1:
            return next(iter(alike))
        return ". ".join(f"{', '.join(paths)}: {text}" for text, paths in alike.items()) or NOTHING


def _in_words(kernel, reasons):
    why = "" if kernel in ("cudnn", "xla") else f" ({'; '.join(reasons)})"
    return IN_WORDS.get(kernel, kernel) + why


def _wrapped(head, text, width):
    """Lines that begin with `head` and go on two columns behind it; a name stays whole, so that it can be copied."""
    behind = " " * (len(head) + GAP)
    return textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=behind, break_long_words=False, break_on_hyphens=False
    )
