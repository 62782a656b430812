"""`Case`: one line of the benchmark, and the grid of all lines."""

import re
from dataclasses import dataclass, replace
from itertools import product

from deeprnn_keras import checks

CELLS = ("lstm", "gru", "rnn")
MODES = ("train", "infer")
SIZES = (
    "1x128x32x64",
    "2x256x32x35",
    "2x256x32x128",
    "4x256x32x64",
    "8x256x32x64",
    "2x512x64x64",
    "2x1024x20x35",
    "2x64x256x32",
    "2x32x1024x35",
    "3x128x1x512",
)
QUICK_SIZES = ("1x128x32x64", "2x256x32x35", "2x64x256x32")
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@dataclass(frozen=True)
class Case:
    """A stack of L layers of h units that reads x (n, T, d), d = h.

    Attributes:
        num_layers, units, batch_size, steps: L, h, n, T.
        cell: "lstm", "gru" or "rnn".
        mode: "train" (one update) or "infer" (one prediction).

    >>> from deeprnn_keras.bench.case import Case
    >>> Case.of("2x256x32x35", "lstm", "train").key
    'lstm 2x256x32x35 train'
    """

    num_layers: int
    units: int
    batch_size: int
    steps: int
    cell: str = "lstm"
    mode: str = "train"

    def __post_init__(self):
        for name in ("num_layers", "units", "batch_size", "steps"):
            checks.positive_int(name, getattr(self, name))
        checks.one_of("cell", self.cell, CELLS)
        checks.one_of("mode", self.mode, MODES)

    @classmethod
    def of(cls, size, cell="lstm", mode="train"):
        """From 'LxhxnxT'."""
        if not isinstance(size, str) or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){3}", size):
            raise ValueError(f"size must be LxhxnxT, four positive integers, for example 2x256x32x35, got {size!r}")
        return cls(*map(int, size.split("x")), cell, mode)

    @property
    def size(self):
        """'LxhxnxT'."""
        return f"{self.num_layers}x{self.units}x{self.batch_size}x{self.steps}"

    @property
    def key(self):
        """What names the case in files."""
        return f"{self.cell} {self.size} {self.mode}"

    @property
    def gates(self):
        """G: the width of a step's product is G h."""
        return GATES[self.cell]

    @property
    def operations(self):
        """Floating-point operations of the matrix products of a step, those that `with_products` lists."""
        products = 6 * self.num_layers - 1 if self.mode == "train" else 2 * self.num_layers
        return 2 * products * self.batch_size * self.steps * self.gates * self.units**2

    @property
    def place(self):
        """Where the case stands in a table: by cell, then by size as in the grid, whatever was measured first."""
        sizes = [*SIZES, self.size]
        return CELLS.index(self.cell), sizes.index(self.size)

    def changed(self, **values):
        """This case with other values."""
        return replace(self, **values)


def grid(sizes=SIZES, cells=CELLS, modes=MODES):
    """All cases, each size, cell and mode once, in the order given.

    >>> from deeprnn_keras.bench.case import grid
    >>> len(grid())
    60
    """
    cases = [Case.of(size, cell, mode) for cell, mode, size in product(cells, modes, sizes)]
    return list(dict.fromkeys(cases))
