"""`LSTM`, `GRU`, `SimpleRNN`, `RNN`: drop-in replacements for Keras' layers that select the fastest implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import keras
from typing_extensions import override

from deeprnn_keras import _compat, checks, freezing
from deeprnn_keras._types import Cell, Config, Nested, Shape, Tensor
from deeprnn_keras.cells.keras_cells import cell_recurrence, cell_traits, stored_weights
from deeprnn_keras.cells.recurrent_cell import RecurrentCell
from deeprnn_keras.equations import Blocks
from deeprnn_keras.keras_objects import ChecksConfig
from deeprnn_keras.kernels import implementations, selection
from deeprnn_keras.kernels.contract import Implementation, LayerCall, Machine, Traits
from deeprnn_keras.kernels.machine import this_machine
from deeprnn_keras.layers.call_arguments import check_mask, check_real
from deeprnn_keras.layers.initial_state import InitialState
from deeprnn_keras.layers.weight_dropout import dropped_matrices, replaced_weights
from deeprnn_keras.layers.zoneout import Step, Zoneout

if TYPE_CHECKING:
    KerasLayer = keras.layers.RNN  # the layer that the mixin is combined with
else:
    KerasLayer = object

LoopResult: TypeAlias = tuple[Tensor, Tensor, list[Tensor]]
"""The result of a loop over time: last output (n, h), outputs (n, T, h) or (n, 1, h), final states."""

RENAMED_ARGUMENTS = {"kernel": "implementation", "memory": "remat"}
KERAS_IMPLEMENTATIONS = (0, 1, 2)  # values of Keras' own argument `implementation`, found in all Keras 2 configurations


class UntrackedCache:
    """Cache of values that implementations prepare once per layer.

    Keras and TensorFlow would wrap and track a dictionary that is an attribute of a layer, but not this object.
    """

    def __init__(self) -> None:
        self.content: dict[object, Any] = {}


class UntrackedStack:
    """The recurrent layers of a stack, for each of them; Keras would track a list as sublayers of the layer.

    Args:
        layers: The layers.
    """

    def __init__(self, layers: Sequence[SelectsImplementation]) -> None:
        self.layers = layers


class SelectsImplementation(ChecksConfig, KerasLayer):
    """Mixin for a Keras recurrent layer: adds the argument `implementation` and dispatches the inner loop to it.

    Args:
        args: Positional arguments of the Keras layer; NumPy's scalars are converted to Python's.
        implementation: "auto", "cudnn", "native", "xla", "loop", or one of Keras' values 0, 1, and 2 for
            "auto".
        kwargs: Keyword arguments of the Keras layer.

    Attributes:
        any_cell: Set by subclasses. True for a layer that accepts any cell.
        stack_of_layer: Set by a `DeepRNN` on its layers, which then run in one call if an implementation supports all.
        weight_dropout: Set by a `DeepRNN`: dropout of the recurrent matrices, or None.
        zoneout: Set by a `DeepRNN`: zoneout of the states, or None.
        initial_state: Set by a `DeepRNN`: learned states before the first step, or None for zeros.
        cell: The Keras cell.
        implementation: The argument, with "auto" in place of Keras' values.
    """

    any_cell = False
    stack_of_layer: UntrackedStack | None = None
    weight_dropout: keras.layers.Dropout | None
    zoneout: Zoneout | None
    initial_state: InitialState | None
    cell: Cell
    implementation: str

    def __init__(self, *args: Any, implementation: str | int = "auto", **kwargs: Any) -> None:
        checks.reject_former_names(type(self).__name__, kwargs, RENAMED_ARGUMENTS)
        super().__init__(*map(checks.to_python, args), **checks.to_python(kwargs))
        # not attributes of the class, which would hide layers that PyTorch stores outside the attributes of an object
        self.weight_dropout = self.zoneout = self.initial_state = None
        self.implementation = selection.check(_implementation_name(implementation), self.traits)
        self._cache = UntrackedCache()
        freezing.propagate_trainable(self)

    def _stack_traits(self) -> list[Traits]:
        """Return the traits of all layers of the stack that this layer belongs to; empty without one."""
        return [] if self.stack_of_layer is None else [layer.traits for layer in self.stack_of_layer.layers]

    @property
    def traits(self) -> Traits:
        """Traits on which the selection of an implementation depends."""
        traits = cell_traits(self.cell, unroll=getattr(self, "unroll", False), any_cell=self.any_cell)
        zoneout = max(self.zoneout.rates) if self.zoneout else 0.0
        return replace(traits, compute_dtype=self.compute_dtype, zoneout=zoneout)

    def selected_implementation(self) -> str:
        """Return the name of the implementation that runs this layer on this machine."""
        return self.implementation_on(this_machine()).implementation

    def implementation_on(self, machine: Machine) -> selection.Choice:
        """Return the implementation that runs this layer on a machine, and the reasons."""
        use_cudnn = getattr(self, "use_cudnn", "auto")
        return selection.choose(self.traits, self.implementation, use_cudnn, machine, self._stack_traits())

    @override
    def build(self, sequences_shape: Shape, initial_state_shape: Nested = None) -> None:
        super().build(sequences_shape, initial_state_shape)
        if self.initial_state is not None:
            self.initial_state.build()

    @override
    def get_initial_state(self, batch_size: int | Tensor) -> Sequence[Tensor]:
        if self.initial_state is not None and self.initial_state.built:
            return self.initial_state.rows(batch_size)
        return super().get_initial_state(batch_size)

    @override
    def inner_loop(self, sequences: Tensor, initial_state: Nested, mask: Nested, training: bool = False) -> LoopResult:
        implementation = self._selected_on_this_backend()
        if implementation is None:
            return self._run_on_other_backend(sequences, initial_state, mask, training)
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        if mask is not None and len(mask.shape) == 3 and mask.shape[-1] == 1:  # Keras' loop accepts (n, T, 1), too
            mask = keras.ops.squeeze(mask, -1)
        self._check_inputs(sequences, mask)
        states = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
        return implementation.run_layer(self.layer_call(training), sequences, states, mask)

    def _selected_on_this_backend(self) -> Implementation | None:
        """Return the selected implementation, or None if Keras' own code runs the layer on a backend not TensorFlow.

        On such a backend, a request for an implementation that requires TensorFlow has no effect, so that a model runs
        on any backend.
        """
        backend = keras.backend.backend()
        requested = implementations().get(self.implementation)
        if requested is not None and requested.backends is not None and backend not in requested.backends:
            return None
        implementation = implementations()[self.selected_implementation()]
        return implementation if backend == "tensorflow" or implementation.backends is not None else None

    def _check_inputs(self, sequences: Tensor, mask: Tensor | None) -> None:
        """Raise a ValueError if the sequences are complex, or if the mask has another shape."""
        check_real(self.name, sequences)
        if mask is not None:
            check_mask(self.name, "mask", mask, sequences)

    def layer_call(self, training: bool) -> LayerCall:
        """Return the description of this layer that is passed to implementations."""
        dropped = dropped_matrices(self.cell, self.weight_dropout.call) if training and self.weight_dropout else {}
        return LayerCall(
            recurrence=cell_recurrence(self.cell),
            weights=lambda: {**stored_weights(self.cell), **dropped},
            input_dim=getattr(self.cell, "input_dim", 0),  # not used for cells without this attribute
            go_backwards=self.go_backwards,
            return_sequences=self.return_sequences,
            zero_output_for_mask=self.zero_output_for_mask,
            training=bool(training),
            compute_dtype=self.compute_dtype,
            input_dropout=partial(self._input_dropout, training=training),
            keras_loop=partial(self._keras_loop, training=training, dropped=dropped),
            keras_cudnn=partial(self._keras_inner_loop, training=training, dropped=dropped),
            cache=self._cache.content,
        )

    def _input_dropout(self, sequences: Tensor, training: bool) -> Tensor:
        """Apply the cell's input dropout, with one mask for all steps."""
        if not training or not self.cell.dropout:
            return sequences
        return sequences * self.cell.get_dropout_mask(sequences[:, 0, :])[:, None]

    def _keras_loop(
        self,
        sequences: Tensor,
        states: Nested,
        mask: Tensor | None,
        *,
        training: bool,
        dropped: Mapping[str, Tensor],
    ) -> LoopResult:
        """Run the loop over time, with the tensors `dropped` as the weights of these names."""
        with replaced_weights(self.cell, dropped):
            step, inputs = self._step(sequences, training)
            states = states if isinstance(states, (list, tuple)) else [states]
            if self.zoneout:
                step, inputs = self.zoneout.apply(step, inputs, states, training)
            return _compat.backend_rnn()(
                step,
                inputs,
                states,
                go_backwards=self.go_backwards,
                mask=mask,
                unroll=self.unroll,
                input_length=sequences.shape[1],
                zero_output_for_mask=self.zero_output_for_mask,
                return_all_outputs=self.return_sequences,
            )

    def _step(self, sequences: Tensor, training: bool) -> tuple[Step, Tensor]:
        """Return the step of the loop and its inputs."""
        options = {"training": training} if _compat.reads_training(self.cell) else {}

        def step(x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            if self.stateful and keras.backend.backend() == "torch":  # which overwrites the states in place
                states = [keras.ops.copy(state) for state in states]
            output, new_states = self.cell(x, states, **options)
            return output, list(new_states) if isinstance(new_states, (list, tuple)) else [new_states]

        return step, sequences

    def _keras_inner_loop(
        self,
        sequences: Tensor,
        states: Nested,
        mask: Tensor | None,
        *,
        training: bool,
        dropped: Mapping[str, Tensor],
    ) -> LoopResult:
        """Run the implementation that Keras itself selects: cuDNN if it is supported, else its loop."""
        with replaced_weights(self.cell, dropped):
            return super().inner_loop(sequences, states, mask, training=training)

    def _run_on_other_backend(
        self, sequences: Tensor, initial_state: Nested, mask: Nested, training: bool
    ) -> LoopResult:
        call = self.layer_call(training)
        run = call.keras_loop if self.any_cell or self.zoneout else call.keras_cudnn
        return run(sequences, initial_state, mask)

    @override
    def get_config(self) -> Config:
        config = {**super().get_config(), "implementation": self.implementation}
        if getattr(self, "use_cudnn", "auto") != "auto":
            config["use_cudnn"] = self.use_cudnn  # missing from Keras' configuration
        return config


def _implementation_name(implementation: str | int) -> str:
    """Return the argument `implementation`, with "auto" for Keras' integers."""
    is_integer = isinstance(implementation, int) and not isinstance(implementation, bool)
    if is_integer and implementation in KERAS_IMPLEMENTATIONS:
        return selection.AUTO
    return cast("str", implementation)  # `selection.check` rejects values that are not strings


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class LSTM(SelectsImplementation, keras.layers.LSTM):
    """Drop-in replacement for `keras.layers.LSTM` with a fast implementation on CPUs.

    Arguments, weights, results, and weight files are those of `keras.layers.LSTM`. With input gate i, forget gate f,
    output gate o, candidate g, a = `activation`, and s = `recurrent_activation`:

        i, f, o = s(x_t W + h_{t-1} U + b),  g = a(x_t W_g + h_{t-1} U_g + b_g)
        c_t = f c_{t-1} + i g,  h_t = o a(c_t)

    Args:
        args: Positional arguments of `keras.layers.LSTM`.
        implementation: "auto", "cudnn", "native", "xla", or "loop". "auto" selects cuDNN on a GPU if the layer is
            eligible, native code or else XLA on a CPU, and Keras' loop otherwise. "native" is not supported in exported
            graphs and with `jit_compile=True`; "auto" selects XLA or the loop there. Keras' own values 0, 1, and 2 are
            accepted and mean "auto".
        kwargs: Keyword arguments of `keras.layers.LSTM`.

    Call arguments:
        sequences: Inputs x, (n, T, d).
        initial_state: List [h, c] of tensors (n, h). Defaults to zeros.
        mask: Boolean mask (n, T), False at steps to skip. Masks of any form are supported; the results equal those of
            Keras' loop for every implementation.
        training: If True, apply dropout.

    Output shape:
        (n, h), or (n, T, h) with `return_sequences=True`.

    Raises:
        ValueError: If the requested implementation does not support the layer; the message states the reason. If
            cuDNN is requested on a machine without a GPU, the error is raised when the layer is called, not when it
            is created, so that a model can be loaded on any machine.

    Sources: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000.

    >>> import keras
    >>> from deeprnn_keras import LSTM
    >>> model = keras.Sequential([keras.Input((None, 3)), LSTM(8, return_sequences=True), LSTM(8)])
    >>> model.output_shape
    (None, 8)
    """


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class GRU(SelectsImplementation, keras.layers.GRU):
    """Drop-in replacement for `keras.layers.GRU` with a fast implementation on CPUs.

    Arguments, weights, results, and weight files are those of `keras.layers.GRU`. With update gate z, reset gate r,
    candidate g, a = `activation`, and s = `recurrent_activation`:

        z, r = s(x_t W + h_{t-1} U + b),  g = a(x_t W_g + b_g + r (h_{t-1} U_g + b'_g))
        h_t = z h_{t-1} + (1 - z) g

    With `reset_after=False`, the candidate is g = a(x_t W_g + (r h_{t-1}) U_g + b_g).

    Args:
        args: Positional arguments of `keras.layers.GRU`.
        implementation: "auto", "cudnn", "native", "xla", or "loop", as in `LSTM`.
        kwargs: Keyword arguments of `keras.layers.GRU`.

    The call arguments and the output shape are those of `LSTM`; the initial state is one tensor h, (n, h).

    Raises:
        ValueError: If the requested implementation does not support the layer; the message states the reason.

    Source: Cho et al. 2014 (arXiv:1406.1078).

    >>> import keras
    >>> from deeprnn_keras import GRU
    >>> GRU(8, implementation="xla").get_config()["implementation"]
    'xla'
    """


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class SimpleRNN(SelectsImplementation, keras.layers.SimpleRNN):
    """Drop-in replacement for `keras.layers.SimpleRNN` with a fast implementation on CPUs.

    Arguments, weights, results, and weight files are those of `keras.layers.SimpleRNN`. With a = `activation`:

        h_t = a(x_t W + h_{t-1} U + b)

    Args:
        args: Positional arguments of `keras.layers.SimpleRNN`.
        implementation: "auto", "native", "xla", or "loop", as in `LSTM`. Keras has no cuDNN path for this layer.
        kwargs: Keyword arguments of `keras.layers.SimpleRNN`.

    The call arguments and the output shape are those of `LSTM`; the initial state is one tensor h, (n, h).

    Raises:
        ValueError: If the requested implementation does not support the layer; the message states the reason.

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
    """Drop-in replacement for `keras.layers.RNN` that is faster for Keras' cells and for `RecurrentCell`.

    On a CPU, subclasses of `RecurrentCell` (cells that are defined by their equations) run on XLA, or as a scan if
    their recurrence is elementwise, and Keras' LSTM, GRU, and simple RNN cells in native code or on XLA. On a GPU or on
    another backend, a `RecurrentCell` that is linear in its states runs without a loop; another one runs in the loop,
    but all terms that do not depend on the state are computed for all steps at once. Any other cell runs as in Keras.

    Args:
        cell: A Keras cell, or a list of cells, as in `keras.layers.RNN`.
        implementation: "auto", "native", "scan", "linear_scan", "xla", or "loop", as in `DeepRNN`.
        args: Further positional arguments of `keras.layers.RNN`.
        kwargs: Keyword arguments of `keras.layers.RNN`.

    Raises:
        ValueError: If the requested implementation does not support the layer; the message states the reason.

    >>> import keras
    >>> from deeprnn_keras import RNN
    >>> from deeprnn_keras.cells import MLPGateLSTMCell
    >>> model = keras.Sequential([keras.Input((None, 3)), RNN(MLPGateLSTMCell(8, gate_units=(16,)))])
    >>> model.output_shape
    (None, 8)
    """

    any_cell = True

    @override
    def _step(self, sequences: Tensor, training: bool) -> tuple[Step, Tensor]:
        cell = self.cell
        if not isinstance(cell, RecurrentCell):
            return super()._step(sequences, training)
        projected = cell.project_inputs(sequences, training)

        def step(x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            new_states = cell.step(Blocks(x, projected.names), states, training)
            return new_states[0], new_states

        return step, projected.tensor
