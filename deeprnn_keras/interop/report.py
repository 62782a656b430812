"""`Report`: which array of a source becomes which weight of a Keras model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]
MAX_SHOWN = 50  # names of one kind in an error message
HEADER = ("source", "shape", "dtype", "weight", "shape", "change")


@dataclass(frozen=True)
class Entry:
    """One array of a source, and the weight that it becomes or contributes to.

    Attributes:
        source: Name of the array in the source: "lstm.weight_ih_l0", the path of an HDF5 data set, an ONNX initializer.
        shape: Its shape.
        dtype: Its data type: "float32", "bfloat16".
        target: Path of the weight in the Keras model: "lstm/forward_1/lstm_cell/kernel".
        target_shape: Shape of the weight.
        change: Conversion in words: "transposed, gates z, r, h"; "" if the array is copied.
    """

    source: str
    shape: Shape
    dtype: str
    target: str
    target_shape: Shape
    change: str = ""


@dataclass(frozen=True)
class Report:
    """Result of `interop.inspect`: what `interop.load` would build, and what the source lacks.

    Attributes:
        source: Path of the file, or a description of the object.
        kind: Kind of source: "PyTorch state dict", "Keras 2 HDF5 file", "ONNX file".
        layers: One line per layer of the model that `load` returns.
        entries: The arrays that are mapped.
        missing: Arrays that the layers need and the source does not contain.
        unused: Arrays of the source that no layer needs.
        misshaped: Arrays whose shape does not fit their weight, with both shapes.
        notes: Assumptions and conversions, one sentence each: the activation of a bare RNN, half precision.

    >>> from deeprnn_keras.interop import Entry, Report
    >>> entry = Entry("weight_ih_l0", (12, 2), "float32", "lstm/forward_1/lstm_cell/kernel", (2, 12), "transposed")
    >>> layers = ("DeepRNN(3, cell='lstm')",)
    >>> print(Report("a mapping", "PyTorch state dict", layers, (entry,), missing=("bias_ih_l0",)))
    Source: a mapping (PyTorch state dict)
    Layers: DeepRNN(3, cell='lstm')
    <BLANKLINE>
    source        shape    dtype    weight                           shape    change
    weight_ih_l0  (12, 2)  float32  lstm/forward_1/lstm_cell/kernel  (2, 12)  transposed
    <BLANKLINE>
    Missing: bias_ih_l0
    """

    source: str
    kind: str
    layers: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    misshaped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each kind of mismatch, "missing: a, b"; empty if `load` succeeds."""
        kinds = (("missing", self.missing), ("unused", self.unused), ("wrong shape", self.misshaped))
        return tuple(f"{kind}: {_shortened(names)}" for kind, names in kinds if names)

    def raise_problems(self) -> None:
        """Raise an error if the source does not fit the model.

        Raises:
            ValueError: If an entry is missing, unused, or misshaped; the message lists all of them.
        """
        if self.problems:
            raise ValueError(
                f"{self.source}: the entries of this {self.kind} do not fit the model; {'; '.join(self.problems)}; "
                "interop.inspect lists what is mapped to what"
            )

    def __str__(self) -> str:
        rows = [(one.source, one.shape, one.dtype, one.target, one.target_shape, one.change) for one in self.entries]
        parts = [
            [f"Source: {self.source} ({self.kind})", *_labeled("Layers", self.layers)],
            _table([HEADER, *(tuple(map(str, row)) for row in rows)]) if rows else [],
            [
                *_labeled("Missing", self.missing),
                *_labeled("Unused", self.unused),
                *_labeled("Wrong shape", self.misshaped),
                *_labeled("Note", self.notes),
            ],
        ]
        return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _labeled(label: str, lines: Iterable[str]) -> list[str]:
    blank = " " * (len(label) + 1)
    return [f"{blank if number else label + ':'} {line}" for number, line in enumerate(lines)]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _shortened(names: Sequence[str]) -> str:
    more = f", and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(names[:MAX_SHOWN]) + more
