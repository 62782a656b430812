"""Implementations of stock Keras layers on TensorFlow, according to Keras' rules: cuDNN and the loop."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from deeprnn_keras.kernels import implementations
from deeprnn_keras.kernels.contract import Machine, Traits
from deeprnn_keras.kernels.selection import CUDNN_DISABLED, CUDNN_SELECTED, NO_GPU, Choice, choose

if TYPE_CHECKING:
    import keras

IN_WORDS = {"native": "in native code", "xla": "on XLA"}
DROP_INS = {"rnn": "deeprnn_keras.SimpleRNN", "gru": "deeprnn_keras.GRU", "lstm": "deeprnn_keras.LSTM"}


def stock_choice(layer: keras.layers.RNN, machine: Machine) -> Choice:
    """Return the `Choice` for a `keras.layers.LSTM` or `GRU`: cuDNN if Keras' `cudnn_ok` and `inner_loop` permit it.

    Args:
        layer: The layer, or one of a subclass that inherits `inner_loop`.
        machine: The machine.
    """
    against_cudnn = [
        *([] if machine.gpu else [NO_GPU]),
        *([CUDNN_DISABLED] if layer.use_cudnn is False else []),
        *implementations()["cudnn"].unsupported_reasons(_traits_for_cudnn(layer)),
    ]
    if layer.use_cudnn is True and against_cudnn:
        reason = f"use_cudnn=True is not supported: {'; '.join(against_cudnn)}. Keras raises an error at the call"
        return Choice("error", [reason])
    if not against_cudnn:
        return Choice("cudnn", [CUDNN_SELECTED, *_training_failures(layer)])
    reasons = against_cudnn if machine.gpu else _cpu_reasons(traits(layer), machine)
    return Choice("loop", [*reasons, *_training_failures(layer)])


def looping_choice(layer: keras.layers.RNN, machine: Machine) -> Choice:
    """Return the `Choice` for a layer with the `inner_loop` of `keras.layers.RNN`: the loop and faster layers."""
    layer_traits = traits(layer)
    return Choice("loop", _gpu_reasons(layer_traits) if machine.gpu else _cpu_reasons(layer_traits, machine))


def _gpu_reasons(layer_traits: Traits) -> list[str]:
    """Return the reasons why the loop runs on a GPU, and which layer would be faster."""
    against_cudnn = implementations()["cudnn"].unsupported_reasons(layer_traits)
    if layer_traits.cell in (None, "rnn"):
        return [*against_cudnn, *_stacked_cells_advice(layer_traits)]
    restriction = ", but not with these arguments" if against_cudnn else " with the same arguments"
    drop_in = DROP_INS[layer_traits.cell]
    return [
        f"keras.layers.RNN runs its cell in a loop over the steps; {drop_in} supports cuDNN{restriction}",
        *against_cudnn,
    ]


def _cpu_reasons(layer_traits: Traits, machine: Machine) -> list[str]:
    """Return the reasons why the loop runs on a CPU, and which layer would be faster."""
    # The layers of this package accept implementation=1 as "auto".
    drop_in_traits = replace(layer_traits, implementation=2)
    against_xla = implementations()["xla"].unsupported_reasons(drop_in_traits)
    if layer_traits.cell is None:
        return [*against_xla, *_stacked_cells_advice(layer_traits)]
    drop_in = DROP_INS[layer_traits.cell]
    if against_xla:
        return [f"Keras uses its loop on a CPU; {drop_in} runs faster, but not with these arguments", *against_xla]
    selected = choose(drop_in_traits, machine=machine).implementation
    return [f"Keras uses its loop on a CPU; {drop_in} with the same arguments would run {IN_WORDS[selected]}"]


def _stacked_cells_advice(layer_traits: Traits) -> list[str]:
    if layer_traits.type_name != "StackedRNNCells":
        return []
    return ["DeepRNN stacks whole layers, each with its own implementation"]


def traits(layer: keras.layers.RNN) -> Traits:
    """Return the `Traits` of a layer; a cell that is not exactly one of Keras' three, even a subclass, is unknown."""
    import keras

    from deeprnn_keras.cells.keras_cells import cell_traits

    if type(layer.cell) in (keras.layers.SimpleRNNCell, keras.layers.GRUCell, keras.layers.LSTMCell):
        return replace(cell_traits(layer.cell, unroll=layer.unroll), compute_dtype=layer.compute_dtype)
    return Traits(cell=None, type_name=type(layer.cell).__name__)


def _traits_for_cudnn(layer: keras.layers.RNN) -> Traits:
    """Return traits for Keras' rule, which accepts TensorFlow's tanh and sigmoid and ignores `implementation`."""
    import keras
    import tensorflow as tf

    from deeprnn_keras.cells.keras_cells import cell_traits

    accepted = {
        "activation": ("tanh", (keras.activations.tanh, keras.ops.tanh, tf.tanh)),
        "recurrent_activation": ("sigmoid", (keras.activations.sigmoid, keras.ops.sigmoid, tf.sigmoid)),
    }
    names = {
        argument: name for argument, (name, functions) in accepted.items() if getattr(layer.cell, argument) in functions
    }
    return replace(cell_traits(layer.cell, unroll=layer.unroll), implementation=2, **names)


def _training_failures(layer: keras.layers.RNN) -> list[str]:
    """Return a warning if training raises an error because Keras applies the dropout masks of all gates as one mask."""
    cell = layer.cell
    if layer.use_cudnn is False or cell.recurrent_dropout or not cell.dropout or cell.implementation != 1:
        return []
    return [
        f"dropout={cell.dropout:g} with implementation=1 fails in training: before it tries cuDNN, Keras applies the "
        "masks of all gates as one mask; use_cudnn=False or implementation=2 avoids it"
    ]
