"""`ServingCase`: one row of the benchmark of streams, and its settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import Self

from deeprnn_keras import checks

IMPLEMENTATIONS = ("stream", "torch", "onnxruntime")
PACKAGES = {"stream": "numpy", "torch": "torch", "onnxruntime": "onnxruntime"}
STACKS = ("1x64", "2x64", "4x64", "1x128", "2x128", "4x128", "2x256", "4x256", "1x512", "2x512", "4x512", "2x1024")
QUICK_STACKS = ("2x64", "2x256", "2x512")
BATCH_SIZES = (1, 64)
SIZES = tuple(f"{stack}x{n}" for stack, n in product(STACKS, BATCH_SIZES))
QUICK_SIZES = tuple(f"{stack}x1" for stack in QUICK_STACKS)
NUM_GATES = 4


@dataclass(frozen=True)
class ServingCase:
    """One step of an LSTM of L layers of h units with d = h inputs and a head with one output, for n sequences.

    Attributes:
        num_layers: Number of layers, L.
        units: Hidden units, h.
        batch_size: Batch size, n.

    >>> from deeprnn_keras.bench.serving_case import ServingCase
    >>> case = ServingCase.from_size("2x256x1")
    >>> case.size, case.weight_bytes
    ('2x256x1', 4195328)
    """

    num_layers: int
    units: int
    batch_size: int

    @classmethod
    def from_size(cls, size: str) -> Self:
        """Return the case with a size in the format 'LxhxN'."""
        if not isinstance(size, str) or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){2}", size):
            raise ValueError(f"size must be Lxhxn, three positive integers, for example 2x256x1, got {size!r}")
        return cls(*map(int, size.split("x")))

    @property
    def size(self) -> str:
        """Size in the format 'Lxhxn'."""
        return f"{self.num_layers}x{self.units}x{self.batch_size}"

    @property
    def weight_bytes(self) -> int:
        """Bytes of the matrices that each step reads."""
        return 4 * (2 * NUM_GATES * self.num_layers * self.units**2 + self.units)


@dataclass(frozen=True)
class ServingSettings:
    """Cases, implementations, and durations.

    Attributes:
        cases: Cases to measure.
        implementations: Names from `IMPLEMENTATIONS`.
        threads: Numbers of threads; each implementation is measured with each of them.
        rounds: Number of rounds per case.
        seconds: Duration of the measurement of one implementation in a round.
        seed: Random seed of weights and inputs.
    """

    cases: tuple[ServingCase, ...]
    implementations: tuple[str, ...] = IMPLEMENTATIONS
    threads: tuple[int, ...] = (1, 2)
    rounds: int = 5
    seconds: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        checks.positive_int("rounds", self.rounds)
        checks.positive("seconds", self.seconds)
        for count in self.threads:
            checks.positive_int("threads", count)
        for name in self.implementations:
            checks.one_of("implementation", name, IMPLEMENTATIONS)

    @property
    def names(self) -> list[str]:
        """Names of all measurements of a case, for example "torch, 2 threads"."""
        return [measured_name(one, count) for count in self.threads for one in self.implementations]


def measured_name(implementation: str, threads: int) -> str:
    """Return the name of an implementation with a number of threads."""
    return f"{implementation}, {threads} thread{'s' if threads > 1 else ''}"
