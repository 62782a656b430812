"""Forward and backward pass of a layer over whole sequences on NumPy arrays, computed by the library.

Every array is checked before its address reaches C. No framework is imported.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.native import library
from deeprnn_keras.kernels.native.memory import empty

CELLS = {"rnn": 0, "gru": 1, "gru_reset_before": 2, "lstm": 3}
ACTIVATIONS = {"linear": 0, "tanh": 1, "sigmoid": 2, "relu": 3, "hard_sigmoid": 4}
NUM_GATES = {"rnn": 1, "gru": 3, "gru_reset_before": 3, "lstm": 4}
STORED_BLOCKS = {"rnn": 0, "gru": 4, "gru_reset_before": 4, "lstm": 4}


@dataclass(frozen=True)
class Layer:
    """Facts about a layer that do not depend on its inputs.

    Attributes:
        cell: "rnn", "gru", "gru_reset_before", or "lstm".
        activation: Name of the activation.
        recurrent_activation: Name of the gates' activation.
        reverse: Read sequences from their end; outputs keep the positions of their inputs.
        x_batch_major: x is (n, T, d), else feature-major, (T, d, `columns(n)`).
        y_batch_major: The same for the outputs.
        return_sequences: Return the outputs of all steps, not only the final states.
        remat: Recompute the gates in the backward pass instead of storing them.
    """

    cell: str
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    reverse: bool = False
    x_batch_major: bool = True
    y_batch_major: bool = True
    return_sequences: bool = True
    remat: bool = False

    @property
    def num_states(self) -> int:
        """Number of states."""
        return 2 if self.cell == "lstm" else 1

    @property
    def num_gates(self) -> int:
        """Number of gates G."""
        return NUM_GATES[self.cell]


class LayerWeights(NamedTuple):
    """Weights of a layer as float32 tensors.

    Attributes:
        kernel: (d, G h).
        recurrent_kernel: (h, G h).
        bias: (G h,) or (2, G h); None without bias.
    """

    kernel: Tensor
    recurrent_kernel: Tensor
    bias: Tensor | None


class Inputs(NamedTuple):
    """Arrays that a layer reads.

    Attributes:
        x: Sequences, in the layout of `Layer.x_batch_major`.
        kernel: W, (d, G h).
        recurrent_kernel: U, (h, G h).
        bias: (G h,), (2, G h) for a GRU that resets after the product, or None.
        states: Initial states, (n, h) each.
        mask: (n, T) of bool, or None.
    """

    x: np.ndarray
    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray | None
    states: list[np.ndarray]
    mask: np.ndarray | None


class Outputs(NamedTuple):
    """Results of the forward pass.

    Attributes:
        y: Outputs of all steps; None without `return_sequences`.
        states: Final states, (n, h) each.
        stored: Arrays for the backward pass; empty if none were asked for.
    """

    y: np.ndarray | None
    states: list[np.ndarray]
    stored: list[np.ndarray]


class Gradients(NamedTuple):
    """Results of the backward pass, each of the shape of its input.

    Attributes:
        x: None if it was not asked for.
        kernel: dW.
        recurrent_kernel: dU.
        bias: None without bias.
        states: Gradients of the initial states.
    """

    x: np.ndarray | None
    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray | None
    states: list[np.ndarray]


def columns(batch_size: int) -> int:
    """Return the number of columns of a feature-major array for a batch size."""
    return library.load().deeprnn_columns(batch_size)


class _Sizes(NamedTuple):
    batch_size: int
    steps: int
    inputs: int
    units: int
    columns: int


def _check_inputs(layer: Layer, inputs: Inputs) -> _Sizes:
    """Return the sizes.

    Raises:
        ValueError: If an array has another shape or dtype than the layer needs, or if there is no step.
    """
    if inputs.x.ndim != 3:
        raise ValueError(f"x must have rank 3, got shape {inputs.x.shape}")
    states = inputs.states
    if len(states) != layer.num_states or states[0].ndim != 2:
        raise ValueError(f"states must be {layer.num_states} arrays (n, h), got {[state.shape for state in states]}")
    batch_size, units = states[0].shape
    ld = columns(batch_size) if batch_size else 0
    steps, inputs_width = (inputs.x.shape[1], inputs.x.shape[2]) if layer.x_batch_major else inputs.x.shape[:2]
    if not min(steps, inputs_width, units):
        raise ValueError(f"T, d, and h must be at least 1, got T={steps}, d={inputs_width}, h={units}")
    sizes = _Sizes(batch_size, steps, inputs_width, units, ld)
    width = layer.num_gates * units
    _check("x", inputs.x, _sequence_shape(layer.x_batch_major, sizes, inputs_width))
    _check("kernel", inputs.kernel, (inputs_width, width))
    _check("recurrent_kernel", inputs.recurrent_kernel, (units, width))
    if inputs.bias is not None:
        _check("bias", inputs.bias, (2, width) if layer.cell == "gru" else (width,))
    for state in states:
        _check("states", state, (batch_size, units))
    if inputs.mask is not None:
        _check("mask", inputs.mask, (batch_size, steps), np.bool_)
    return sizes


def _check(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: type = np.float32) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name} must be {np.dtype(dtype)} of shape {shape}, got {array.dtype} of shape {array.shape}")


def _sequence_shape(batch_major: bool, sizes: _Sizes, width: int) -> tuple[int, ...]:
    return (sizes.batch_size, sizes.steps, width) if batch_major else (sizes.steps, width, sizes.columns)


def _address(array: np.ndarray | None) -> int | None:
    """Return the address of a contiguous array."""
    if array is None:
        return None
    assert array.flags.c_contiguous and array.flags.aligned
    return array.ctypes.data


def _pair(arrays: list[np.ndarray]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * 2)(*[_address(array) for array in arrays])


def _contiguous(array: np.ndarray) -> np.ndarray:
    """Return an array, or a copy of it, that is contiguous and aligned to its elements."""
    return array if array.flags.c_contiguous and array.flags.aligned else array.copy()


def _contiguous_inputs(inputs: Inputs) -> Inputs:
    x, kernel, recurrent_kernel, bias, states, mask = inputs
    return Inputs(
        _contiguous(x),
        _contiguous(kernel),
        _contiguous(recurrent_kernel),
        None if bias is None else _contiguous(bias),
        [_contiguous(state) for state in states],
        None if mask is None else _contiguous(mask),
    )


def _call(layer: Layer, inputs: Inputs, sizes: _Sizes, store: bool) -> library.Sequence:
    return library.Sequence(
        abi=library.ABI,
        T=sizes.steps,
        n=sizes.batch_size,
        d=sizes.inputs,
        h=sizes.units,
        cell=CELLS[layer.cell],
        activation=ACTIVATIONS[layer.activation],
        recurrent_activation=ACTIVATIONS[layer.recurrent_activation],
        store=store,
        reverse=layer.reverse,
        x_batch_major=layer.x_batch_major,
        y_batch_major=layer.y_batch_major,
        threads=library.threads(),
        x=_address(inputs.x),
        W=_address(inputs.kernel),
        U=_address(inputs.recurrent_kernel),
        b=_address(inputs.bias),
        state=_pair(inputs.states),
        mask=_address(inputs.mask),
    )


class Shapes(NamedTuple):
    """Shapes of the arrays that the forward pass writes.

    Attributes:
        stored: Arrays for the backward pass: outputs, cell states of an LSTM, gates. Without `training`, only the
            outputs if they are feature-major and returned.
        y: Batch-major outputs of all steps; None if they are feature-major, the first of `stored`, or not returned.
        states: Final states.
    """

    stored: list[tuple[int, ...]]
    y: tuple[int, ...] | None
    states: list[tuple[int, ...]]


def output_shapes(layer: Layer, batch_size: int, steps: int, units: int, ld: int, training: bool) -> Shapes:
    """Return the shapes of the arrays that `forward` writes.

    Args:
        layer: The layer.
        batch_size: n.
        steps: T.
        units: h.
        ld: `columns(n)`.
        training: Store what `backward` needs.
    """
    returns_columns = layer.return_sequences and not layer.y_batch_major
    y = (batch_size, steps, units) if layer.return_sequences and layer.y_batch_major else None
    states = [(batch_size, units)] * layer.num_states
    if not training:
        return Shapes([(steps, units, ld)] if returns_columns else [], y, states)
    stored = [(steps, units, ld)]
    if layer.cell == "lstm":
        least = max(batch_size, 1)  # an empty batch stores nothing
        chunks = library.load().deeprnn_chunks(steps, least, units, CELLS[layer.cell]) if layer.remat else steps
        stored.append((chunks, units, ld))
    if STORED_BLOCKS[layer.cell] and not layer.remat:
        stored.append((steps, STORED_BLOCKS[layer.cell] * units, ld))
    return Shapes(stored, y, states)


class Results(NamedTuple):
    """Arrays that the forward pass writes; their shapes are those of `Shapes`."""

    stored: list[np.ndarray]
    y: np.ndarray | None
    states: list[np.ndarray]


def forward(layer: Layer, inputs: Inputs, training: bool) -> Outputs:
    """Run a layer over sequences.

    Args:
        layer: The layer.
        inputs: Arrays that the pass reads.
        training: Store what `backward` needs.

    Raises:
        ValueError: If an array has another shape or dtype than the layer needs.
        MemoryError: If the library cannot allocate its working memory.
    """
    sizes = _check_inputs(layer, inputs)
    stored, y, states = output_shapes(layer, sizes.batch_size, sizes.steps, sizes.units, sizes.columns, training)
    results = Results(
        [empty(*shape) for shape in stored],
        None if y is None else empty(*y),
        [empty(*shape) for shape in states],
    )
    forward_into(layer, inputs, training, results)
    returns_columns = layer.return_sequences and not layer.y_batch_major
    return Outputs(
        results.stored[0] if returns_columns else results.y, results.states, results.stored if training else []
    )


def forward_into(layer: Layer, inputs: Inputs, training: bool, results: Results) -> None:
    """Run a layer over sequences and write the results into the given arrays.

    Args:
        layer: The layer.
        inputs: Arrays that the pass reads.
        training: Store what `backward` needs.
        results: Contiguous arrays to write.

    Raises:
        ValueError: If an array has another shape or dtype than the layer needs.
        MemoryError: If the library cannot allocate its working memory.
    """
    sizes = _check_inputs(layer, inputs)
    shapes = output_shapes(layer, sizes.batch_size, sizes.steps, sizes.units, sizes.columns, training)
    for array, shape in zip(_flat(results), _flat(shapes), strict=True):
        _check("results", array, shape)
    if not sizes.batch_size:
        return
    inputs = _contiguous_inputs(inputs)
    call = _call(layer, inputs, sizes, training and not layer.remat)
    stored = list(results.stored)
    call.H = _address(stored.pop(0)) if stored else None
    call.C = _address(stored.pop(0)) if stored and layer.cell == "lstm" else None
    call.G = _address(stored.pop(0)) if stored else None
    call.y, call.last = _address(results.y), _pair(results.states)
    library.run("deeprnn_forward", call)


def _flat(results: Results | Shapes) -> list[Any]:
    return [*results.stored, *([] if results.y is None else [results.y]), *results.states]


def num_stored(layer: Layer) -> int:
    """Return the number of arrays that `forward` stores in training."""
    return 1 + (layer.cell == "lstm") + (STORED_BLOCKS[layer.cell] > 0 and not layer.remat)


def backward(
    layer: Layer,
    inputs: Inputs,
    stored: list[np.ndarray],
    d_y: np.ndarray | None,
    d_states: list[np.ndarray],
    needs_x: bool,
) -> Gradients:
    """Return the gradients of a layer.

    Args:
        layer: The layer.
        inputs: Arrays that the forward pass read.
        stored: `Outputs.stored` of the forward pass.
        d_y: Gradient of `Outputs.y`; None without `return_sequences`.
        d_states: Gradients of the final states.
        needs_x: Compute the gradient of x, too.

    Raises:
        ValueError: If an array has another shape or dtype than the layer needs.
        MemoryError: If the library cannot allocate its working memory.
    """
    gradients = Gradients(
        empty(*inputs.x.shape) if needs_x else None,
        empty(*inputs.kernel.shape),
        empty(*inputs.recurrent_kernel.shape),
        None if inputs.bias is None else empty(*inputs.bias.shape),
        [empty(*state.shape) for state in inputs.states],
    )
    backward_into(layer, inputs, stored, d_y, d_states, gradients)
    return gradients


def backward_into(
    layer: Layer,
    inputs: Inputs,
    stored: list[np.ndarray],
    d_y: np.ndarray | None,
    d_states: list[np.ndarray],
    gradients: Gradients,
) -> None:
    """Compute the gradients of a layer and write them into the given arrays.

    Args:
        layer: The layer.
        inputs: Arrays that the forward pass read.
        stored: `Outputs.stored` of the forward pass.
        d_y: Gradient of `Outputs.y`; None without `return_sequences`.
        d_states: Gradients of the final states.
        gradients: Contiguous arrays to write, each of the shape of its input; without x, its gradient is not computed.

    Raises:
        ValueError: If an array has another shape or dtype than the layer needs.
        MemoryError: If the library cannot allocate its working memory.
    """
    sizes = _check_inputs(layer, inputs)
    if d_y is not None:
        _check("d_y", d_y, _sequence_shape(layer.y_batch_major, sizes, sizes.units))
    for d_state in d_states:
        _check("d_states", d_state, (sizes.batch_size, sizes.units))
    for result, read in zip([*gradients[:4], *gradients.states], [*inputs[:4], *inputs.states], strict=True):
        if result is not None and read is not None:
            _check("gradients", result, read.shape)
    if not sizes.batch_size:
        for gradient in (gradients.kernel, gradients.recurrent_kernel, gradients.bias):
            if gradient is not None:
                gradient[...] = 0
        return
    inputs = _contiguous_inputs(inputs)
    stored = _check_stored(layer, stored, sizes)
    d_y = None if d_y is None else _contiguous(d_y)
    d_states = [_contiguous(d_state) for d_state in d_states]
    call = _call(layer, inputs, sizes, not layer.remat)
    remaining = list(stored)
    call.H = _address(remaining.pop(0))
    call.C = _address(remaining.pop(0)) if layer.cell == "lstm" else None
    call.G = _address(remaining.pop(0)) if remaining else None
    call.dy, call.d_last = _address(d_y), _pair(d_states)
    call.dx, call.dW, call.dU, call.db = map(_address, gradients[:4])
    call.d_state = _pair(gradients.states)
    library.run("deeprnn_backward", call)


def _check_stored(layer: Layer, stored: list[np.ndarray], sizes: _Sizes) -> list[np.ndarray]:
    shapes = output_shapes(layer, sizes.batch_size, sizes.steps, sizes.units, sizes.columns, training=True).stored
    for array, shape in zip(stored, shapes, strict=True):
        _check("stored", array, shape)
    return [_contiguous(array) for array in stored]


# === Layout ===


def to_columns(x: np.ndarray, mask: np.ndarray | None, clear_masked: bool) -> np.ndarray:
    """Return sequences (n, T, d) feature-major, (T, d, `columns(n)`), with 0 in the padding.

    Args:
        x: (n, T, d).
        mask: (n, T) of bool, or None. Columns are in the order in which a layer with this mask processes them.
        clear_masked: Replace masked steps by 0.
    """
    n, steps, width = x.shape
    result = empty(steps, width, columns(n) if n else 0)
    to_columns_into(x, mask, clear_masked, result)
    return result


def to_columns_into(x: np.ndarray, mask: np.ndarray | None, clear_masked: bool, result: np.ndarray) -> None:
    """Write sequences feature-major into a contiguous array; see `to_columns`."""
    _convert(x, mask, x.shape[0], "H", result, clear_masked)


def from_columns(x: np.ndarray, mask: np.ndarray | None, batch_size: int) -> np.ndarray:
    """Return feature-major sequences (T, d, `columns(n)`) as (n, T, d): the inverse of `to_columns`."""
    steps, width, _ = x.shape
    result = empty(batch_size, steps, width)
    from_columns_into(x, mask, result)
    return result


def from_columns_into(x: np.ndarray, mask: np.ndarray | None, result: np.ndarray) -> None:
    """Write feature-major sequences batch-major into a contiguous array; see `from_columns`."""
    _convert(x, mask, result.shape[0], "y", result, False)


def _convert(
    x: np.ndarray, mask: np.ndarray | None, batch_size: int, field: str, result: np.ndarray, clear_masked: bool
) -> None:
    steps, width = (x.shape[1], x.shape[2]) if field == "H" else x.shape[:2]
    sizes = _Sizes(batch_size, steps, width, 1, columns(batch_size) if batch_size else 0)
    _check("x", x, _sequence_shape(field == "H", sizes, width))
    _check("result", result, _sequence_shape(field != "H", sizes, width))
    if mask is not None:
        _check("mask", mask, (batch_size, steps), np.bool_)
    if not result.size:
        return
    x, mask = _contiguous(x), None if mask is None else _contiguous(mask)
    call = library.Sequence(abi=library.ABI, T=steps, n=batch_size, d=width, h=1, threads=library.threads())
    call.clear_masked, call.x, call.mask = clear_masked, _address(x), _address(mask)
    setattr(call, field, _address(result))
    library.run("deeprnn_convert", call)
