"""`Settings`: what is measured, and how long."""

from dataclasses import dataclass, replace

from deeprnn_keras import checks
from deeprnn_keras.bench.case import Case, grid
from deeprnn_keras.bench.implementations import COMPARED, FLOOR, IN_MEMORY

LONG_SEQUENCES = Case.of("2x512x32x1024", "lstm", "train")


@dataclass(frozen=True)
class Settings:
    """What is measured, and how long.

    Attributes:
        cases: of the grid.
        implementations: names, the matrix products alone left out: they are always measured.
        rounds: turns of each implementation per case.
        seconds: about the length of a turn; it has at least three steps.
        seed: of weights and data.
        memory: the `Case` in whose training memory is measured, or None.
        epoch: the model and recipe of the epoch of `fit`, see `epoch.py`, or None.
        epoch_updates: of each of its two epochs, where the text has more.
    """

    cases: tuple = tuple(grid())
    implementations: tuple = COMPARED
    rounds: int = 5
    seconds: float = 0.6
    seed: int = 0
    memory: Case | None = LONG_SEQUENCES
    epoch: dict | None = None
    epoch_updates: int = 300

    def __post_init__(self):
        for name in ("rounds", "epoch_updates"):
            checks.positive_int(name, getattr(self, name))
        checks.positive("seconds", self.seconds)
        for name in self.implementations:
            checks.one_of("implementation", name, IN_GRID)

    @property
    def in_grid(self):
        """Names of those that the grid measures."""
        return (*self.implementations, FLOOR)

    @property
    def in_memory(self):
        """Names of those whose memory is measured: where `DeepRNN` is among them, with both of its modes."""
        return tuple(name for name in IN_MEMORY if name.split()[0] in self.implementations)

    @property
    def in_epoch(self):
        """Names of those that train on the text."""
        return tuple(name for name in ("keras", "torch", "DeepRNN") if name in self.implementations)

    def without(self, names):
        """These settings without some implementations; a ValueError if none is left."""
        left = tuple(name for name in self.implementations if name not in names)
        if not left:
            raise ValueError(f"nothing is left to measure: {'; '.join(f'{name}: {names[name]}' for name in names)}")
        return replace(self, implementations=left)


IN_GRID = (*COMPARED, "DeepRNN lean")
