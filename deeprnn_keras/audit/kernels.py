"""`explain_kernels`: report which implementation runs each recurrent layer of a model, and why."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from deeprnn_keras import _compat
from deeprnn_keras._types import CellSpec
from deeprnn_keras.audit.find_layers import recurrent_layers
from deeprnn_keras.audit.kernel_report import ON_CPU, KernelReport, KernelRow
from deeprnn_keras.audit.planned_kernels import planned_rows
from deeprnn_keras.kernels import implementations
from deeprnn_keras.kernels.contract import Machine
from deeprnn_keras.kernels.selection import TENSORFLOW_ONLY, Choice

if TYPE_CHECKING:
    import keras


FAST = ("cudnn", "native", "scan", "linear_scan", "xla")


class HasRecurrences(Protocol):
    """Configuration of a model that has not been built, for example `zoo.info(name)`."""

    def recurrences(self) -> list[tuple[str, CellSpec, Any]]:
        """Return (path, cell, activation) of each recurrent layer."""
        ...


def explain_kernels(model: keras.layers.Layer | HasRecurrences) -> KernelReport:
    """Report which implementation runs each recurrent layer of a model, and what rules out a faster one.

    Each layer has one entry for this machine and one for a machine with a GPU. The implementations are "cudnn" (of
    NVIDIA, on a GPU), "native", "scan", and "xla" (of this package, on a CPU), "linear_scan" (of this package, on any
    device), and "loop" (Keras' loop over the steps); all but the loop compute the sequence as one operation. Layers are
    found in nested models, in wrappers (`Bidirectional`), in a `DeepRNN`, and in lists; a shared layer is listed once.

    For layers of this package, every reason against a faster implementation is listed; for stock layers also what the
    layer of the same name in `deeprnn_keras` would use. Masks are not considered, since they depend on the data: on
    cuDNN, stock layers raise an error for a mask that is not right-padded; layers of this package support it.

    Args:
        model: Keras model or layer, built or not; or the configuration of a zoo model, `zoo.info(name)`. For a
            configuration nothing is built, neither Keras nor TensorFlow is imported, and `kernel` refers to the CPU.

    Returns:
        `KernelReport`, a list of rows with `path`, `type`, `kernel`, `reasons`, `gpu_kernel`, and `gpu_reasons` that
        prints as a table. A layer that requests an unsupported implementation has the kernel "error" and the error
        message as its reason.

    Raises:
        ValueError: If `model` is neither.

    >>> import keras
    >>> from deeprnn_keras import GRU, explain_kernels
    >>> model = keras.Sequential([GRU(8, reset_after=False, recurrent_dropout=0.2, name="gru")])
    >>> row = explain_kernels(model)[0]
    >>> row.path, row.type, row.gpu_kernel
    ('gru', 'deeprnn_keras.GRU', 'loop')
    >>> row.gpu_reasons[0]
    "reset_after=False: cuDNN's GRU applies the reset gate after the product"
    """
    if _is_layer(model):
        with_remat = _layers_with_remat(model)
        return KernelReport(_row(path, layer, id(layer) in with_remat) for path, layer in recurrent_layers(model))
    if hasattr(model, "recurrences"):
        return KernelReport(planned_rows(model.recurrences()), ON_CPU)
    raise ValueError(f"model must be a Keras model or layer, or zoo.info(name), got {model!r}")


def _is_layer(model: object) -> bool:
    keras = sys.modules.get("keras")  # if Keras is not imported, no layer exists; a zoo card must not import it
    return keras is not None and isinstance(model, keras.layers.Layer)


def _layers_with_remat(model: keras.layers.Layer) -> set[int]:
    """Return the ids of the layers inside a `DeepRNN` with `remat=True`."""
    from deeprnn_keras.layers import DeepRNN

    stacks = [layer for layer in _compat.flatten_layers(model) if isinstance(layer, DeepRNN)]
    return {id(layer) for stack in stacks if stack.remat for layer in stack.recurrent_layers}


def _row(path: str, layer: keras.layers.RNN, remat: bool) -> KernelRow:
    from deeprnn_keras.kernels.machine import this_machine

    machine = this_machine()
    here, gpu = _choice(layer, machine), _choice(layer, replace(machine, gpu=True))
    type_name = _type_name(layer)
    return KernelRow(
        path, type_name, here.implementation, _reasons(here, remat), gpu.implementation, _reasons(gpu, remat)
    )


def _reasons(choice: Choice, remat: bool) -> tuple[str, ...]:
    from deeprnn_keras.layers.rematerialization import ignored_remat_reason

    ignored = ignored_remat_reason(choice.implementation) if remat and choice.implementation != "error" else None
    return tuple(choice.reasons) if ignored is None else (*choice.reasons, ignored)


def _choice(layer: keras.layers.RNN, machine: Machine) -> Choice:
    """Return the `Choice` for a layer according to its `inner_loop`, which a subclass may inherit or override."""
    import keras

    from deeprnn_keras.audit.keras_kernels import looping_choice, stock_choice
    from deeprnn_keras.layers.drop_ins import SelectsImplementation

    inner_loop = type(layer).inner_loop
    if machine.backend != "tensorflow" and not _runs_on_backend(layer, machine):
        return Choice("loop", [f"{TENSORFLOW_ONLY.format(machine.backend)}; Keras' own code runs the layer"])
    if inner_loop is SelectsImplementation.inner_loop:
        return _drop_in_choice(layer, machine)
    if inner_loop in (keras.layers.LSTM.inner_loop, keras.layers.GRU.inner_loop):
        return stock_choice(layer, machine)
    if inner_loop is keras.layers.RNN.inner_loop:
        return looping_choice(layer, machine)
    return Choice("custom", [f"{type(layer).__name__} defines its own inner_loop"])


def _runs_on_backend(layer: keras.layers.RNN, machine: Machine) -> bool:
    """Return whether a layer may run in an implementation of this package on a backend other than TensorFlow."""
    from deeprnn_keras.layers.drop_ins import SelectsImplementation

    if type(layer).inner_loop is not SelectsImplementation.inner_loop:
        return False
    requested = implementations().get(layer.implementation)
    return requested is None or (requested.backends is not None and machine.backend in requested.backends)


def _drop_in_choice(layer: keras.layers.RNN, machine: Machine) -> Choice:
    try:
        choice: Choice = layer.implementation_on(machine)
    except ValueError as error:
        return Choice("error", [str(error)])
    if choice.implementation != "loop":
        return choice
    if machine.backend != "tensorflow":
        return Choice("loop", [*choice.reasons, "Keras' own code runs the layer"])
    # List what rules out the fast implementations of this machine, even if the loop was requested.
    fast = [implementations()[name] for name in FAST if implementations()[name].concerns(layer.traits)]
    device = "gpu" if machine.gpu else "cpu"
    relevant, irrelevant = [], []
    for implementation in fast:
        for_device = implementation.device in (None, device)
        (relevant if for_device else irrelevant).extend(implementation.unsupported_reasons(layer.traits))
    reasons = [reason for reason in choice.reasons if reason not in irrelevant]
    return Choice("loop", list(dict.fromkeys([*reasons, *relevant])))


def _type_name(layer: keras.layers.RNN) -> str:
    import keras

    cls = type(layer)
    if cls.__module__.startswith("deeprnn_keras."):
        equations = getattr(layer.cell, "equations", layer.cell)
        return f"deeprnn_keras.{cls.__name__}" + (f"({type(equations).__name__})" if cls.__name__ == "RNN" else "")
    if not cls.__module__.startswith("keras."):
        return f"{cls.__module__}.{cls.__name__}"
    cell = f"({type(layer.cell).__name__})" if cls is keras.layers.RNN else ""
    return f"keras.layers.{cls.__name__}{cell}"
