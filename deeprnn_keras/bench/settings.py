"""`Settings`: cases, implementations, and durations of a benchmark run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from deeprnn_keras import checks
from deeprnn_keras._types import Config
from deeprnn_keras.bench.case import Case, grid
from deeprnn_keras.bench.implementations import COMPARED, LOWER_BOUND, MEMORY_COMPARED

LONG_SEQUENCES = Case.from_size("2x512x32x1024", "lstm", "train")
EPOCH_COMPARED = ("keras", "torch", "DeepRNN")
SELECTABLE = (*COMPARED, "DeepRNN remat")


@dataclass(frozen=True)
class Settings:
    """Cases, implementations, and durations of a benchmark run.

    Attributes:
        cases: Cases of the grid.
        implementations: Names of the implementations. The matrix products alone are not listed: they are always
            measured.
        rounds: Number of rounds per case.
        seconds: Approximate duration of the measurement of one implementation in a round. At least 3 steps are run.
        seed: Random seed of weights and data.
        memory: Case whose training memory is measured, or None.
        epoch: Model and recipe of the training epochs, see `epoch.py`, or None.
        epoch_updates: Maximum number of updates of each of the two epochs.
    """

    cases: tuple[Case, ...] = tuple(grid())
    implementations: tuple[str, ...] = COMPARED
    rounds: int = 5
    seconds: float = 0.6
    seed: int = 0
    memory: Case | None = LONG_SEQUENCES
    epoch: Config | None = None
    epoch_updates: int = 300

    def __post_init__(self) -> None:
        for name in ("rounds", "epoch_updates"):
            checks.positive_int(name, getattr(self, name))
        checks.positive("seconds", self.seconds)
        for name in self.implementations:
            checks.one_of("implementation", name, SELECTABLE)

    @property
    def grid_implementations(self) -> tuple[str, ...]:
        """Names of the implementations measured in the grid."""
        return (*self.implementations, LOWER_BOUND)

    @property
    def memory_implementations(self) -> tuple[str, ...]:
        """Names of the implementations whose memory is measured; `DeepRNN` is measured with and without remat."""
        return tuple(name for name in MEMORY_COMPARED if name.split()[0] in self.implementations)

    @property
    def epoch_implementations(self) -> tuple[str, ...]:
        """Names of the implementations that train on the text."""
        return tuple(name for name in EPOCH_COMPARED if name in self.implementations)

    def without(self, excluded: Mapping[str, str]) -> Settings:
        """Return a copy without some implementations.

        Args:
            excluded: {name: reason}.

        Raises:
            ValueError: If no implementation remains.
        """
        remaining = tuple(name for name in self.implementations if name not in excluded)
        if not remaining:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in excluded.items())
            raise ValueError(f"no implementation remains to be measured: {reasons}")
        return replace(self, implementations=remaining)
