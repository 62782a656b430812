"""Passes of an elementwise recurrence on NumPy arrays; see src/unitwise.h.

Every array is checked before its address reaches C. No framework is imported.
"""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple

import numpy as np

from deeprnn_keras.equations.unitwise import UnitStep
from deeprnn_keras.kernels.native import library
from deeprnn_keras.kernels.native.memory import empty
from deeprnn_keras.kernels.native.programs import KINDS

_POINTER, _INT32, _INT64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64


class _Operation(ctypes.Structure):
    _fields_ = [("kind", _INT32), ("operands", _INT32 * 3)]


class _Call(ctypes.Structure):
    _fields_ = [
        *[(name, _INT64) for name in ("abi", "T", "n", "h", "blocks", "num_states")],
        *[(name, _INT64) for name in ("num_weights", "num_constants", "num_operations", "outputs")],
        *[(name, _INT32) for name in ("reverse", "threads")],
        *[(name, _POINTER) for name in ("operations", "new_states", "constants", "x", "weights", "states", "mask")],
        *[(name, _POINTER) for name in ("stored", "y", "last", "dy", "d_last", "dx", "d_weights", "d_states")],
    ]


class Inputs(NamedTuple):
    """Arrays that a recurrence reads.

    Attributes:
        x: Projected inputs, float32 (n, T, blocks h).
        weights: Values that depend on weights only, in the order of the step, float32 (weights, h).
        states: Carried states before the first step, float32 (states, n, h).
        mask: (n, T) of bool, or None.
    """

    x: np.ndarray
    weights: np.ndarray
    states: np.ndarray
    mask: np.ndarray | None


class Outputs(NamedTuple):
    """Results of the forward pass.

    Attributes:
        y: The first states after all steps, (n, T, outputs, h); None if they were not asked for.
        last: Final states, (states, n, h).
        stored: States after all steps, (n, T, states, h); None if they were not asked for.
    """

    y: np.ndarray | None
    last: np.ndarray
    stored: np.ndarray | None


class Gradients(NamedTuple):
    """Results of the backward pass, each of the shape of its input."""

    x: np.ndarray
    weights: np.ndarray
    states: np.ndarray


@functools.lru_cache(maxsize=256)
def _encoded(step: UnitStep) -> tuple[ctypes.Array[_Operation], ctypes.Array[ctypes.c_int32], np.ndarray]:
    operations = (_Operation * len(step.operations))()
    for encoded, operation in zip(operations, step.operations, strict=True):
        encoded.kind = KINDS[operation.primitive]
        encoded.operands = (_INT32 * 3)(*operation.operands)
    return operations, (_INT32 * step.num_states)(*step.new_states), np.array(step.constants, np.float32)


def forward(step: UnitStep, inputs: Inputs, reverse: bool, outputs: int, training: bool) -> Outputs:
    """Run a recurrence over sequences.

    Args:
        step: A step of one unit.
        inputs: Arrays that the pass reads.
        reverse: Read the sequences from their end; outputs keep the positions of their inputs.
        outputs: Number of states to return after all steps, the first ones.
        training: Store what `backward` needs.

    Raises:
        ValueError: If an array has another shape or dtype than the step needs.
        MemoryError: If the library cannot allocate its working memory.
    """
    inputs, sizes = _checked(step, inputs)
    n, steps, units = sizes
    stored = empty(n, steps, step.num_states, units) if training else None
    are_stored = stored is not None and outputs == step.num_states
    y = stored if are_stored else empty(n, steps, outputs, units) if outputs else None
    last = empty(step.num_states, n, units)
    if not n:
        return Outputs(y, last, stored)
    call = _call(step, inputs, sizes, reverse)
    call.stored, call.last, call.outputs = _address(stored), _address(last), outputs
    call.y = None if are_stored else _address(y)
    _run("deeprnn_unitwise_forward", call)
    return Outputs(y, last, stored)


def backward(
    step: UnitStep, inputs: Inputs, reverse: bool, stored: np.ndarray, d_y: np.ndarray | None, d_last: np.ndarray
) -> Gradients:
    """Return the gradients of the inputs.

    Args:
        step: A step of one unit.
        inputs: Arrays that `forward` read.
        reverse: As in `forward`.
        stored: `Outputs.stored`.
        d_y: Gradient of the first states after all steps, (n, T, outputs, h), or None for zeros.
        d_last: Gradient of the final states, (states, n, h).

    Raises:
        ValueError: If an array has another shape or dtype than the step needs.
        MemoryError: If the library cannot allocate its working memory.
    """
    inputs, sizes = _checked(step, inputs)
    n, steps, units = sizes
    _check("stored", stored, (n, steps, step.num_states, units))
    _check("d_last", d_last, (step.num_states, n, units))
    outputs = 0 if d_y is None else d_y.shape[2]
    if d_y is not None:
        _check("d_y", d_y, (n, steps, min(outputs, step.num_states), units))
    d_x, d_weights, d_states = (
        empty(*inputs.x.shape),
        empty(n, len(inputs.weights), units),
        empty(*inputs.states.shape),
    )
    if n:
        call = _call(step, inputs, sizes, reverse)
        call.outputs = outputs
        arrays = [_contiguous(stored), None if d_y is None else _contiguous(d_y), _contiguous(d_last)]
        call.stored, call.dy, call.d_last = map(_address, arrays)
        call.dx, call.d_weights, call.d_states = map(_address, (d_x, d_weights, d_states))
        _run("deeprnn_unitwise_backward", call)
    return Gradients(d_x, d_weights.sum(0), d_states)


def _checked(step: UnitStep, inputs: Inputs) -> tuple[Inputs, tuple[int, int, int]]:
    """Return contiguous inputs and (n, T, h)."""
    x, weights, states, mask = inputs
    if states.ndim != 3 or x.ndim != 3:
        raise ValueError(f"x and states must have rank 3, got shapes {x.shape} and {states.shape}")
    n, steps = x.shape[:2]
    units = states.shape[2]
    if not min(steps, units):
        raise ValueError(f"T and h must be at least 1, got T={steps}, h={units}")
    _check("x", x, (n, steps, step.num_blocks * units))
    _check("weights", weights, (step.num_weights, units))
    _check("states", states, (step.num_states, n, units))
    if mask is not None:
        _check("mask", mask, (n, steps), np.bool_)
        mask = _contiguous(mask)
    return Inputs(_contiguous(x), _contiguous(weights), _contiguous(states), mask), (n, steps, units)


def _call(step: UnitStep, inputs: Inputs, sizes: tuple[int, int, int], reverse: bool) -> _Call:
    operations, new_states, constants = _encoded(step)
    n, steps, units = sizes
    return _Call(
        abi=library.ABI,
        T=steps,
        n=n,
        h=units,
        blocks=step.num_blocks,
        num_states=step.num_states,
        num_weights=step.num_weights,
        num_constants=len(constants),
        num_operations=len(operations),
        reverse=reverse,
        threads=library.threads(),
        operations=ctypes.addressof(operations),
        new_states=ctypes.addressof(new_states),
        constants=_address(constants),
        x=_address(inputs.x),
        weights=_address(inputs.weights),
        states=_address(inputs.states),
        mask=_address(inputs.mask),
    )


def _run(function: str, call: _Call) -> None:
    code = getattr(library.load(), function)(ctypes.byref(call))
    if code == library.NO_MEMORY:
        raise MemoryError(
            f"the native implementation cannot allocate memory for a batch with n={call.n}, T={call.T}, h={call.h}; "
            "use a smaller batch or shorter sequences"
        )
    if code != library.OK:
        raise library.NativeLibraryError(f"{function} refused its arguments")


def _check(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: type = np.float32) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name} must be {np.dtype(dtype)} of shape {shape}, got {array.dtype} of shape {array.shape}")


def _contiguous(array: np.ndarray) -> np.ndarray:
    return array if array.flags.c_contiguous and array.flags.aligned else array.copy()


def _address(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data
