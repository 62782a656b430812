"""`keras_stack`: the levels of a `DeepRNN` as layers of `keras.layers`, for every connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from deeprnn_keras import _compat
from deeprnn_keras._compat import FunctionalNode
from deeprnn_keras._types import Nested, Tensor
from deeprnn_keras.cells.keras_cells import cell_name
from deeprnn_keras.interop.conversion.plain_layers import OBJECTS
from deeprnn_keras.interop.conversion.substitution import KeptError, Substitute
from deeprnn_keras.layers import DeepRNN
from deeprnn_keras.layers.state_structure import pack_state

CELL_ARGUMENTS = (
    *("units", "activation", "recurrent_activation", "use_bias", "reset_after"),
    *(*OBJECTS, "dropout", "recurrent_dropout", "seed"),
)
"""Arguments that a layer of Keras receives from the cell of a level; initializers are those of Keras."""


def keras_stack(layer: DeepRNN, calls: Sequence[FunctionalNode]) -> Substitute:
    """Return the substitute of a `DeepRNN`: its levels one after another, or a `KerasStack` that connects them.

    Raises:
        KeptError: If it has no counterpart in `keras.layers`; the message states the reason.
    """
    reason = _refusal(layer, calls)
    if reason is not None:
        raise KeptError(reason)
    returns_one = not (layer.return_state or layer.return_all_layers)
    if layer.connection == "stack" and returns_one and not _passes(calls, "initial_state"):
        return Substitute((layer,), tuple(_in_line(layer)))
    if layer.stateful and layer.bidirectional:
        raise KeptError("stateful=True and bidirectional=True: Keras does not return the states of such layers")
    if layer.activity_regularizer is not None:
        raise KeptError("activity_regularizer with connections or states that need several layers of Keras")
    stack = KerasStack(layer)
    return Substitute((layer,), tuple(stack.levels), stack)


def _passes(calls: Sequence[FunctionalNode], argument: str) -> bool:
    return any(call.kwargs.get(argument) is not None for call in calls) or (
        argument == "initial_state" and any(len(call.args) > 1 for call in calls)
    )


def _refusal(layer: DeepRNN, calls: Sequence[FunctionalNode]) -> str | None:
    """Return the reason why a `DeepRNN` has no counterpart in `keras.layers`, or None."""
    cells = [one.cell for one in layer.recurrent_layers if cell_name(one.cell) is None]
    is_single = layer.num_layers == 1 and not layer.bidirectional and not layer.return_sequences
    refusals = {
        f"its cell {type(cells[0]).__name__ if cells else ''} is not one of keras.layers": bool(cells),
        f"dilation={layer.dilation}": max(layer.dilation) > 1,
        "ar and tar, the activation regularization": bool(layer.ar or layer.tar),
        "go_backwards=True of several layers, or with return_sequences=True: Keras does not reverse the mask": (
            layer.go_backwards and not is_single
        ),
        "stateful=True without a known batch size; start the model with keras.Input(batch_shape=...)": (
            layer.stateful and layer.batch_size is None
        ),
        "it is called with reset_mask": _passes(calls, "reset_mask"),
    }
    return next((reason for reason, applies in refusals.items() if applies), None)


def _in_line(layer: DeepRNN) -> list[keras.layers.Layer]:
    """Return the levels, which read each other's outputs, and the dropout layers between them."""
    layers: list[keras.layers.Layer] = []
    for level in range(layer.num_layers):
        is_top = level == layer.num_layers - 1
        options = {"return_sequences": layer.return_sequences or not is_top, "go_backwards": layer.go_backwards}
        options |= {"activity_regularizer": layer.activity_regularizer} if is_top else {}
        layers += [_dropout(layer, level)] if level and layer.dropout else []
        layers.append(_level(layer, level, options))
    return layers


def _dropout(layer: DeepRNN, level: int) -> keras.layers.Dropout:
    """Return the dropout layer below a level."""
    source = layer.dropouts[level - 1]
    return keras.layers.Dropout(
        source.rate, seed=source.seed, dtype=source.dtype_policy, name=f"{layer.name}_dropout_{level}"
    )


def _level(layer: DeepRNN, level: int, options: Mapping[str, Any]) -> keras.layers.Layer:
    """Return a level as a layer of Keras; the highest one has the name of the stack, by which Keras names outputs."""
    name = layer.name if level == layer.num_layers - 1 else f"{layer.name}_{level + 1}"
    options = {**options, "stateful": layer.stateful}
    if not layer.bidirectional:
        return _recurrence(layer.levels[level][0], name=name, **options)
    forward, backward = layer.levels[level]
    wrapper = {"activity_regularizer": options.pop("activity_regularizer", None), "dtype": layer.dtype_policy}
    options.pop("go_backwards")
    kind = str(cell_name(forward.cell))
    return keras.layers.Bidirectional(
        _recurrence(forward, name=kind, **options),  # Keras names it "forward_lstm"
        backward_layer=_recurrence(backward, name=f"backward_{kind}", go_backwards=True, **options),
        trainable=layer.trainable,
        name=name,
        **wrapper,
    )


def _recurrence(source: keras.layers.RNN, **options: Any) -> keras.layers.Layer:
    """Return the layer of Keras for one recurrence of a stack."""
    arguments = {name: getattr(source.cell, name) for name in CELL_ARGUMENTS if hasattr(source.cell, name)}
    kind = {"rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}[
        str(cell_name(source.cell))
    ]
    trainable = source.trainable and source.cell.trainable
    return kind(**arguments, dtype=source.dtype_policy, trainable=trainable, **options)


class KerasStack:
    """Layers of Keras with the connections of a `DeepRNN`, called like it.

    The output of the last unmasked step is taken from the final states, which do not change at masked steps.

    Args:
        layer: The stack.

    Attributes:
        levels: One layer per level, lowest first.
    """

    def __init__(self, layer: DeepRNN) -> None:
        self._layer = layer
        options = {"return_sequences": True, "return_state": True, "go_backwards": layer.go_backwards}
        self.levels = [_level(layer, level, options) for level in range(layer.num_layers)]
        self._dropouts = [_dropout(layer, level) for level in range(1, layer.num_layers)]

    def __call__(
        self, sequences: Tensor, initial_state: Nested = None, mask: Tensor | None = None, training: bool = False
    ) -> Nested:
        """Call the layers.

        Args:
            sequences: As in the call of the `DeepRNN`.
            initial_state: Likewise.
            mask: Likewise.
            training: Likewise.
        """
        layer = self._layer
        if initial_state is not None and mask is None:  # Keras does not pass an attached mask to a call with states
            mask = _compat.keras_mask(sequences)
        outputs: list[Tensor] = []
        last_outputs: list[Tensor] = []
        final_states: list[list[Tensor]] = []
        for level, keras_layer in enumerate(self.levels):
            inputs = self._inputs(level, sequences, outputs, training)
            state = None if initial_state is None else keras.tree.flatten(initial_state[level])
            output, *states = keras_layer(inputs, initial_state=state, mask=mask, training=training)
            final_states.append(states)
            source = layer.connections.shortcut_source(level)
            last = _concatenated([states[0], states[len(states) // 2]] if layer.bidirectional else states[:1])
            outputs.append(output if source is None else keras.layers.add([output, outputs[source]]))
            last_outputs.append(last if source is None else keras.layers.add([last, last_outputs[source]]))
        return self._results(outputs if layer.return_sequences else last_outputs, final_states)

    def _inputs(self, level: int, sequences: Tensor, outputs: Sequence[Tensor], training: bool) -> Tensor:
        if not level:
            return sequences
        below = outputs[-1]
        if self._layer.dropout:
            below = self._dropouts[level - 1](below, training=training)
        return _concatenated([below, sequences] if self._layer.connections.reads_input(level) else [below])

    def _results(self, results: Sequence[Tensor], final_states: Sequence[Sequence[Tensor]]) -> Nested:
        layer = self._layer
        if layer.return_all_layers:
            output: Nested = list(results)
        else:
            output = _concatenated(results) if layer.connection == "skip" else results[-1]
        return (output, *pack_state(final_states)) if layer.return_state else output


def _concatenated(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else keras.layers.concatenate(tensors, axis=-1)
