"""`OwnModel`: a user's head on a `DeepRNN`, as a configuration that can be counted, changed and built."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from deeprnn_keras import checks
from deeprnn_keras.stack import count_params, layer_units, output_width
from deeprnn_keras.training.recipe import Recipe

RECIPE = {field.name for field in fields(Recipe)}


@dataclass(frozen=True)
class OwnModel:
    """Sequences -> deep RNN -> head: what `HyperDeepRNN` tunes where it is not a model of the zoo.

    Attributes:
        inputs: d, features per step; or (T, d) where T is known, which lets the fused kernel compile; or the like
            with None for T.
        head: q, for a Dense layer of q outputs; a Keras layer or a list of layers, copied for each model; or a function
            tensor -> tensor that makes new layers.
        loss, metrics: as `compile` takes them.
        recipe: a `Recipe`.
        return_sequences: the head reads every H_t^(L) instead of the last.
        units, num_layers, cell, connection, input_dropout, dropout, output_dropout, forget_bias: what is tuned, and
            the values where it is not; input_dropout acts on X, output_dropout before the head.
        options: further arguments of `DeepRNN`, such as bidirectional.
    """

    inputs: int | tuple
    head: object
    loss: object
    metrics: tuple = ()
    recipe: Recipe = field(default_factory=Recipe)
    return_sequences: bool = False
    units: int | tuple = 64
    num_layers: int = 1
    cell: str | dict | tuple = "lstm"
    connection: str = "stack"
    input_dropout: float = 0.0
    dropout: float = 0.0
    output_dropout: float = 0.0
    forget_bias: float | None = None
    options: dict = field(default_factory=dict)
    name: str = "deep_rnn_model"

    def __post_init__(self):
        shape = self.inputs if isinstance(self.inputs, (tuple, list)) else (None, self.inputs)
        if len(shape) != 2:
            raise ValueError(f"inputs must be d or (T, d), got {self.inputs!r}")
        checks.positive_int("inputs", shape[1])
        if shape[0] is not None:
            checks.positive_int("inputs", shape[0])
        object.__setattr__(self, "inputs", tuple(shape))
        if not isinstance(self.head, Callable) and not isinstance(self.head, (list, tuple)):
            checks.positive_int("outputs", self.head)

    def replace(self, **overrides: Any) -> OwnModel:
        """Return this model with other values, those of its recipe included."""
        recipe = {name: overrides.pop(name) for name in RECIPE & overrides.keys()}
        return dataclasses.replace(self, recipe=self.recipe.replace(**recipe), **overrides)

    def count_params(self):
        """Weights of the recurrent layers, from numbers alone, and of the head."""
        units = layer_units(self.units, self.num_layers)
        both = self.options.get("bidirectional", False)
        recurrent = count_params(self.inputs[1], units, None, self.cell, self.connection, both)
        return recurrent + self._head_weights(output_width(units, self.connection, both))

    def _head_weights(self, width):
        if isinstance(self.head, int):
            return (width + 1) * self.head
        import keras

        x = keras.Input((self.inputs[0], width) if self.return_sequences else (width,))
        return keras.Model(x, self._read(x)).count_params()

    def architecture(self):
        """Such as 'LSTM 2 x 64'."""
        widths = self.units if isinstance(self.units, int) else "-".join(map(str, self.units))
        return f"{cell_words(self.cell)} {self.num_layers} x {widths}"

    def build(self):
        """The compiled Keras model."""
        import keras

        from deeprnn_keras.initializers import ForgetBias
        from deeprnn_keras.layers import DeepRNN
        from deeprnn_keras.specs import registered_cell

        # === Layers ===
        cells = self.cell if isinstance(self.cell, (list, tuple)) else [self.cell]
        bias = {}
        if self.forget_bias is not None and all(registered_cell(cell).keep_gate for cell in cells):
            bias = {"bias_initializer": ForgetBias(self.forget_bias)}
        rnn = DeepRNN(
            self.units,
            self.num_layers,
            self.cell,
            connection=self.connection,
            dropout=self.dropout,
            return_sequences=self.return_sequences,
            name="deep_rnn",
            **{**bias, **self.options},
        )
        # === Functional Model ===
        x = keras.Input(self.inputs)
        hidden = keras.layers.Dropout(self.input_dropout)(x) if self.input_dropout else x
        hidden = rnn(hidden)
        hidden = keras.layers.Dropout(self.output_dropout)(hidden) if self.output_dropout else hidden
        model = keras.Model(x, self._read(hidden), name=self.name)
        return self.recipe.compile(model, self.loss, self.metrics)

    def _read(self, hidden):
        import keras

        if isinstance(self.head, int):
            return keras.layers.Dense(self.head, name="head")(hidden)
        layers = self.head if isinstance(self.head, (list, tuple)) else [self.head]
        for layer in layers:
            if isinstance(layer, keras.layers.Layer):  # a copy: models must not share weights
                layer = layer.__class__.from_config(layer.get_config())
            hidden = layer(hidden)
        return hidden


def cell_words(cell):
    """Such as 'LSTM', or 'GRU-LSTM'."""
    cells = cell if isinstance(cell, (list, tuple)) else [cell]
    return "-".join((one["name"] if isinstance(one, dict) else str(one)).upper() for one in cells)
