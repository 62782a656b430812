"""Implementations of Keras' own recurrent layers under TensorFlow, by Keras' rules; they have none on XLA."""

from dataclasses import replace

from deeprnn_keras.kernels import implementations
from deeprnn_keras.kernels.contract import Traits
from deeprnn_keras.kernels.selection import NO_GPU, NOTHING_AGAINST_GPU, Choice

DROP_INS = {"rnn": "deeprnn_keras.SimpleRNN", "gru": "deeprnn_keras.GRU", "lstm": "deeprnn_keras.LSTM"}


def stock_choice(layer, gpu):
    """The `Choice` for a `keras.layers.LSTM` or `GRU`: cuDNN where Keras' `cudnn_ok` and `inner_loop` let it.

    Args:
        layer: it, or a subclass that keeps its `inner_loop`.
        gpu: whether there is a GPU.
    """
    against = [
        *([] if gpu else [NO_GPU]),
        *(["use_cudnn=False forbids it"] if layer.use_cudnn is False else []),
        *implementations()["cudnn"].unsupported_reasons(_as_keras_sees(layer)),
    ]
    if layer.use_cudnn is True and against:
        return Choice(
            "error", [f"use_cudnn=True is not supported: {'; '.join(against)}. Keras raises an error at the call"]
        )
    if not against:
        return Choice("cudnn", [NOTHING_AGAINST_GPU, *_fails_in_training(layer)])
    return Choice("loop", [*(against if gpu else _better(traits(layer))), *_fails_in_training(layer)])


def looping_choice(layer, gpu):
    """The `Choice` for a layer with the `inner_loop` of `keras.layers.RNN`: the loop, and what would be faster."""
    return Choice("loop", (_loops_on_a_gpu if gpu else _better)(traits(layer)))


def _loops_on_a_gpu(known):
    against = implementations()["cudnn"].unsupported_reasons(known)
    if known.cell in (None, "rnn"):
        return [*against, *_instead_of(known)]
    advice = ", but not with these arguments" if against else " with the same arguments"
    return [f"keras.layers.RNN steps through its cell; {DROP_INS[known.cell]} can have cuDNN{advice}", *against]


def _better(known):
    """Return why a loop runs, and what would be faster on a CPU."""
    against = implementations()["xla"].unsupported_reasons(
        replace(known, implementation=2)
    )  # drop-ins take 1 as "auto"
    if known.cell is None:
        return [*against, *_instead_of(known)]
    drop_in = DROP_INS[known.cell]
    if against:
        return [f"Keras loops on a CPU; {drop_in} runs on XLA, but not with these arguments", *against]
    return [f"Keras loops on a CPU; {drop_in} with the same arguments would run on XLA"]


def _instead_of(known):
    return ["DeepRNN stacks whole layers, with an implementation each"] if known.type_name == "StackedRNNCells" else []


def traits(layer) -> Traits:
    """Return the `Traits` of a layer; a cell that is not exactly one of Keras' three is unknown, a subclass too."""
    import keras

    from deeprnn_keras.cells.keras_cells import cell_traits

    if type(layer.cell) in (keras.layers.SimpleRNNCell, keras.layers.GRUCell, keras.layers.LSTMCell):
        return cell_traits(layer.cell, unroll=layer.unroll)
    return Traits(cell=None, type_name=type(layer.cell).__name__)


def _as_keras_sees(layer):
    """Traits for Keras' rule: tanh and sigmoid are TensorFlow's functions too, `implementation` does not matter."""
    import keras
    import tensorflow as tf

    from deeprnn_keras.cells.keras_cells import cell_traits

    known = {
        "activation": ("tanh", (keras.activations.tanh, keras.ops.tanh, tf.tanh)),
        "recurrent_activation": ("sigmoid", (keras.activations.sigmoid, keras.ops.sigmoid, tf.sigmoid)),
    }
    found = {name: wanted for name, (wanted, functions) in known.items() if getattr(layer.cell, name) in functions}
    return replace(cell_traits(layer.cell, unroll=layer.unroll), implementation=2, **found)


def _fails_in_training(layer):
    """Keras drops before it knows whether cuDNN can run, and takes the masks, one per gate, for one."""
    cell = layer.cell
    if layer.use_cudnn is False or cell.recurrent_dropout or not cell.dropout or cell.implementation != 1:
        return []
    return [
        f"dropout={cell.dropout:g} with implementation=1 fails in training: Keras' attempt at cuDNN takes the masks "
        "of all gates for one; use_cudnn=False or implementation=2 avoids it"
    ]
