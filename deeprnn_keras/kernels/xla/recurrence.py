"""Interface of a recurrence on XLA: one step of the forward pass and of the backward pass.

All tensors are feature-major: x (d, n), h (h, n).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf
from typing_extensions import override

from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.xla.time_products import merge_time, split_time, sum_outer_products

Tensors: TypeAlias = "list[Tensor]"
"""Tensors of one step, (rows, n) each, or of all steps, (T, rows, n) each."""

Packed: TypeAlias = "Sequence[Any]"
"""Weights in the form that the steps of a recurrence need, from `StepRecurrence.pack`."""


class Weights(NamedTuple):
    """Weights of a layer, prepared once per batch and used for every piece of the sequence.

    Attributes:
        trainable: Weights to differentiate with respect to, in the order of the arguments of `pack`.
        packed: The same weights in the form that a step needs, without a gradient.
        projection: Additional values that `project_inputs` needs.
    """

    trainable: Tensors
    packed: Packed
    projection: Any = None


class ForwardRecord(NamedTuple):
    """Tensors of the forward pass that the backward pass reads: of one step, or of all steps with a leading axis T.

    Attributes:
        x: Input (d, n).
        states_before: States before the step, (h, n) each.
        states_after: States after the step, (h, n) each.
        saved: Other tensors returned by `forward_step`, (rows, n) each.
    """

    x: Tensor
    states_before: Tensors
    states_after: Tensors
    saved: Tensors


class StepRecurrence(ABC):
    """One step of a recurrence and its gradient.

    Attributes:
        num_states: Number of states carried from step to step. The first is the output.
    """

    num_states: int

    @abstractmethod
    def weights(self, input_dim: int, stored: Mapping[str, Tensor]) -> Weights:
        """Return the `Weights` from the tensors that the cell stores, by name."""

    @abstractmethod
    def pack(self, *trainable: Tensor) -> Packed:
        """Return the weights in the form that a step needs."""

    def project_inputs(self, x: Tensor, weights: Weights) -> Tensor:
        """Return the input of the steps for x (T, d, n), differentiable; by default x itself."""
        return x

    def hoist_input_projection(self, packed: Packed, x: Tensor) -> tuple[Packed, Tensor]:
        """Return (packed, x) with the input projection computed for all steps at once.

        Called for small batches, where this is faster. By default nothing is hoisted.
        """
        return packed, x

    @abstractmethod
    def saved_rows(self, units: int) -> list[int]:
        """Return the number of rows of each tensor that a forward step saves in addition to its states."""

    @abstractmethod
    def gradient_rows(self, units: int) -> list[int]:
        """Return the number of rows of each tensor that a backward step stores for `weight_gradients`."""

    @abstractmethod
    def forward_step(self, packed: Packed, x: Tensor, states: Tensors) -> tuple[Tensors, Tensors]:
        """Return the new states and the tensors to save for the backward pass."""

    @abstractmethod
    def backward_step(self, packed: Packed, record: ForwardRecord, d_states: Tensors) -> tuple[Tensors, Tensors]:
        """Return the tensors to store for `weight_gradients` and the gradient with respect to the states before.

        Args:
            packed: Weights from `pack`.
            record: The step in the forward pass.
            d_states: Gradient of the loss with respect to the states after the step, (h, n) each.
        """

    @abstractmethod
    def weight_gradients(self, record: ForwardRecord, stored: Tensors) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the argument of `input_gradient` and the gradients of the weights in the order of `pack`.

        Args:
            record: All steps of the forward pass.
            stored: First result of `backward_step` for all steps, (T, rows, n) each.
        """

    def input_weights(self, packed: Packed) -> Tensor | None:
        """Return the packed weights that `input_gradient` needs; None by default."""
        return None

    def input_gradient(self, weights: Tensor | None, d_projected: Tensor, x: Tensor) -> Tensor:
        """Return dx (T, d, n); by default `d_projected`, since TensorFlow differentiates `project_inputs`.

        Args:
            weights: Weights from `input_weights`.
            d_projected: First result of `weight_gradients`.
            x: Input of the steps; only its shape matters.
        """
        return d_projected


class KerasRecurrence(StepRecurrence):
    """Base class of the hand-written recurrences: weights in Keras' layout, gates as blocks of rows.

    Kernel W (d, G h), recurrent kernel U (h, G h), bias (G h,) or (2, G h). `dz` (T, G h, n) is the gradient of the
    loss with respect to the pre-activations z.

    Attributes:
        num_saved: Number of tensors (h, n) that a forward step saves in addition to its states.
        num_blocks: Number of blocks of h rows in dz.
        bias_rows: Number of rows of the bias, or None if it is a vector.
    """

    num_saved: int
    num_blocks: int
    bias_rows: int | None = None

    @override
    def weights(self, input_dim: int, stored: Mapping[str, Tensor]) -> Weights:
        """Return the `Weights` of a Keras cell; a missing bias is 0."""
        kernel, recurrent_kernel = stored["kernel"], stored["recurrent_kernel"]
        width = kernel.shape[1]
        shape = (width,) if self.bias_rows is None else (self.bias_rows, width)
        bias = stored["bias"] if "bias" in stored else tf.zeros(shape, kernel.dtype)
        trainable = [kernel, recurrent_kernel, bias]
        return Weights(trainable, list(self.pack(*map(tf.stop_gradient, trainable))))

    @override
    def saved_rows(self, units: int) -> list[int]:
        return [units] * self.num_saved

    @override
    def gradient_rows(self, units: int) -> list[int]:
        """Return the number of rows of dz."""
        return [self.num_blocks * units]

    @override
    def input_weights(self, packed: Packed) -> Tensor | None:
        """Return W^T; in a `JointRecurrence`, [W | U]^T."""
        return packed[0]

    @override
    def input_gradient(self, weights: Tensor | None, d_projected: Tensor, x: Tensor) -> Tensor:
        """Return dx from dz (G h, T n)."""
        assert weights is not None
        return split_time(tf.matmul(weights[:, : x.shape[1]], d_projected, transpose_a=True), x)


class JointRecurrence(KerasRecurrence):
    """Base class of LSTM and plain RNN, with one product per step: z = [W | U]^T [x; h] + b.

    With a hoisted input projection, x is W^T x + b, and the packed bias is None.
    """

    @override
    def pack(self, *trainable: Tensor) -> Packed:
        """Return ([W | U]^T, U, b as a column), transposed once since products with a transposed matrix are slow."""
        kernel, recurrent_kernel, bias = trainable
        return tf.transpose(tf.concat([kernel, recurrent_kernel], 0)), recurrent_kernel, bias[:, None]

    @override
    def hoist_input_projection(self, packed: Packed, x: Tensor) -> tuple[Packed, Tensor]:
        """Return (packed, W^T x + b)."""
        joint, recurrent_kernel, bias = packed
        width = x.shape[1]
        projected = split_time(tf.matmul(joint[:, :width], merge_time(x)) + bias, x)
        return (joint[:, width:], recurrent_kernel, None), projected

    @override
    def weight_gradients(self, record: ForwardRecord, stored: Tensors) -> tuple[Tensor, Sequence[Tensor]]:
        """Return dz (G h, T n) and (dW, dU, db)."""
        dz, h_before = merge_time(stored[0]), record.states_before[0]
        d_kernel = sum_outer_products(merge_time(record.x), dz)
        d_recurrent_kernel = sum_outer_products(merge_time(h_before), dz)
        return dz, (d_kernel, d_recurrent_kernel, tf.reduce_sum(dz, 1))
