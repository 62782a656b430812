"""A layer's passes over sequences as PyTorch functions that are differentiable once, on CPU tensors.

Arrays share the memory of the tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch

from deeprnn_keras._compat import FrameworkObject
from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.native import sequences
from deeprnn_keras.kernels.native.sequences import Inputs, Layer, LayerWeights

ZERO_BEFORE_FIRST_VALID = True  # as the outputs of Keras' loop
USE_LOOP = "pass implementation='loop'"


@dataclass(frozen=True)
class _Call:
    """One call of a layer.

    Attributes:
        layer: The layer.
        has_bias: True if the tensors, ordered x, kernel, recurrent_kernel, [bias], *states, [mask], hold a bias.
        has_mask: True if they hold a mask.
        store: Store what the backward pass needs.
    """

    layer: Layer
    has_bias: bool
    has_mask: bool
    store: bool

    @property
    def num_inputs(self) -> int:
        """Number of tensors."""
        return 3 + self.has_bias + self.layer.num_states + self.has_mask

    def arrays(self, tensors: Sequence[Tensor]) -> Inputs:
        """Return the tensors as arrays."""
        x, kernel, recurrent_kernel, *rest = map(_array, tensors)
        mask = rest.pop() if self.has_mask else None
        bias = rest.pop(0) if self.has_bias else None
        return Inputs(x, kernel, recurrent_kernel, bias, rest, mask)


def read_weight(weight: Tensor) -> Tensor:
    """Return the value of a variable of the backend in float32."""
    return weight.to(torch.float32)


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
        training: Not used: what the backward pass needs is stored if PyTorch records the call.
    """
    tensors = [tensor for tensor in (x, *weights, *states, mask) if tensor is not None]
    store = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    call = _Call(layer, weights.bias is not None, mask is not None, store)
    results = _Sequence.apply(call, *tensors)
    first = int(layer.return_sequences)
    return results[0] if first else None, list(results[first : first + layer.num_states])


class _Sequence(torch.autograd.Function):
    """The forward pass: (call, *tensors) -> [y], final states, and the stored tensors except y."""

    @staticmethod
    def forward(call: _Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        outputs = sequences.forward(call.layer, call.arrays(tensors), call.store)
        stored = outputs.stored[1:] if _stores_y(call) else outputs.stored
        arrays = [*([] if outputs.y is None else [outputs.y]), *outputs.states, *stored]
        return tuple(torch.from_numpy(array) for array in arrays)

    @staticmethod
    def setup_context(ctx: FrameworkObject, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        call, *tensors = inputs
        count = call.layer.return_sequences + call.layer.num_states
        stored = output[count:]
        ctx.call = call
        ctx.mark_non_differentiable(*stored)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *([output[0]] if _stores_y(call) else []), *stored)

    @staticmethod
    def backward(ctx: FrameworkObject, *d_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        call, saved, needs_x = ctx.call, ctx.saved_tensors, ctx.needs_input_grad[1]
        first = int(call.layer.return_sequences)
        states = saved[3 + call.has_bias :][: call.layer.num_states]
        d_states = [
            torch.zeros_like(state) if gradient is None else gradient
            for state, gradient in zip(states, d_outputs[first : first + len(states)], strict=True)
        ]
        d_y = d_outputs[0] if first else None
        gradients = list(_Gradients.apply(call, needs_x, d_y, *d_states, *saved))
        d_x = gradients.pop(0) if needs_x else None
        return (None, d_x, *gradients, *([None] if call.has_mask else []))

    @staticmethod
    def vmap(*_: Any) -> NoReturn:
        """Raise an error."""
        raise NotImplementedError(
            f"the native implementation does not support torch.vmap; pass one larger batch, or {USE_LOOP}"
        )

    @staticmethod
    def jvp(*_: Any) -> NoReturn:
        """Raise an error."""
        raise NotImplementedError(f"the native implementation does not support forward-mode derivatives; {USE_LOOP}")


def _stores_y(call: _Call) -> bool:
    """Return whether the first stored tensor is y itself."""
    return call.store and call.layer.return_sequences and not call.layer.y_batch_major


class _Gradients(torch.autograd.Function):
    """The backward pass: (call, needs_x, d_y, *d_states, *tensors, *stored) -> gradients of the tensors."""

    @staticmethod
    def forward(call: _Call, needs_x: bool, d_y: Tensor | None, *others: Tensor) -> tuple[Tensor, ...]:
        count = call.layer.num_states
        tensors, stored = others[count : count + call.num_inputs], others[count + call.num_inputs :]
        d_states = [_array(tensor) for tensor in others[:count]]
        d_y_array = None if d_y is None else _array(d_y)
        gradients = sequences.backward(
            call.layer, call.arrays(tensors), [_array(tensor) for tensor in stored], d_y_array, d_states, needs_x
        )
        arrays = [*gradients[:4], *gradients.states]
        return tuple(torch.from_numpy(array) for array in arrays if array is not None)

    @staticmethod
    def setup_context(ctx: FrameworkObject, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Save nothing: there are no second derivatives."""

    @staticmethod
    def backward(ctx: FrameworkObject, *_: Tensor) -> NoReturn:
        raise NotImplementedError(
            f"the native implementation has first derivatives only on the PyTorch backend; for second ones, {USE_LOOP}"
        )


def _array(tensor: Tensor) -> np.ndarray:
    """Return the memory of a tensor as an array.

    Raises:
        ValueError: If the tensor is not on the CPU.
    """
    if tensor.device.type != "cpu":
        raise ValueError(
            f"the native implementation runs on CPU tensors only, got one on device {str(tensor.device)!r}; {USE_LOOP}"
        )
    return tensor.detach().numpy()


# === Layout ===


def to_columns(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return sequences (n, T, d) feature-major, (T, d, columns), with 0 at masked steps and in the padding."""
    return _Conversion.apply(x, mask, x.shape[0], True, True)


def from_columns(x: Tensor, mask: Tensor | None, batch_size: int) -> Tensor:
    """Return feature-major sequences (T, d, columns) as (n, T, d)."""
    return _Conversion.apply(x, mask, batch_size, False, False)


class _Conversion(torch.autograd.Function):
    """Conversion of a layout; the gradient is the conversion back, and so is differentiable itself."""

    @staticmethod
    def forward(x: Tensor, mask: Tensor | None, batch_size: int, to: bool, clear_masked: bool) -> Tensor:
        array, mask_array = _array(x), None if mask is None else _array(mask)
        if to:
            return torch.from_numpy(sequences.to_columns(array, mask_array, clear_masked))
        return torch.from_numpy(sequences.from_columns(array, mask_array, batch_size))

    @staticmethod
    def setup_context(ctx: FrameworkObject, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.mask, ctx.batch_size, ctx.to, _ = inputs

    @staticmethod
    def backward(ctx: FrameworkObject, d_result: Tensor) -> tuple[Tensor | None, ...]:
        # Masked steps of x were cleared: their gradient, which layers leave at 0, has no effect either.
        return _Conversion.apply(d_result, ctx.mask, ctx.batch_size, not ctx.to, False), None, None, None, None

    @staticmethod
    def vmap(*arguments: Any) -> NoReturn:
        """Raise an error."""
        _Sequence.vmap(*arguments)
