"""`LSTM`, `GRU`, `SimpleRNN`, `RNN`: those of Keras, on the fastest implementation there is."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras

from deeprnn_keras import _compat, checks
from deeprnn_keras.cells.keras_cells import cell_recurrence, cell_traits, stored_weights
from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations import Blocks
from deeprnn_keras.kernels import implementations, selection
from deeprnn_keras.kernels.contract import LayerCall, Traits
from deeprnn_keras.kernels.machine import this_machine

Tensor = Any
OLD_NAMES = {"kernel": "implementation", "memory": "remat"}
KERAS_VALUES = (0, 1, 2)  # of Keras' own argument `implementation`, which all Keras 2 configurations carry


class Memory:
    """Store for what implementations prepare once per layer; neither Keras nor TensorFlow track it."""

    def __init__(self) -> None:
        self.content: dict = {}


class SelectsImplementation:
    """Mixin for a Keras recurrent layer: the argument `implementation`, and an inner loop that follows it."""

    any_cell = False

    def __init__(self, *args: Any, implementation: str | int = "auto", **kwargs: Any) -> None:
        checks.no_old_names(type(self).__name__, kwargs, OLD_NAMES)
        super().__init__(*args, **kwargs)
        if isinstance(implementation, int) and not isinstance(implementation, bool) and implementation in KERAS_VALUES:
            implementation = selection.AUTO
        self.implementation = selection.check(implementation, self.traits)
        self._memory = Memory()

    @property
    def traits(self) -> Traits:
        """Traits on which the selection of an implementation depends."""
        return cell_traits(self.cell, unroll=getattr(self, "unroll", False), any_cell=self.any_cell)

    def selected_implementation(self) -> str:
        """Return the name of the implementation that runs this layer on this machine."""
        return self.implementation_on(this_machine()).implementation

    def implementation_on(self, machine: selection.Machine) -> selection.Choice:
        """Return the implementation that runs this layer on a machine, and why."""
        return selection.choose(self.traits, self.implementation, getattr(self, "use_cudnn", "auto"), machine)

    def inner_loop(self, sequences: Tensor, initial_state: Any, mask: Any, training: bool = False) -> tuple:
        """Run the steps, as Keras' `RNN.inner_loop`: (last output, outputs, final states)."""
        if keras.backend.backend() != "tensorflow":
            return self._on_other_backend(sequences, initial_state, mask, training)
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        if mask is not None and len(mask.shape) == 3:  # Keras' loop takes (n, T, 1) too
            mask = keras.ops.squeeze(mask, -1)
        states = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
        implementation = implementations()[self.selected_implementation()]
        return implementation.run_layer(self.layer_call(training), sequences, states, mask)

    def layer_call(self, training: bool) -> LayerCall:
        """Return the layer as an implementation is given it."""
        return LayerCall(
            recurrence=cell_recurrence(self.cell),
            weights=partial(stored_weights, self.cell),
            input_dim=getattr(self.cell, "input_dim", None),
            go_backwards=self.go_backwards,
            return_sequences=self.return_sequences,
            zero_output_for_mask=self.zero_output_for_mask,
            training=bool(training),
            compute_dtype=self.compute_dtype,
            input_dropout=partial(self._drop_inputs, training=training),
            keras_loop=partial(self._keras_loop, training=training),
            keras_cudnn=partial(self._keras_path, training=training),
            cache=self._memory.content,
        )

    def _drop_inputs(self, sequences: Tensor, training: bool) -> Tensor:
        """Apply the cell's input dropout, one mask for all steps."""
        if not training or not self.cell.dropout:
            return sequences
        return sequences * self.cell.get_dropout_mask(sequences[:, 0, :])[:, None]

    def _keras_loop(self, sequences: Tensor, states: Any, mask: Tensor | None, *, training: bool) -> tuple:
        return keras.layers.RNN.inner_loop(self, sequences, states, mask=mask, training=training)

    def _keras_path(self, sequences: Tensor, states: Any, mask: Tensor | None, *, training: bool) -> tuple:
        """Run what Keras itself selects: cuDNN where it can, else its loop."""
        return super().inner_loop(sequences, states, mask, training=training)

    def _on_other_backend(self, sequences: Tensor, initial_state: Any, mask: Any, training: bool) -> tuple:
        return self._keras_path(sequences, initial_state, mask, training=training)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration: that of Keras, and `implementation`."""
        config = {**super().get_config(), "implementation": self.implementation}
        if getattr(self, "use_cudnn", "auto") != "auto":
            config["use_cudnn"] = self.use_cudnn  # Keras leaves it out and forgets it
        return config


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class LSTM(SelectsImplementation, keras.layers.LSTM):
    """`keras.layers.LSTM` with a fast implementation on a CPU: same arguments, weights, numbers, and weight files.

        i, f, o = s(x_t W + h_{t-1} U + b),  g = a(x_t W_g + h_{t-1} U_g + b_g)
        c_t = f c_{t-1} + i g,  h_t = o a(c_t)

    Args:
        implementation: "auto": cuDNN on a GPU where the layer is eligible, XLA on a CPU, else Keras' loop; or "cudnn",
            "xla", "loop". Keras' own 0, 1, and 2 are accepted as "auto".
        Everything else: as in `keras.layers.LSTM`.

    Call:
        layer(x, initial_state=None, mask=None, training=False), x (n, T, d) -> (n, h), or (n, T, h) with
        `return_sequences`. A mask of any form gives the numbers of Keras' loop on every implementation.

    Raises:
        ValueError: If the requested implementation does not support the layer; the message says why. For cuDNN on a
            machine without a GPU when the layer is called, so that models can be loaded anywhere.

    Sources: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000.

    >>> import keras
    >>> from deeprnn_keras import LSTM
    >>> model = keras.Sequential([keras.Input((None, 3)), LSTM(8, return_sequences=True), LSTM(8)])
    >>> model.output_shape
    (None, 8)
    """


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class GRU(SelectsImplementation, keras.layers.GRU):
    """`keras.layers.GRU` with a fast implementation on a CPU: same arguments, weights, numbers, and weight files.

        z, r = s(x_t W + h_{t-1} U + b),  g = a(x_t W_g + b_g + r (h_{t-1} U_g + b'_g))
        h_t = z h_{t-1} + (1 - z) g

    and with `reset_after=False` g = a(x_t W_g + (r h_{t-1}) U_g + b_g).

    Args:
        implementation: "auto", "cudnn", "xla" or "loop", as in `LSTM`.
        Everything else: as in `keras.layers.GRU`.

    Raises:
        ValueError: If the requested implementation does not support the layer; the message says why.

    Source: Cho et al. 2014 (arXiv:1406.1078).

    >>> import keras
    >>> from deeprnn_keras import GRU
    >>> GRU(8, implementation="xla").get_config()["implementation"]
    'xla'
    """


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class SimpleRNN(SelectsImplementation, keras.layers.SimpleRNN):
    """`keras.layers.SimpleRNN` with a fast implementation on a CPU: same arguments, weights, numbers, and weight files.

        h_t = a(x_t W + h_{t-1} U + b)

    Args:
        implementation: "auto", "xla" or "loop", as in `LSTM`; Keras has no cuDNN path for it.
        Everything else: as in `keras.layers.SimpleRNN`.

    Raises:
        ValueError: If the requested implementation does not support the layer; the message says why.

    Source: Elman 1990.

    >>> import keras
    >>> from deeprnn_keras import SimpleRNN
    >>> SimpleRNN(8, activation="relu", implementation="cudnn")     # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: implementation='cudnn' is not supported for this layer: Keras has no cuDNN path for a plain RNN. ...
    """


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class RNN(SelectsImplementation, keras.layers.RNN):
    """`keras.layers.RNN`, faster for cells with equations.

    Such a cell, a `RecurrentCell`, runs on XLA on a CPU; in the loop, on a GPU or another backend, what does not depend
    on the state is still computed for all steps at once. Keras' own cells run on XLA too; any other cell runs as in
    Keras.

    Args:
        cell: A Keras cell, or a list of cells, as in `keras.layers.RNN`.
        implementation: "auto", "xla", or "loop".
        Everything else: As in `keras.layers.RNN`.

    Raises:
        ValueError: If the requested implementation does not support the layer; the message says why.

    >>> import keras
    >>> from deeprnn_keras import RNN
    >>> from deeprnn_keras.cells import MLPGateLSTMCell
    >>> model = keras.Sequential([keras.Input((None, 3)), RNN(MLPGateLSTMCell(8, gate_units=(16,)))])
    >>> model.output_shape
    (None, 8)
    """

    any_cell = True

    def _keras_loop(self, sequences: Tensor, states: Any, mask: Tensor | None, *, training: bool) -> tuple:
        cell = self.cell
        if not isinstance(cell, RecurrentCell):
            return super()._keras_loop(sequences, states, mask, training=training)
        projected = cell.project_inputs(sequences, training)

        def step(x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            new = cell.step(Blocks(x, projected.names), states, training)
            return new[0], new

        return _compat.backend_rnn()(
            step,
            projected.tensor,
            states if isinstance(states, (list, tuple)) else [states],
            go_backwards=self.go_backwards,
            mask=mask,
            unroll=self.unroll,
            input_length=sequences.shape[1],
            zero_output_for_mask=self.zero_output_for_mask,
            return_all_outputs=self.return_sequences,
        )

    def _on_other_backend(self, sequences: Tensor, initial_state: Any, mask: Any, training: bool) -> tuple:
        return self._keras_loop(sequences, initial_state, mask, training=training)
