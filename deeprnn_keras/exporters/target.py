"""`Target`: the contract of a kind of file to which programs are exported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np

from deeprnn_keras import checks
from deeprnn_keras.extras import DISTRIBUTIONS
from deeprnn_keras.program.program import Program

QUANTIZATIONS = ("int8",)

MAX_BYTES = 2**31 - 2**20
"""Largest size of the weights of a file of a format, such as protobuf and flatbuffers, that allows 2 GiB in all."""


@dataclass(frozen=True)
class Options:
    """Options of an export.

    Attributes:
        streaming: The file executes one step; its states are inputs and outputs, or are kept by its runtime.
        batch_size: Batch size of the file, or None for any, where the target allows it.
        quantize: "int8" for weights of 8 bits, or None.

    Raises:
        ValueError: If an option is out of range.
    """

    streaming: bool = False
    batch_size: int | None = None
    quantize: str | None = None

    def __post_init__(self) -> None:
        if self.quantize is not None and self.quantize not in QUANTIZATIONS:
            supported = ", ".join(map(repr, QUANTIZATIONS))
            raise ValueError(f"quantize must be {supported}, or None, got {self.quantize!r}")
        checks.store(
            self,
            streaming=checks.flag("streaming", self.streaming),
            batch_size=checks.positive_int_or_none("batch_size", self.batch_size),
        )


class Runner(ABC):
    """An exported file, loaded in the runtime of its target.

    The order of inputs and outputs is that of the program. Ids are int64, other arrays float32.
    """

    @abstractmethod
    def run(self, inputs: Sequence[np.ndarray], lengths: np.ndarray | None = None) -> list[np.ndarray]:
        """Return the outputs for whole sequences from the initial states.

        Args:
            inputs: (n, T, d), or (n, T) of ids.
            lengths: Numbers of steps (n,) before the padding, for a file that reads them; None for no padding.

        Returns:
            (n, T, width), or (n, width) after a `Last`.
        """

    @abstractmethod
    def step(
        self, inputs: Sequence[np.ndarray], states: Mapping[str, np.ndarray] | None = None
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """Return the outputs and the states after one step.

        Args:
            inputs: (n, d), or (n,) of ids.
            states: The states before the step, as this method returned them; None before the first step.

        Returns:
            The outputs, (n, width) each, and the states by name. States that the runtime keeps are not returned.
        """

    def close(self) -> None:
        """Release the file. The default does nothing."""
        return


def with_lengths(inputs: Sequence[np.ndarray], lengths: np.ndarray | None) -> list[np.ndarray]:
    """Return the inputs of a file that reads lengths; without padding, all are T."""
    n, steps = inputs[0].shape[:2]
    return [*inputs, np.full(n, steps) if lengths is None else lengths]


class Target(ABC):
    """A kind of file to which programs are exported. Instances have no state.

    Attributes:
        name: Name of the format, for `export(format=...)`.
        title: Name in messages and reports.
        suffix: Suffix of the file, with the dot; "" for a directory.
        extra: Extra of deeprnn-keras that installs `packages` and `runtime_packages`, or None.
        packages: Modules that `write` imports.
        runtime_packages: Modules that `runner` imports.
        quantizations: Supported values of `Options.quantize`.
        default_batch_size: Batch size of a file whose options have none; None for any.
        always_streams: The file executes both whole sequences and steps, whatever `Options.streaming` is.
        reads_lengths: The files of models with a mask have the input of lengths of `padding.lengths_name`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    suffix: ClassVar[str]
    extra: ClassVar[str | None] = None
    packages: ClassVar[tuple[str, ...]] = ()
    runtime_packages: ClassVar[tuple[str, ...]] = ()
    quantizations: ClassVar[tuple[str, ...]] = ()
    default_batch_size: ClassVar[int | None] = None
    always_streams: ClassVar[bool] = False
    reads_lengths: ClassVar[bool] = False

    @abstractmethod
    def refusal(self, program: Program, options: Options) -> str | None:
        """Return the reason why the format does not support a program, or None if it does.

        The reason names the operation and the nearest change that would help. Quantizations that are not in
        `quantizations`, and streaming of a program that looks ahead, are refused before this method is called.
        """

    def file_refusal(self, path: Path) -> str | None:
        """Return why the name of a file is not supported, or None if it is. The default supports all names."""
        return None

    @abstractmethod
    def write(self, program: Program, path: Path, options: Options) -> list[Path]:
        """Write the file, and those that belong to it into the same directory, and return their paths, `path` first.

        `path` is in a temporary directory that contains no other files; the names of the files are final.
        """

    def replacement_refusal(self, path: Path) -> str | None:
        """Return why an existing file is not replaced, or None. The default replaces all files."""
        return None

    def companions(self, path: Path) -> list[Path]:
        """Return the paths that `write` writes besides `path`. The default has none."""
        return []

    @abstractmethod
    def runner(self, path: Path, program: Program, options: Options) -> Runner:
        """Load a written file in the runtime of the target."""

    @abstractmethod
    def operators(self, path: Path, program: Program, options: Options) -> dict[str, int]:
        """Return {type of operator: count} in a written file."""

    def notes(self, program: Program, options: Options) -> list[str]:
        """Return one sentence for each operation that is not a fused operator of the target. The default has none."""
        return []

    def missing(self, verify: bool) -> str | None:
        """Return which package or program is missing and how to install it, or None.

        Args:
            verify: The file is to be executed, too.
        """
        names = (*self.packages, *(self.runtime_packages if verify else ()))
        absent = [name for name in names if not _is_installed(name)]
        if not absent:
            return None
        packages = ", ".join(DISTRIBUTIONS.get(name.partition(".")[0], name.partition(".")[0]) for name in absent)
        skip = "" if set(absent) & set(self.packages) else ", or pass verify=False to write the file without running it"
        install = f"pip install 'deeprnn-keras[{self.extra}]'" if self.extra else f"pip install {packages}"
        return f"export to {self.title} requires {packages}; install it with: {install}{skip}"


def size_refusal(program: Program, title: str) -> str | None:
    """Return why a format whose files hold at most 2 GiB does not support a program, or None."""
    size = sum(array.nbytes for array in program.weights.values())
    if size <= MAX_BYTES:
        return None
    return f"its weights have {size:,} bytes, and one {title} file holds at most 2 GiB; use fewer units"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package of a submodule is missing
        return False
