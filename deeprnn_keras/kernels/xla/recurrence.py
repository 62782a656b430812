"""Contract of a recurrence with the XLA implementation: one step forward, and its gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from deeprnn_keras.kernels.xla.products import flat, product_over_time, unflat

Tensor = Any


class Weights(NamedTuple):
    """The weights of a layer, prepared once per batch and used by every piece of the sequence.

    Attributes:
        given: Tensors by which the gradient is taken, in the order of `pack`'s arguments.
        packed: The same as a step needs them, without a gradient.
        projecting: What only `project_inputs` needs.
    """

    given: list[Tensor]
    packed: Sequence[Tensor]
    projecting: Any = None


class StepRecurrence(ABC):
    """The contract: one step forward and its gradient, feature-major, x (d, n), h (h, n).

    Attributes:
        states: Number of tensors that a step carries, the output first.
    """

    states: int

    @abstractmethod
    def weights(self, input_dim: int, stored: Mapping[str, Tensor]) -> Weights:
        """Return the `Weights` from the tensors that the cell stores, by name."""

    def project_inputs(self, x: Tensor, weights: Weights) -> Tensor:
        """Return what a step gets of x (T, d, n), differentiable; here x itself."""
        return x

    def hoisted(self, packed: Sequence[Tensor], x: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Return (packed, x) with the input's part of the products taken over all steps at once, where that is faster.

        It is for very few examples. Here nothing changes.
        """
        return packed, x

    @abstractmethod
    def saved_rows(self, units: int) -> list[int]:
        """Return the rows of each tensor that a step stores for the backward pass, beside its states."""

    @abstractmethod
    def written_rows(self, units: int) -> list[int]:
        """Return the rows of each tensor that a step of the backward pass writes down."""

    @abstractmethod
    def forward(self, packed: Sequence[Tensor], x: Tensor, states: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the new states, and what the backward pass needs."""

    @abstractmethod
    def backward(
        self,
        packed: Sequence[Tensor],
        x: Tensor,
        saved: list[Tensor],
        before: list[Tensor],
        after: list[Tensor],
        gradient: list[Tensor],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return what is written down for the gradients of the weights, and the gradient by the states before."""

    @abstractmethod
    def weight_gradients(
        self, x: Tensor, earlier: list[Tensor], written: list[Tensor], saved: list[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return what `input_gradient` needs, and the gradients of the weights in the order of `pack`'s arguments.

        Args:
            x: (T, d, n).
            earlier: The states before each step, (T, h, n) each.
            written: What `backward` wrote, (T, rows, n) each.
            saved: What `forward` stored, (T, rows, n) each.
        """

    @abstractmethod
    def input_gradient(self, packed: Sequence[Tensor], left: Tensor, x: Tensor) -> Tensor:
        """Return dx (T, d, n) from what `weight_gradients` left over."""


class KerasRecurrence(StepRecurrence):
    """Base of the recurrences written by hand: the gates are blocks of rows, weights come in Keras' layout.

    Kernel W (d, G h), recurrent kernel U (h, G h), bias (G h,) or (2, G h). `dz` (T, G h, n) is the gradient of the
    loss by z.

    Attributes:
        saved: Number of tensors (h, n) that a step stores, beside its states.
        blocks: Rows of dz, in units of h.
        bias_rows: Rows of the bias, or None for a vector.
    """

    saved: int
    blocks: int
    bias_rows: int | None = None

    def weights(self, input_dim: int, stored: Mapping[str, Tensor]) -> Weights:
        """Return the `Weights` of a Keras cell; a missing bias is 0."""
        kernel, recurrent_kernel = stored["kernel"], stored["recurrent_kernel"]
        width = kernel.shape[1]
        shape = (width,) if self.bias_rows is None else (self.bias_rows, width)
        bias = stored["bias"] if "bias" in stored else tf.zeros(shape, kernel.dtype)
        given = [kernel, recurrent_kernel, bias]
        return Weights(given, list(self.pack(*map(tf.stop_gradient, given))))

    @abstractmethod
    def pack(self, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor) -> Sequence[Tensor]:
        """Return the weights as a step needs them."""

    def saved_rows(self, units: int) -> list[int]:
        """Return the rows of each tensor that a step stores."""
        return [units] * self.saved

    def written_rows(self, units: int) -> list[int]:
        """Return the rows of dz."""
        return [self.blocks * units]

    def input_gradient(self, packed: Sequence[Tensor], left: Tensor, x: Tensor) -> Tensor:
        """Return dx from dz (G h, T n).

        From the packed weights, which are copies: nothing waits for dx but the layer below, so that an optimizer may
        write the variables in the meantime.
        """
        return unflat(tf.matmul(packed[0][:, : x.shape[1]], left, transpose_a=True), x)


class JointRecurrence(KerasRecurrence):
    """One product per step, z = [W | U]^T [x; h] + b; the base of LSTM and plain RNN.

    A step whose input is projected already gets no bias, and x = W^T x + b.
    """

    def pack(self, kernel: Tensor, recurrent_kernel: Tensor, bias: Tensor) -> Sequence[Tensor]:
        """Return the weights as a step needs them: transposed once, for products with a transposed matrix are slow."""
        return tf.transpose(tf.concat([kernel, recurrent_kernel], 0)), recurrent_kernel, bias[:, None]

    def hoisted(self, packed: Sequence[Tensor], x: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Return (packed, W^T x + b)."""
        joint, recurrent_kernel, bias = packed
        inputs = x.shape[1]
        return (joint[:, inputs:], recurrent_kernel, None), unflat(tf.matmul(joint[:, :inputs], flat(x)) + bias, x)

    def weight_gradients(
        self, x: Tensor, earlier: list[Tensor], written: list[Tensor], saved: list[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Return dz flat, (dW, dU, db)."""
        dz, h_before = flat(written[0]), earlier[0]
        gradients = product_over_time(flat(x), dz), product_over_time(flat(h_before), dz), tf.reduce_sum(dz, 1)
        return dz, gradients
