"""A layer whose units do not see each other, as TensorFlow operations that are differentiable twice."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras._types import Tensor
from deeprnn_keras.equations import Linear
from deeprnn_keras.equations.maps import NamedMap
from deeprnn_keras.equations.unitwise import UnitStep, unitwise
from deeprnn_keras.kernels.contract import LayerCall, LayerResult
from deeprnn_keras.kernels.native import unitwise as native
from deeprnn_keras.kernels.native.memory import empty
from deeprnn_keras.kernels.native.stack import layer_result
from deeprnn_keras.kernels.native.tensorflow import numpy_function, read_weight
from deeprnn_keras.kernels.scan.plain import plain_scan


class _Scan(NamedTuple):
    """A scan without the tensors that it is differentiated by."""

    step: UnitStep
    mask: Tensor | None
    reverse: bool
    outputs: bool
    training: bool


@_compat.without_autograph
def run_layer(call: LayerCall, sequences: Tensor, states: Sequence[Tensor], mask: Tensor | None) -> LayerResult:
    """Return the last output (n, h), the outputs (n, T, h) or the last one (n, 1, h), and the final states of a layer.

    Args:
        call: The layer.
        sequences: (n, T, d).
        states: Initial states, (n, width) each.
        mask: (n, T), or None.
    """
    stored = {name: read_weight(weight) for name, weight in call.weights().items()}
    if _compat.executes_eagerly() and _compat.in_forward_mode([sequences, *states, *stored.values()]):
        xla = importlib.import_module("deeprnn_keras.kernels.xla.stack")
        return xla.run_layer(call, sequences, states, mask)
    step = _step_of(call)
    x = _projected(call, tf.cast(call.input_dropout(sequences), tf.float32), stored)
    mask = None if mask is None else tf.cast(mask, tf.bool)
    initial = _unit_states(call, states)
    scan = _Scan(step, mask, call.go_backwards, call.return_sequences, call.training)
    outputs, final = run_scan(scan, x, _diagonal_weights(step, stored, initial.shape[2]), initial)
    return layer_result(call, outputs, _joined_states(final, states), mask)


def _unit_states(call: LayerCall, states: Sequence[Tensor]) -> Tensor:
    """Return the states of units, (states of a unit, n, h): a state of j h features is j of them."""
    assert call.recurrence is not None
    units = call.recurrence.equations.units
    parts = [tf.split(tf.cast(state, tf.float32), state.shape[-1] // units, -1) for state in states]
    return tf.stack([part for state in parts for part in state])


def _joined_states(unit_states: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return states of the widths of `like` from the states of units."""
    units = unit_states.shape[-1]
    parts = iter(tf.unstack(unit_states, sum(state.shape[-1] for state in like) // units))
    counts = [state.shape[-1] // units for state in like]
    return [next(parts) if count == 1 else tf.concat(list(islice(parts, count)), -1) for count in counts]


def _step_of(call: LayerCall) -> UnitStep:
    assert call.recurrence is not None  # the scan supports cells with equations only
    key = ("scan", call.recurrence)
    if key not in call.cache:
        call.cache[key] = unitwise(call.recurrence.equations, dict(call.recurrence.activations))
    return call.cache[key]


def _projected(call: LayerCall, x: Tensor, stored: dict[str, Tensor]) -> Tensor:
    """Return the projected inputs of all steps, (n, T, blocks h)."""
    assert call.recurrence is not None
    equations = call.recurrence.equations

    def product(named_map: NamedMap, blocks: tuple[str, ...], a: Tensor) -> Tensor:
        z = named_map.product(keras.ops, a, named_map.select(keras.ops, stored[named_map.name], blocks))
        return z if named_map.bias is None else z + named_map.select(keras.ops, stored[named_map.bias], blocks)

    functions = {name: keras.activations.get(function) for name, function in call.recurrence.activations}
    linear = Linear(equations.maps(call.input_dim), product)
    return equations.project_inputs(x, linear, SimpleNamespace(**functions)).tensor


def _diagonal_weights(step: UnitStep, stored: dict[str, Tensor], units: int) -> Tensor:
    """Return the weights of a step, (weights, h)."""
    if not step.weights:
        return tf.zeros((0, units))
    return tf.stack([stored[name][block * units : (block + 1) * units] for name, block in step.weights])


# === The passes ===


def run_scan(scan: _Scan, x: Tensor, weights: Tensor, states: Tensor) -> tuple[Tensor | None, Tensor]:
    """Return the outputs (n, T, h), or None if they were not asked for, and the final states (states, n, h)."""

    @tf.custom_gradient
    def run(x: Tensor, weights: Tensor, states: Tensor) -> tuple[Any, ...]:
        *results, stored = _forward(scan, x, weights, states)

        def gradient(*d_results: Tensor) -> list[Tensor]:
            return _gradients(scan, x, weights, states, stored, [tf.convert_to_tensor(d) for d in d_results])

        return results, gradient

    results = run(x, weights, states)
    return (results[0] if scan.outputs else None), results[-1]


def _forward(scan: _Scan, x: Tensor, weights: Tensor, states: Tensor) -> list[Tensor]:
    """Return [y], the final states, and the stored ones; the latter are empty outside training."""

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        y, last, stored = native.forward(scan.step, _inputs(arrays), scan.reverse, scan.outputs, scan.training)
        return [*([] if y is None else [y]), last, empty(0) if stored is None else stored]

    *outputs, last, stored = numpy_function(run, [x, weights, states, *_masks(scan)], 2 + scan.outputs)
    for y in outputs:
        y.set_shape((*x.shape[:2], states.shape[2]))
    last.set_shape(states.shape)
    return [*outputs, last, stored]


def _gradients(
    scan: _Scan, x: Tensor, weights: Tensor, states: Tensor, stored: Tensor, d_results: list[Tensor]
) -> list[Tensor]:
    """Return the gradients of x, weights, and states, differentiable again."""

    @tf.custom_gradient
    def first(*tensors: Tensor) -> tuple[Any, ...]:
        def run(*arrays: np.ndarray) -> list[np.ndarray]:
            kept, arrays = arrays[0], arrays[1:]
            inputs = _inputs([*arrays[:3], *arrays[3 + len(d_results) :]])
            if not scan.training:
                kept = native.forward(scan.step, inputs, scan.reverse, outputs=False, training=True).stored
                assert kept is not None  # with training=True
            *d_y, d_last = arrays[3 : 3 + len(d_results)]
            return list(native.backward(scan.step, inputs, scan.reverse, kept, d_y[0] if d_y else None, d_last))

        gradients = numpy_function(run, [stored, *tensors, *_masks(scan)], 3)
        for gradient, like in zip(gradients, tensors[:3], strict=True):
            gradient.set_shape(like.shape)

        def second(*upstream: Tensor) -> list[Tensor]:
            return _second_gradients(scan, tensors, upstream)

        return gradients, second

    return list(first(x, weights, states, *d_results))


def _second_gradients(scan: _Scan, tensors: Sequence[Tensor], upstream: Sequence[Tensor]) -> list[Tensor]:
    with tf.GradientTape() as outer:
        outer.watch(tensors)
        inputs, d_results = tensors[:3], tensors[3:]
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            x, weights, states = inputs
            results = plain_scan(scan.step, x, weights, states, scan.mask, scan.reverse)[0 if scan.outputs else 1 :]
        gradients = inner.gradient(results, inputs, output_gradients=d_results, unconnected_gradients="zero")
    return outer.gradient(gradients, tensors, output_gradients=list(upstream), unconnected_gradients="zero")


def _masks(scan: _Scan) -> list[Tensor]:
    return [] if scan.mask is None else [scan.mask]


def _inputs(arrays: Sequence[np.ndarray]) -> native.Inputs:
    x, weights, states, *masks = arrays
    return native.Inputs(x, weights, states, masks[0] if masks else None)
