"""A layer's passes over sequences as TensorFlow operations that are differentiable twice.

`tf.numpy_function` passes arrays to `sequences.py` and back without copying. It has no gradient, which TensorFlow would
read as zero; so both the forward and the backward pass have custom gradients, and that of the backward pass is derived
from plain TensorFlow operations (`plain.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.native import sequences
from deeprnn_keras.kernels.native.plain import plain_layer
from deeprnn_keras.kernels.native.sequences import Inputs, Layer, LayerWeights

Arrays: TypeAlias = "list[np.ndarray]"

ZERO_BEFORE_FIRST_VALID = True  # as the outputs of Keras' loop


def read_weight(weight: Tensor) -> Tensor:
    """Return the value of a variable of the backend in float32."""
    return tf.cast(tf.convert_to_tensor(weight), tf.float32)


def run_sequence(
    layer: Layer, x: Tensor, weights: LayerWeights, states: Sequence[Tensor], mask: Tensor | None, training: bool
) -> tuple[Tensor | None, list[Tensor]]:
    """Return the outputs of all steps (None without `return_sequences`) and the final states of a layer.

    Args:
        layer: The layer.
        x: float32, (n, T, d), or feature-major, (T, d, columns).
        weights: Its weights.
        states: Initial states, float32, (n, h) each.
        mask: (n, T) of bool, or None.
        training: Store what the backward pass needs; otherwise a gradient runs the forward pass again.
    """
    call = _Call(layer, weights.bias is not None, mask, len(states), training)
    # In eager mode a tape that does not watch x now never asks for its gradient. In a graph, an outer one may: dx then
    # is an operation of its own, which TensorFlow removes if nothing reads it.
    needs_x = _compat.is_recorded(x)
    weight_tensors = [weight for weight in weights if weight is not None]

    @tf.custom_gradient
    def run(*inputs: Tensor) -> tuple[Any, ...]:
        results = call.forward(inputs)
        outputs, stored = results[: call.num_outputs], results[call.num_outputs :]

        def gradient(*d_outputs: Tensor) -> list[Tensor | None]:
            return _gradients(call, needs_x, inputs, stored, _dense(d_outputs))

        return outputs, gradient

    results = run(x, *weight_tensors, *states)
    y = results[0] if layer.return_sequences else None
    return y, list(results[call.num_outputs - len(states) :])


class _Call:
    """One call of a layer: the functions on arrays, and the shapes of their results.

    Inputs are ordered x, kernel, recurrent_kernel, [bias], *states.
    """

    def __init__(self, layer: Layer, has_bias: bool, mask: Tensor | None, num_states: int, training: bool) -> None:
        self.layer, self.has_bias, self.mask, self.training = layer, has_bias, mask, training
        self.num_states = num_states
        self.num_outputs = int(layer.return_sequences) + num_states
        self.num_stored = sequences.num_stored(layer) if training else 0

    def arrays(self, inputs: Sequence[np.ndarray]) -> Inputs:
        """Return the `Inputs` from arrays in the order above, followed by the mask if there is one."""
        x, kernel, recurrent_kernel, *rest = inputs
        mask = rest.pop() if self.mask is not None else None
        bias = rest.pop(0) if self.has_bias else None
        return Inputs(x, kernel, recurrent_kernel, bias, rest[: self.num_states], mask)

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return [y], final states, and the stored tensors."""

        def run(*arrays: np.ndarray) -> Arrays:
            outputs = sequences.forward(self.layer, self.arrays(arrays), self.training)
            return [*([] if outputs.y is None else [outputs.y]), *outputs.states, *outputs.stored]

        results = numpy_function(run, [*inputs, *self.masks], self.num_outputs + self.num_stored)
        self.set_output_shapes(results, inputs)
        return results

    @property
    def masks(self) -> list[Tensor]:
        """The mask, if there is one."""
        return [] if self.mask is None else [self.mask]

    def set_output_shapes(self, results: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
        """Set the static shapes of y and the final states."""
        x, states = inputs[0], inputs[len(inputs) - self.num_states :]
        units = states[0].shape[-1]
        for state, initial in zip(results[self.num_outputs - self.num_states :], states, strict=False):
            state.set_shape((initial.shape[0], units))
        if not self.layer.return_sequences:
            return
        steps = x.shape[1] if self.layer.x_batch_major else x.shape[0]
        if self.layer.y_batch_major:
            results[0].set_shape((states[0].shape[0], steps, units))
        else:
            results[0].set_shape((steps, units, None if self.layer.x_batch_major else x.shape[2]))

    def backward(
        self,
        inputs: Sequence[Tensor],
        stored: Sequence[Tensor],
        d_outputs: Sequence[Tensor],
        only_x: bool,
        with_x: bool,
    ) -> list[Tensor]:
        """Return the gradients of the inputs, with that of x only, with it, or without it."""
        num_inputs = len(inputs) + len(self.masks)

        def run(*arrays: np.ndarray) -> Arrays:
            read = self.arrays(arrays[:num_inputs])
            saved, d_results = list(arrays[num_inputs : num_inputs + len(stored)]), arrays[num_inputs + len(stored) :]
            if not self.training:
                saved = sequences.forward(self.layer, read, training=True).stored
            d_y = d_results[0] if self.layer.return_sequences else None
            d_states = list(d_results[len(d_results) - self.num_states :])
            x, *weights, states = sequences.backward(self.layer, read, saved, d_y, d_states, only_x or with_x)
            gradients = [x] if only_x else [x, *weights, *states]  # x and the bias are None if not computed
            return [gradient for gradient in gradients if gradient is not None]

        expected = list(inputs[:1] if only_x else inputs if with_x else inputs[1:])
        results = numpy_function(run, [*inputs, *self.masks, *stored, *d_outputs], len(expected))
        for result, like in zip(results, expected, strict=True):
            result.set_shape(like.shape)
        return results


def numpy_function(run: Callable[..., Arrays], inputs: Sequence[Tensor], num_results: int) -> list[Tensor]:
    """Return `run(*arrays)` as tensors; the arrays are those of the inputs, not copies."""
    if tf.executing_eagerly():
        return [tf.convert_to_tensor(result) for result in run(*[tensor.numpy() for tensor in inputs])]
    with tf.device("CPU:0"):
        return tf.numpy_function(run, list(inputs), [tf.float32] * num_results, stateful=False)


def _gradients(
    call: _Call, needs_x: bool, inputs: Sequence[Tensor], stored: Sequence[Tensor], d_outputs: Sequence[Tensor]
) -> list[Tensor | None]:
    """Return the gradients of the inputs."""
    if needs_x:
        return _differentiable_gradients(call, inputs, stored, d_outputs, only_x=False, with_x=True)
    others = _differentiable_gradients(call, inputs, stored, d_outputs, only_x=False, with_x=False)
    if tf.executing_eagerly():
        return [None, *others]
    return [*_differentiable_gradients(call, inputs, stored, d_outputs, only_x=True, with_x=False), *others]


def _differentiable_gradients(
    call: _Call,
    inputs: Sequence[Tensor],
    stored: Sequence[Tensor],
    d_outputs: Sequence[Tensor],
    only_x: bool,
    with_x: bool,
) -> list[Tensor]:
    """Return some gradients of the inputs, themselves differentiable with respect to the inputs and `d_outputs`."""
    count = len(inputs)

    @tf.custom_gradient
    def first(*tensors: Tensor) -> tuple[Any, ...]:
        gradients = call.backward(tensors[:count], stored, tensors[count:], only_x, with_x)

        def second(*upstream: Tensor) -> list[Tensor]:
            return _second_gradients(call, tensors, count, only_x, with_x, upstream)

        return gradients, second

    return list(first(*inputs, *d_outputs))


def _second_gradients(
    call: _Call, tensors: Sequence[Tensor], count: int, only_x: bool, with_x: bool, upstream: Sequence[Tensor]
) -> list[Tensor]:
    """Differentiate the gradients of the layer in plain TensorFlow operations."""
    with tf.GradientTape() as outer:
        outer.watch(tensors)
        inputs, d_outputs = tensors[:count], tensors[count:]
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            outputs = plain_layer(call.layer, call.has_bias, inputs, call.mask)
        gradients = _dense(inner.gradient(outputs, inputs, output_gradients=d_outputs, unconnected_gradients="zero"))
        selected = gradients[:1] if only_x else gradients if with_x else gradients[1:]
    return _dense(outer.gradient(selected, tensors, output_gradients=_dense(upstream), unconnected_gradients="zero"))


def _dense(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Return gradients as tensors; those of a gathered tensor are `tf.IndexedSlices`."""
    return [tf.convert_to_tensor(gradient) for gradient in gradients]


# === Layout ===


def to_columns(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return sequences (n, T, d) feature-major, (T, d, columns), with 0 at masked steps and in the padding."""
    return _convert(x, mask, tf.shape(x)[0], to=True, clear_masked=True)


def from_columns(x: Tensor, mask: Tensor | None, batch_size: Tensor | int) -> Tensor:
    """Return feature-major sequences (T, d, columns) as (n, T, d)."""
    return _convert(x, mask, batch_size, to=False, clear_masked=False)


def _convert(x: Tensor, mask: Tensor | None, batch_size: Tensor | int, to: bool, clear_masked: bool) -> Tensor:
    """Convert a layout; the gradient is the conversion back, and so is differentiable itself."""
    masks = [] if mask is None else [mask]

    def run(x: np.ndarray, n: np.ndarray, *masks: np.ndarray) -> Arrays:
        mask = masks[0] if masks else None
        return [sequences.to_columns(x, mask, clear_masked) if to else sequences.from_columns(x, mask, int(n))]

    @tf.custom_gradient
    def convert(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        (result,) = numpy_function(run, [x, tf.convert_to_tensor(batch_size), *masks], 1)
        if to:
            result.set_shape((x.shape[1], x.shape[2], None))
        else:
            result.set_shape((batch_size if isinstance(batch_size, int) else None, x.shape[0], x.shape[1]))

        def gradient(d_result: Tensor) -> Tensor:
            (d_result,) = _dense([d_result])
            # Masked steps of x were cleared: their gradient, which layers leave at 0, has no effect either.
            d_x = _convert(d_result, mask, batch_size, not to, clear_masked=False)
            d_x.set_shape(x.shape)
            return d_x

        return result, gradient

    return convert(x)
