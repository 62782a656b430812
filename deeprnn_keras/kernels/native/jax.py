"""A layer's passes over sequences as JAX operations that are differentiable once, on a CPU.

All passes are one JAX primitive, which XLA compiles to a custom call of a handler in Python (`xla_ffi.py`): arrays are
not copied, and nothing is compiled. The description of the pass is an attribute of the custom call.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, NoReturn

import jax
import jax.extend
import keras
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jax.interpreters import ad, batching, mlir

from deeprnn_keras._compat import FrameworkObject
from deeprnn_keras._types import Tensor
from deeprnn_keras.kernels.native import sequences, xla_ffi
from deeprnn_keras.kernels.native.sequences import Gradients, Inputs, Layer, LayerWeights, Results

TARGET = "deeprnn_keras_native"
ZERO_BEFORE_FIRST_VALID = False  # Keras' loop on JAX returns the initial state there
USE_LOOP = "pass implementation='loop'"
ROWS, COLUMNS = 0, 2  # axis of the batch in batch-major and in feature-major arrays


# === The primitive ===


class _Pass(NamedTuple):
    """One call of the library.

    Attributes:
        function: "forward", "backward", "to_columns", or "from_columns".
        layer: The layer; None for a conversion.
        has_bias: True if the arguments hold a bias.
        has_mask: True if they hold a mask.
        flag: Of a forward pass, store what the backward pass needs; of a backward pass, compute the gradient of x; of
            a conversion, replace masked steps by 0.
    """

    function: str
    layer: Layer | None
    has_bias: bool
    has_mask: bool
    flag: bool

    def to_text(self) -> str:
        """Return the pass as JSON; XLA may keep it in a compilation cache on disk."""
        layer = None if self.layer is None else asdict(self.layer)
        return json.dumps({**self._asdict(), "layer": layer})

    @staticmethod
    @functools.cache
    def from_text(text: str) -> _Pass:
        """Return the pass of a text."""
        fields = json.loads(text)
        layer = fields.pop("layer")
        return _Pass(layer=None if layer is None else Layer(**layer), **fields)


def _run(text: str, arguments: list[np.ndarray], results: list[np.ndarray]) -> None:
    """Run a pass on arrays."""
    one = _Pass.from_text(text)
    mask = arguments.pop() if one.has_mask else None
    if one.function == "to_columns":
        sequences.to_columns_into(arguments[0], mask, one.flag, results[0])
    elif one.function == "from_columns":
        sequences.from_columns_into(arguments[0], mask, results[0])
    else:
        _run_layer(one, arguments, mask, results)


def _run_layer(one: _Pass, arguments: list[np.ndarray], mask: np.ndarray | None, results: list[np.ndarray]) -> None:
    layer = one.layer
    assert layer is not None
    x, kernel, recurrent_kernel, *rest = arguments
    bias = rest.pop(0) if one.has_bias else None
    states, rest = rest[: layer.num_states], rest[layer.num_states :]
    inputs = Inputs(x, kernel, recurrent_kernel, bias, states, mask)
    if one.function == "forward":
        stored, y, final = _split_results(layer, one.flag, results)
        sequences.forward_into(layer, inputs, one.flag, Results(stored, y, final))
        return
    count = sequences.num_stored(layer)
    stored, d_states = rest[:count], rest[len(rest) - layer.num_states :]
    d_y = rest[count] if layer.return_sequences else None
    d_x = results.pop(0) if one.flag else None
    d_kernel, d_recurrent_kernel, *rest = results
    d_bias = rest.pop(0) if one.has_bias else None
    gradients = Gradients(d_x, d_kernel, d_recurrent_kernel, d_bias, rest)
    sequences.backward_into(layer, inputs, stored, d_y, d_states, gradients)


def _split_results(layer: Layer, training: bool, results: Sequence[Any]) -> tuple[list[Any], Any, list[Any]]:
    """Return the stored arrays, y or None, and the final states, from the results of a forward pass."""
    final = list(results[len(results) - layer.num_states :])
    others = list(results[: len(results) - layer.num_states])
    y = others.pop() if layer.return_sequences and layer.y_batch_major else None
    return others, y, final


NATIVE = jax.extend.core.Primitive(TARGET)
NATIVE.multiple_results = True


@NATIVE.def_abstract_eval
def _abstract(*_: Tensor, text: str, shapes: tuple[tuple[int, ...], ...]) -> list[Any]:
    return [jax.core.ShapedArray(shape, np.dtype("float32")) for shape in shapes]


@functools.cache
def _compiled(text: str, shapes: tuple[tuple[int, ...], ...]) -> FrameworkObject:
    return jax.jit(lambda *arrays: NATIVE.bind(*arrays, text=text, shapes=shapes))


@NATIVE.def_impl
def _execute(*arrays: Tensor, text: str, shapes: tuple[tuple[int, ...], ...]) -> list[Tensor]:
    return _compiled(text, shapes)(*arrays)


def _lower(context: FrameworkObject, *operands: Any, text: str, shapes: tuple[tuple[int, ...], ...]) -> FrameworkObject:
    return jax.ffi.ffi_lowering(TARGET)(context, *operands, text=text)


def _refuse_device(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError(
        "the native implementation runs on JAX's CPU device only, and the function is compiled for another device; "
        f"{USE_LOOP}"
    )


def _refuse_vmap(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError(
        f"the native implementation does not support jax.vmap; pass one larger batch, or {USE_LOOP}"
    )


def _refuse_derivative(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError(
        f"the native implementation has first derivatives only on the JAX backend; for second ones, {USE_LOOP}"
    )


jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(xla_ffi.handler_address(_run)), platform="cpu")
mlir.register_lowering(NATIVE, _refuse_device)
mlir.register_lowering(NATIVE, _lower, platform="cpu")
batching.primitive_batchers[NATIVE] = _refuse_vmap
ad.primitive_jvps[NATIVE] = _refuse_derivative


def _bind(one: _Pass, arguments: Sequence[Tensor | None], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    arrays = [array for array in arguments if array is not None]
    return NATIVE.bind(*arrays, text=one.to_text(), shapes=tuple(shapes))


# === A layer ===


def read_weight(weight: Tensor) -> Tensor:
    """Return the value of a variable of the backend in float32."""
    return weight.astype("float32")


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
        training: Not used: JAX itself decides whether to store what the backward pass needs.
    """
    inputs = Inputs(x, *weights, list(states), mask)
    x_axis, y_axis = (ROWS if batch_major else COLUMNS for batch_major in (layer.x_batch_major, layer.y_batch_major))
    axes: list[Any] = [x_axis, None, None, None, [ROWS] * layer.num_states, ROWS]
    result_axes = (y_axis, [ROWS] * layer.num_states)
    run = _per_device(_differentiable(layer), states[0].shape[0], (Inputs(*axes),), result_axes)
    y, final = run(inputs)
    return y, final


def _num_devices(batch_size: FrameworkObject) -> int:
    """Return the number of devices of a `keras.distribution.DataParallel` that divide a batch among them, or 1."""
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, keras.distribution.DataParallel) or not isinstance(batch_size, int):
        return 1
    return 1 if batch_size % distribution.num_model_replicas else distribution.num_model_replicas


def _per_device(
    function: FrameworkObject, batch_size: FrameworkObject, axes: FrameworkObject, result_axes: FrameworkObject
) -> FrameworkObject:
    """Return a function that each device of a `keras.distribution.DataParallel` runs on its rows of the batch.

    XLA does not divide a custom call: without this, every device would compute the whole batch, as it does with a batch
    that the devices cannot divide.

    Args:
        function: Function of pytrees of arrays.
        batch_size: n.
        axes: For each argument a pytree of axes of the rows: `ROWS`, `COLUMNS`, or None if it does not depend on them.
        result_axes: The same for the result.
    """
    if _num_devices(batch_size) == 1:
        return function
    distribution = keras.distribution.distribution()

    def specification(axis: int | None) -> FrameworkObject:
        return jax.sharding.PartitionSpec(*() if axis is None else (*[None] * axis, distribution.batch_dim_name))

    in_specs, out_specs = (jax.tree.map(specification, tree, is_leaf=_is_axis) for tree in (axes, result_axes))
    mesh = distribution.device_mesh.backend_mesh
    return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def _is_axis(value: object) -> bool:
    return value is None or isinstance(value, int)


@functools.cache
def _differentiable(layer: Layer) -> FrameworkObject:
    """Return the function (Inputs) -> (y, final states) with a custom backward pass."""

    @jax.custom_vjp
    def run(inputs: Inputs) -> tuple[Tensor | None, list[Tensor]]:
        return _forward(layer, inputs, training=False)[0]

    def forward(primals: FrameworkObject) -> tuple[Any, Any]:
        inputs = Inputs(*jax.tree.map(lambda primal: primal.value, tuple(primals), is_leaf=_is_primal))
        results, stored = _forward(layer, inputs, training=True)
        needs_x = () if primals.x.perturbed else None  # a static fact: only the structure of residuals may hold it
        return results, (inputs, stored, needs_x)

    def backward(residuals: FrameworkObject, d_results: FrameworkObject) -> tuple[Inputs]:
        inputs, stored, needs_x = residuals
        return (_backward(layer, inputs, stored, d_results, needs_x is not None),)

    run.defvjp(forward, backward, symbolic_zeros=True)
    return run


def _is_primal(value: FrameworkObject) -> bool:
    return hasattr(value, "perturbed")


def _forward(layer: Layer, inputs: Inputs, training: bool) -> tuple[tuple[Tensor | None, list[Tensor]], list[Tensor]]:
    """Return (y, final states), and the stored arrays."""
    batch_size, units = inputs.states[0].shape
    steps, columns = (inputs.x.shape[1], _columns(batch_size)) if layer.x_batch_major else inputs.x.shape[::2]
    shapes = sequences.output_shapes(layer, batch_size, steps, units, columns, training)
    one = _Pass("forward", layer, inputs.bias is not None, inputs.mask is not None, training)
    flat = [*shapes.stored, *([] if shapes.y is None else [shapes.y]), *shapes.states]
    results = _bind(one, [*inputs[:4], *inputs.states, inputs.mask], flat)
    stored, y, final = _split_results(layer, training, results)
    if layer.return_sequences and not layer.y_batch_major:
        y = stored[0]
    return (y, final), stored


def _backward(layer: Layer, inputs: Inputs, stored: list[Tensor], d_results: FrameworkObject, needs_x: bool) -> Inputs:
    """Return the gradients in the structure of the inputs, None for those that are not computed."""
    d_y, d_states = d_results
    one = _Pass("backward", layer, inputs.bias is not None, inputs.mask is not None, needs_x)
    d_outputs = [_instantiated(d) for d in (d_y, *d_states) if d is not None]
    differentiated = [*inputs[0 if needs_x else 1 : 4], *inputs.states]
    shapes = [array.shape for array in differentiated if array is not None]
    results = _bind(one, [*inputs[:4], *inputs.states, *stored, *d_outputs, inputs.mask], shapes)
    d_x: FrameworkObject = results.pop(0) if needs_x else None
    d_kernel, d_recurrent_kernel, *rest = results
    d_bias = rest.pop(0) if inputs.bias is not None else None
    return Inputs(d_x, d_kernel, d_recurrent_kernel, d_bias, rest, None)


def _instantiated(gradient: FrameworkObject) -> Tensor:
    is_zero = isinstance(gradient, SymbolicZero)
    return jax.numpy.zeros(gradient.shape, gradient.dtype) if is_zero else gradient


def _columns(batch_size: FrameworkObject) -> FrameworkObject:
    """Return the number of columns; of a symbolic batch size, with which no pass runs, the size itself."""
    return (sequences.columns(batch_size) if batch_size else 0) if isinstance(batch_size, int) else batch_size


# === Layout ===


def to_columns(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return sequences (n, T, d) feature-major, (T, d, columns), with 0 at masked steps and in the padding."""
    convert = _differentiable_conversion("to_columns", x.shape[0] // _num_devices(x.shape[0]))
    return _per_device(convert, x.shape[0], (ROWS, ROWS), COLUMNS)(x, mask)


def from_columns(x: Tensor, mask: Tensor | None, batch_size: int) -> Tensor:
    """Return feature-major sequences (T, d, columns) as (n, T, d)."""
    convert = _differentiable_conversion("from_columns", batch_size // _num_devices(batch_size))
    return _per_device(convert, batch_size, (COLUMNS, ROWS), ROWS)(x, mask)


@functools.cache
def _differentiable_conversion(function: str, batch_size: int) -> FrameworkObject:
    """Return the function (x, mask) -> converted x, whose gradient is the conversion back."""
    back = "from_columns" if function == "to_columns" else "to_columns"

    @jax.custom_vjp
    def convert(x: Tensor, mask: Tensor | None) -> Tensor:
        return _convert(function, x, mask, batch_size, clear_masked=True)

    def forward(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return convert(x, mask), mask

    def backward(mask: Tensor | None, d_result: Tensor) -> tuple[Tensor, None]:
        # Masked steps of x were cleared: their gradient, which layers leave at 0, has no effect either.
        return _convert(back, d_result, mask, batch_size, clear_masked=False), None

    convert.defvjp(forward, backward)
    return convert


def _convert(function: str, x: Tensor, mask: Tensor | None, batch_size: int, clear_masked: bool) -> Tensor:
    if function == "to_columns":
        shape = (x.shape[1], x.shape[2], _columns(batch_size))
    else:
        shape = (batch_size, x.shape[0], x.shape[1])
    one = _Pass(function, None, False, mask is not None, clear_masked)
    return _bind(one, [x, mask], [shape])[0]
