"""`Case`: one row of the benchmark, and the grid of all cases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Self

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
NUM_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@dataclass(frozen=True)
class Case:
    """Stack of L layers of h units with inputs x (n, T, d), where d = h.

    Attributes:
        num_layers: Number of layers, L.
        units: Hidden units, h.
        batch_size: Batch size, n.
        steps: Number of time steps, T.
        cell: "lstm", "gru", or "rnn".
        mode: "train" for one training update, "infer" for one prediction.

    >>> from deeprnn_keras.bench.case import Case
    >>> Case.from_size("2x256x32x35", "lstm", "train").key
    'lstm 2x256x32x35 train'
    """

    num_layers: int
    units: int
    batch_size: int
    steps: int
    cell: str = "lstm"
    mode: str = "train"

    def __post_init__(self) -> None:
        for name in ("num_layers", "units", "batch_size", "steps"):
            checks.positive_int(name, getattr(self, name))
        checks.one_of("cell", self.cell, CELLS)
        checks.one_of("mode", self.mode, MODES)

    @classmethod
    def from_size(cls, size: str, cell: str = "lstm", mode: str = "train") -> Self:
        """Return the case with a size in the format 'LxhxnxT'."""
        if not isinstance(size, str) or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){3}", size):
            raise ValueError(f"size must be LxhxnxT, four positive integers, for example 2x256x32x35, got {size!r}")
        num_layers, units, batch_size, steps = map(int, size.split("x"))
        return cls(num_layers, units, batch_size, steps, cell, mode)

    @classmethod
    def from_key(cls, key: str) -> Self:
        """Return the case with this `key`."""
        cell, size, mode = key.split()
        return cls.from_size(size, cell, mode)

    @property
    def size(self) -> str:
        """Size in the format 'LxhxnxT'."""
        return f"{self.num_layers}x{self.units}x{self.batch_size}x{self.steps}"

    @property
    def key(self) -> str:
        """Key of the case in results files, for example 'lstm 2x256x32x35 train'."""
        return f"{self.cell} {self.size} {self.mode}"

    @property
    def num_gates(self) -> int:
        """Number of gates G: the matrix products of a time step have width G h."""
        return NUM_GATES[self.cell]

    @property
    def operations(self) -> int:
        """Floating-point operations of the matrix products that `with_products` lists."""
        products = 6 * self.num_layers - 1 if self.mode == "train" else 2 * self.num_layers
        return 2 * products * self.batch_size * self.steps * self.num_gates * self.units**2

    @property
    def sort_key(self) -> tuple[int, int]:
        """Position in tables: by cell, then by size in the order of the grid."""
        sizes = [*SIZES, self.size]
        return CELLS.index(self.cell), sizes.index(self.size)

    def replace(self, **values: Any) -> Case:
        """Return a copy with new values for some fields."""
        return replace(self, **values)


def grid(sizes: Sequence[str] = SIZES, cells: Sequence[str] = CELLS, modes: Sequence[str] = MODES) -> list[Case]:
    """Return all combinations of cell, mode, and size, without duplicates.

    >>> from deeprnn_keras.bench.case import grid
    >>> len(grid())
    60
    """
    cases = [Case.from_size(size, cell, mode) for cell, mode, size in product(cells, modes, sizes)]
    return list(dict.fromkeys(cases))
