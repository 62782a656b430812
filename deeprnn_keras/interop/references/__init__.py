"""References of `verify`: the runtimes of the sources, and interpreters of their documented equations in NumPy."""

from __future__ import annotations

import sys

from deeprnn_keras.interop.references.models import KerasReference
from deeprnn_keras.interop.references.torch_modules import TorchModuleReference
from deeprnn_keras.interop.source import Reference


def reference_of(value: object, return_sequences: bool = True) -> Reference | None:
    """Return the reference that runs a Keras or tf_keras model or a `torch.nn.Module`; None for any other object.

    A runtime that has not been imported cannot have made the object, and is not imported.

    Args:
        value: The object.
        return_sequences: True if a bare PyTorch RNN is to return all steps instead of the last states.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.nn.Module):
        return TorchModuleReference(value, return_sequences)
    for name in ("keras", "tf_keras"):
        library = sys.modules.get(name)
        if library is not None and isinstance(value, library.layers.Layer):
            return KerasReference(value, f"{name} {library.__version__}")
    return None
