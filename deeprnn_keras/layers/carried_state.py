"""The states that a stateful stack carries from one batch to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from deeprnn_keras import _compat

Tensor = Any


class CarriedState:
    """Recurrent states carried from one batch to the next, per batch row.

    Training and evaluation use separate sets, so that validation does not disturb training. On TensorFlow the batch
    size may change whenever the states are reset; on other backends it is fixed.

    Args:
        name: Name of the layer, for errors.
        sizes: For each level a list of widths.
        dtype: Of the states.
        batch: n, or None where unknown.
    """

    def __init__(self, name: str, sizes: Sequence[Sequence[int]], dtype: str, batch: int | None) -> None:
        self._sizes = sizes
        widths = [width for level in sizes for width in level]
        store = TensorFlowStates if keras.backend.backend() == "tensorflow" else FixedBatchStates
        self._stores: list[StateStore] = [store(name, widths, dtype, batch) for _ in range(2)]

    @property
    def variables(self) -> list[list[Any]]:
        """The variables of both sets: evaluation, training."""
        return [store.variables for store in self._stores]

    def read(self, batch_size: Tensor, reset_mask: Tensor | None, training: bool) -> list[list[Tensor]]:
        """Return the states of each level, (n, width); rows selected by `reset_mask` are zero."""
        flat = iter(self._stores[bool(training)].read(batch_size, reset_mask))
        return [[next(flat) for _ in level] for level in self._sizes]

    def store(self, states: Sequence[Sequence[Tensor]], training: bool) -> None:
        """Store the final states of a batch."""
        self._stores[bool(training)].store([part for level in states for part in level])

    def reset(self) -> None:
        """Reset both sets to zero."""
        for store in self._stores:
            store.reset()

    def to_arrays(self) -> list[np.ndarray]:
        """Return the states as arrays: those of evaluation, then those of training."""
        return [array for store in self._stores for array in store.to_arrays()]

    def from_arrays(self, arrays: Sequence[np.ndarray]) -> None:
        """Restore what `to_arrays` returned."""
        count = len(arrays) // len(self._stores)
        for number, store in enumerate(self._stores):
            store.store(arrays[number * count : (number + 1) * count])


class StateStore(Protocol):
    """Variables that hold one set of states."""

    variables: list[Any]

    def read(self, batch_size: Tensor, reset_mask: Tensor | None) -> list[Tensor]:
        """Return the states (n, width)."""

    def store(self, states: Sequence[Tensor]) -> None:
        """Store the states."""

    def reset(self) -> None:
        """Set the states to zero."""

    def to_arrays(self) -> list[np.ndarray]:
        """Return the states as arrays."""


class FixedBatchStates:
    """States on backends without variables of unknown shape."""

    def __init__(self, name: str, widths: Sequence[int], dtype: str, batch: int | None) -> None:
        self.variables = [keras.Variable(ops.zeros((batch, width)), dtype=dtype, trainable=False) for width in widths]

    def read(self, batch_size: Tensor, reset_mask: Tensor | None) -> list[Tensor]:
        """Return the states (n, width)."""
        states = [ops.convert_to_tensor(variable) for variable in self.variables]
        return states if reset_mask is None else [ops.where(reset_mask[:, None], 0.0, state) for state in states]

    def store(self, states: Sequence[Tensor]) -> None:
        """Store the states."""
        for variable, state in zip(self.variables, states, strict=True):
            variable.assign(state)

    def reset(self) -> None:
        """Set the states to zero."""
        for variable in self.variables:
            variable.assign(ops.zeros_like(variable))

    def to_arrays(self) -> list[np.ndarray]:
        """Return the states as arrays."""
        return [ops.convert_to_numpy(variable) for variable in self.variables]


class TensorFlowStates:
    """States whose number of rows is that of the last batch; each device has its own.

    The number of rows is a variable too: a shape is not read in the order in which the program reads and assigns. The
    batch size need not be known; where the whole step is compiled by XLA it must, since that cannot change a shape.
    """

    def __init__(self, name: str, widths: Sequence[int], dtype: str, batch: int | None) -> None:
        import tensorflow as tf

        self._name = name
        with tf.init_scope():
            self._rows = _variable(tf.zeros((), "int32"), ())
            self._states = [_variable(tf.zeros((batch or 0, width), dtype), (None, width)) for width in widths]
        self.variables = [self._rows, *self._states]

    def read(self, batch_size: Tensor, reset_mask: Tensor | None) -> list[Tensor]:
        """Return the states (n, width): zero where nothing is held, or where a row is reset."""
        import tensorflow as tf

        rows = self._rows.read_value()
        fits = tf.logical_or(tf.equal(rows, 0), tf.equal(rows, batch_size))
        if reset_mask is not None:
            fits = tf.logical_or(fits, tf.reduce_all(reset_mask))
        message = (
            f"{self._name}: stateful=True carries the state of each row of a batch to the same row of the next, but "
            "the previous batch had another number of rows. Use batches of one size, or call reset_state() of the "
            "layer between them. Rows before and now:"
        )
        with tf.control_dependencies([tf.debugging.Assert(fits, [message, rows, batch_size])]):
            zeros = [tf.zeros((batch_size, variable.shape[1]), variable.dtype) for variable in self._states]
        held = [variable.read_value() for variable in self._states]
        states = [tf.concat([part, rest], 0)[:batch_size] for part, rest in zip(held, zeros, strict=True)]
        if reset_mask is not None:
            states = [tf.where(reset_mask[:, None], tf.zeros_like(state), state) for state in states]
        known = tf.get_static_value(batch_size)
        for state in states:
            state.set_shape((None if known is None else int(known), state.shape[1]))
        return states

    def store(self, states: Sequence[Tensor]) -> None:
        """Store the states."""
        import tensorflow as tf

        with tf.control_dependencies(states):  # not if the batch was refused
            self._rows.assign(tf.shape(states[0])[0])
        for variable, state in zip(self._states, states, strict=True):
            variable.assign(state)

    def reset(self) -> None:
        """Set the states to zero."""
        import tensorflow as tf

        self._rows.assign(0)
        for variable in self._states:
            variable.assign(tf.zeros_like(variable))

    def to_arrays(self) -> list[np.ndarray]:
        """Return the states as arrays."""
        return [variable.numpy() for variable in self._states]


def _variable(value: Tensor, shape: tuple[int | None, ...]) -> Any:
    import tensorflow as tf

    return tf.Variable(
        value,
        trainable=False,
        shape=shape,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.NONE,
    )


class ResetStatesWithMetrics(keras.metrics.Metric):
    """Pseudo-metric that resets a layer's carried states whenever Keras resets metrics.

    Keras notifies layers neither of a new epoch nor of an evaluation, but it resets the metrics of all layers at both.
    `train_on_batch` and `test_on_batch` reset metrics too, and continue from batch to batch. The metric itself measures
    nothing.
    """

    def __init__(self, carried: CarriedState, name: str = "carried_state") -> None:
        super().__init__(name=name)
        self._carried = carried

    def reset_state(self) -> None:
        """Reset the states, unless a single batch is running."""
        if not _compat.in_single_batch():
            self._carried.reset()

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Measure nothing."""

    def result(self) -> dict:
        """Return no result."""
        return {}
