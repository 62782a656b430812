"""`Source`: the contract of a recognized source of weights, the requests made to it, and its reference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deeprnn_keras.interop.report import Report

if TYPE_CHECKING:
    import keras

HEAD_BYTES = 4096


@dataclass(frozen=True)
class Content:
    """A source as it was passed, with the beginning of its file, by which it is recognized.

    Attributes:
        value: The object that was passed.
        path: The regular file, or None if `value` is not a path.
        head: The first bytes of the file; b"" if `value` is not a path.
    """

    value: object
    path: Path | None = None
    head: bytes = b""


@dataclass(frozen=True)
class Request:
    """Arguments of `interop.load`.

    Attributes:
        into: Model or layer that receives the weights, or None to build one.
        activation: Name of the activation of a recurrent layer whose source does not state it, or None.
        return_sequences: If True, a bare recurrent layer returns all steps.
        custom_objects: Classes of the caller by the names that the source uses.
    """

    into: keras.Layer | None = None
    activation: str | None = None
    return_sequences: bool = True
    custom_objects: Mapping[str, Any] = field(default_factory=dict)


class Reference(ABC):
    """Independent computation of the outputs of a source, with which `interop.verify` compares a model.

    Attributes:
        title: The runtime and its version: "PyTorch 2.13", "onnxruntime 1.32", "NumPy".
        batch_size: Batch size n that the source requires, or None for any.
        steps: Number of steps T that the source requires, or None for any.
    """

    title: str
    batch_size: int | None = None
    steps: int | None = None

    @abstractmethod
    def run(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the outputs for an input of the model.

        Args:
            x: (n, T, d), or (n, T) of ids.

        Returns:
            {name of the layer in the Keras model: output}; the output of the model is last.
        """


class Source(ABC):
    """A recognized source, opened. Arrays are read one at a time; their sizes are checked before allocation.

    No code of the source is run: neither pickles, nor lambdas, nor classes that the caller did not pass.

    Attributes:
        kind: Kind of source, for reports and messages: "PyTorch state dict".
        name: Path of the file, or a description of the object, for messages.
    """

    kind: str
    name: str

    @abstractmethod
    def inspect(self, request: Request) -> Report:
        """Return what `load` would map to what, without allocating weights."""

    @abstractmethod
    def load(self, request: Request) -> keras.Layer:
        """Return the model, or a built `DeepRNN` if the source is a bare recurrent network.

        Raises:
            ValueError: If entries are missing, unused, or misshaped; all are listed, see `Report.raise_problems`.
        """

    def reference(self, request: Request) -> Reference | None:
        """Return the runtime of the source, or a NumPy interpreter of its documented equations; None if neither exists.

        The default returns None.
        """
        return None
