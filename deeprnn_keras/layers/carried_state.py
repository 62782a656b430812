"""Recurrent states that a stateful stack carries from one batch to the next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops
from typing_extensions import override

from deeprnn_keras import _compat
from deeprnn_keras._types import ArrayLike, Shape, Tensor

if TYPE_CHECKING:
    import tensorflow as tf


class CarriedState:
    """Recurrent states carried from one batch to the next, per batch row.

    Training and evaluation use separate sets, so that validation does not disturb training. On TensorFlow the batch
    size may change whenever the states are reset; on other backends it is fixed.

    Args:
        name: Name of the layer, for error messages.
        sizes: For each layer of the stack, a list of the widths of its states.
        dtype: Data type of the states.
        batch_size: n, or None if unknown.
    """

    def __init__(self, name: str, sizes: Sequence[Sequence[int]], dtype: str, batch_size: int | None) -> None:
        self._sizes = sizes
        widths = [width for layer in sizes for width in layer]
        store = TensorFlowStates if keras.backend.backend() == "tensorflow" else FixedBatchStates
        # index 0 (training=False): evaluation; index 1: training
        self._stores: list[StateStore] = [store(name, widths, dtype, batch_size) for _ in range(2)]

    @property
    def variables(self) -> list[list[keras.Variable | tf.Variable]]:
        """The variables of the evaluation states, then those of the training states."""
        return [store.variables for store in self._stores]

    def read(
        self, batch_size: Tensor, reset_mask: Tensor | None, initial: Sequence[Sequence[Tensor]], training: bool
    ) -> list[list[Tensor]]:
        """Return the states of each layer, (n, width).

        Args:
            batch_size: n.
            reset_mask: Mask (n,) of the rows to reset, or None.
            initial: States (n, width) of each layer for rows that are reset and after a reset of all rows.
            training: Return the states of training.
        """
        flat_initial = [state for layer in initial for state in layer]
        flat = iter(self._stores[bool(training)].read(batch_size, reset_mask, flat_initial))
        return [[next(flat) for _ in layer] for layer in self._sizes]

    def store(self, states: Sequence[Sequence[Tensor]], training: bool) -> None:
        """Store the final states of a batch."""
        self._stores[bool(training)].store([state for layer in states for state in layer])

    def reset(self) -> None:
        """Reset both sets: the next states are the initial ones."""
        for store in self._stores:
            store.reset()

    def to_arrays(self) -> list[np.ndarray]:
        """Return the states of all replicas as arrays: evaluation first, then training; without rows after a reset."""
        return [array for store in self._stores for array in store.to_arrays()]

    def from_arrays(self, arrays: Sequence[ArrayLike]) -> None:
        """Restore the states from the result of `to_arrays`."""
        count = len(arrays) // len(self._stores)
        for index, store in enumerate(self._stores):
            store.from_arrays(arrays[index * count : (index + 1) * count])


class StateStore(ABC):
    """Variables that hold one set of states.

    Args:
        name: Name of the layer, for error messages.
        widths: Width of each state.
        dtype: Data type of the states.
        batch_size: n, or None if unknown.

    Attributes:
        variables: The variables of the Keras backend.
    """

    variables: list[keras.Variable | tf.Variable]

    @abstractmethod
    def __init__(self, name: str, widths: Sequence[int], dtype: str, batch_size: int | None) -> None: ...

    @abstractmethod
    def read(self, batch_size: Tensor, reset_mask: Tensor | None, initial: Sequence[Tensor]) -> list[Tensor]:
        """Return the states (n, width); those of `initial` for rows selected by `reset_mask` and after a reset."""

    @abstractmethod
    def store(self, states: Sequence[Tensor]) -> None:
        """Store the states."""

    @abstractmethod
    def reset(self) -> None:
        """Return to the initial states."""

    @abstractmethod
    def to_arrays(self) -> list[np.ndarray]:
        """Return the states of all replicas as arrays, which have no rows after a reset."""

    @abstractmethod
    def from_arrays(self, arrays: Sequence[ArrayLike]) -> None:
        """Restore the states from the result of `to_arrays`."""


class FixedBatchStates(StateStore):
    """States for backends whose variables must have a known shape."""

    @override
    def __init__(self, name: str, widths: Sequence[int], dtype: str, batch_size: int | None) -> None:
        self._is_reset = keras.Variable(True, dtype="bool", trainable=False)
        self._states = [
            keras.Variable(ops.zeros((batch_size, width)), dtype=dtype, trainable=False) for width in widths
        ]
        self.variables = [self._is_reset, *self._states]

    @override
    def read(self, batch_size: Tensor, reset_mask: Tensor | None, initial: Sequence[Tensor]) -> list[Tensor]:
        # Copies: PyTorch overwrites variables in place, and the backward pass reads the states after `store`.
        states = [ops.copy(ops.convert_to_tensor(variable)) for variable in self._states]
        is_reset = ops.copy(ops.convert_to_tensor(self._is_reset))
        replaced = is_reset if reset_mask is None else ops.logical_or(reset_mask, is_reset)[:, None]
        return [ops.where(replaced, other, state) for state, other in zip(states, initial, strict=True)]

    @override
    def store(self, states: Sequence[Tensor]) -> None:
        self._is_reset.assign(False)
        for variable, state in zip(self._states, states, strict=True):
            variable.assign(state)

    @override
    def reset(self) -> None:
        self._is_reset.assign(True)

    @override
    def to_arrays(self) -> list[np.ndarray]:
        rows = slice(0, 0) if ops.convert_to_numpy(self._is_reset) else slice(None)
        return [ops.convert_to_numpy(variable)[rows] for variable in self._states]

    @override
    def from_arrays(self, arrays: Sequence[ArrayLike]) -> None:
        if np.shape(arrays[0])[0]:
            self.store(arrays)
        else:
            self.reset()


class TensorFlowStates(StateStore):
    """States for TensorFlow: variables that have one row for each row of the last batch. Each device has its own copy.

    The number of rows is stored in a separate variable, because TensorFlow executes reads and assignments of variables
    in program order, but not reads of their shapes. The batch size may be unknown, except in a step compiled by XLA,
    which requires static shapes.
    """

    @override
    def __init__(self, name: str, widths: Sequence[int], dtype: str, batch_size: int | None) -> None:
        import tensorflow as tf

        self._name, self._batch_size = name, batch_size
        with tf.init_scope():
            self._rows = _variable(tf.zeros((), "int32"), ())
            self._states = [_variable(tf.zeros((batch_size or 0, width), dtype), (None, width)) for width in widths]
        self.variables = [self._rows, *self._states]

    @override
    def read(self, batch_size: Tensor, reset_mask: Tensor | None, initial: Sequence[Tensor]) -> list[Tensor]:
        """Return the states (n, width); those of `initial` for rows selected by `reset_mask` and after a reset.

        Raises:
            tf.errors.InvalidArgumentError: If the batch size has changed without a reset.
            ValueError: If XLA compiles the step and the layer was built with an unknown batch size.
        """
        import tensorflow as tf

        if self._batch_size is None and _compat.is_step_compiled_by_xla():
            raise ValueError(
                f"{self._name}: with stateful=True and jit_compile=True, the batch size must be known when the layer "
                "is built; start the model with keras.Input(batch_shape=(n, ...)), or compile it with jit_compile=False"
            )
        rows = self._rows.read_value()
        fits = tf.logical_or(tf.equal(rows, 0), tf.equal(rows, batch_size))
        if reset_mask is not None:
            fits = tf.logical_or(fits, tf.reduce_all(reset_mask))
        message = (
            f"{self._name}: stateful=True carries the state of each batch row to the same row of the next batch, but "
            "the batch size has changed. Use batches of equal size, or call reset_state() of the layer between them. "
            "Previous and current batch size:"
        )
        with tf.control_dependencies([tf.debugging.Assert(fits, [message, rows, batch_size])]):
            replaced = tf.equal(rows, 0)
            zeros = [tf.zeros((batch_size, variable.shape[1]), variable.dtype) for variable in self._states]
        stored = [variable.read_value() for variable in self._states]
        states = [tf.concat([state, padding], 0)[:batch_size] for state, padding in zip(stored, zeros, strict=True)]
        if reset_mask is not None:
            replaced = tf.logical_or(replaced, reset_mask)[:, None]
        states = [tf.where(replaced, other, state) for state, other in zip(states, initial, strict=True)]
        static_batch_size = tf.get_static_value(batch_size)
        for state in states:
            state.set_shape((None if static_batch_size is None else int(static_batch_size), state.shape[1]))
        return states

    @override
    def store(self, states: Sequence[Tensor]) -> None:
        import tensorflow as tf

        with tf.control_dependencies(states):  # so that the number is not stored if the assertion in `read` fails
            self._rows.assign(tf.shape(states[0])[0])
        for variable, state in zip(self._states, states, strict=True):
            variable.assign(state)

    @override
    def reset(self) -> None:
        import tensorflow as tf

        self._rows.assign(0)
        for variable in self._states:
            variable.assign(tf.zeros_like(variable))

    @override
    def to_arrays(self) -> list[np.ndarray]:
        rows = [int(copy.numpy()) for copy in _copies(self._rows)]
        return [
            copy.numpy()[:number]
            for variable in self._states
            for copy, number in zip(_copies(variable), rows, strict=True)
        ]

    @override
    def from_arrays(self, arrays: Sequence[ArrayLike]) -> None:
        copies = [copy for variable in self._states for copy in _copies(variable)]
        for copy, array in zip(copies, arrays, strict=True):
            copy.assign(array)
        rows = _copies(self._rows)
        for copy, array in zip(rows, arrays[: len(rows)], strict=True):  # those of the first state
            copy.assign(np.shape(array)[0])


def replica_copies(variable: Tensor) -> Sequence[tf.Variable]:
    """Return the copies of a TensorFlow variable on the replicas of `tf.distribute`; none if it is not distributed."""
    strategy = getattr(variable, "distribute_strategy", None)
    return () if strategy is None else strategy.experimental_local_results(variable)


def _copies(variable: tf.Variable) -> Sequence[tf.Variable]:
    return replica_copies(variable) or [variable]


def _variable(value: Tensor, shape: Shape) -> tf.Variable:
    import tensorflow as tf

    return tf.Variable(
        value,
        trainable=False,
        shape=shape,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,  # outside of replicas, where shapes are inferred
    )
