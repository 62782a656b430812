"""`explain_kernels`: which kernel runs each recurrent layer of a model, and why."""

import sys
from dataclasses import replace
from typing import Any

from deeprnn_keras.audit.find_layers import recurrent_layers
from deeprnn_keras.audit.kernel_report import CPU, KernelReport, KernelRow
from deeprnn_keras.audit.planned_kernels import planned_rows
from deeprnn_keras.kernels import implementations
from deeprnn_keras.kernels.selection import ONLY_TENSORFLOW, Choice, Machine


def explain_kernels(model):
    """Which kernel runs each recurrent layer of a model, on this machine and on a GPU, and what rules out a faster one.

    Implementations: "cudnn" (NVIDIA's, on a GPU), "xla" (this package's, on a CPU; both compute the sequence as one
    operation), "loop" (Keras goes through the steps). A layer counts wherever it is: in nested models, in wrappers
    such as `Bidirectional`, in a `DeepRNN`, in lists; a shared layer counts once. Of our layers every obstacle is
    named; of Keras' own also what the layer of the same name in `deeprnn_keras` would do. Masks belong to the data and
    are not looked at: on cuDNN Keras' own layers stop with an error at one that is not right-padded, ours do not.

    Args:
        model: a Keras model or layer, built or not; or the configuration of a zoo's model, `zoo.info(name)`: then
            nothing is built, neither Keras nor TensorFlow is loaded, and `kernel` is that on a CPU.

    Returns a list of rows with `path`, `type`, `kernel`, `reasons`, `gpu_kernel`, `gpu_reasons`; printed, it is a
    table. A layer that asks for what cannot be has the kernel "error", and the message among its reasons.

    Raises:
        ValueError: if `model` is something else.

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
        return KernelReport(_row(path, layer) for path, layer in recurrent_layers(model))
    if hasattr(model, "recurrences"):
        return KernelReport(planned_rows(model.recurrences()), CPU)
    raise ValueError(f"model must be a Keras model or layer, or zoo.info(name), got {model!r}")


def _is_layer(model):
    keras = sys.modules.get("keras")  # where it is not loaded, nothing is a layer, and a zoo's card must not load it
    return keras is not None and isinstance(model, keras.layers.Layer)


def _row(path: str, layer: Any) -> KernelRow:
    from deeprnn_keras.kernels.machine import this_machine

    machine = this_machine()
    here, gpu = _choice(layer, machine), _choice(layer, replace(machine, gpu=True))
    return KernelRow(
        path, _type(layer), here.implementation, tuple(here.reasons), gpu.implementation, tuple(gpu.reasons)
    )


def _choice(layer: Any, machine: Machine) -> Choice:
    """Return the `Choice` for a layer: by whose `inner_loop` it runs, not by its class, which may be a subclass."""
    import keras

    from deeprnn_keras.audit.keras_kernels import looping_choice, stock_choice
    from deeprnn_keras.layers.drop_ins import SelectsImplementation

    inner_loop = type(layer).inner_loop
    if machine.backend != "tensorflow":
        return Choice("loop", [f"{ONLY_TENSORFLOW.format(machine.backend)}; Keras runs the layer in its own way"])
    if inner_loop is SelectsImplementation.inner_loop:
        return _drop_in_choice(layer, machine)
    if inner_loop in (keras.layers.LSTM.inner_loop, keras.layers.GRU.inner_loop):
        return stock_choice(layer, machine.gpu)
    if inner_loop is keras.layers.RNN.inner_loop:
        return looping_choice(layer, machine.gpu)
    return Choice("own", [f"{type(layer).__name__} has an inner_loop of its own"])


def _drop_in_choice(layer: Any, machine: Machine) -> Choice:
    try:
        choice = layer.implementation_on(machine)
    except ValueError as error:
        return Choice("error", [str(error)])
    if choice.implementation != "loop":
        return choice
    # what rules out the implementation that such a machine could have, also where the loop was requested
    cudnn, xla = (implementations()[name].unsupported_reasons(layer.traits) for name in ("cudnn", "xla"))
    unsupported_reasons, others = (cudnn, xla) if machine.gpu else (xla, cudnn)
    reasons = [reason for reason in choice.reasons if reason not in others]
    return Choice("loop", list(dict.fromkeys([*reasons, *unsupported_reasons])))


def _type(layer):
    import keras

    cls = type(layer)
    if cls.__module__.startswith("deeprnn_keras."):
        written = getattr(layer.cell, "equations", layer.cell)
        return f"deeprnn_keras.{cls.__name__}" + (f"({type(written).__name__})" if cls.__name__ == "RNN" else "")
    if not cls.__module__.startswith("keras."):
        return f"{cls.__module__}.{cls.__name__}"
    cell = f"({type(layer.cell).__name__})" if cls is keras.layers.RNN else ""
    return f"keras.layers.{cls.__name__}{cell}"
