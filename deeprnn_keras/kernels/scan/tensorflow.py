"""A layer with an elementwise recurrence, as TensorFlow operations that are differentiable twice."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras._types import Tensor
from deeprnn_keras.equations import Blocks
from deeprnn_keras.equations.unitwise import UnitStep, unitwise
from deeprnn_keras.kernels.all_steps import Evaluation, held, joined_states, unit_states, weight_values
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
    outputs: int  # number of states that are returned after all steps
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
    mask = None if mask is None else tf.cast(mask, tf.bool)
    initial = [tf.cast(state, tf.float32) for state in states]
    x = tf.cast(call.input_dropout(sequences), tf.float32)
    outputs, final = _run(call, stored, x, initial, mask)
    return layer_result(call, outputs, final, mask)


def _run(
    call: LayerCall, stored: dict[str, Tensor], x: Tensor, initial: list[Tensor], mask: Tensor | None
) -> tuple[Tensor | None, list[Tensor]]:
    """Return the outputs (n, T, h), or None if they were not asked for, and the final states."""
    step, evaluation = _step_of(call), Evaluation(call, stored)
    units = evaluation.equations.units
    weights = weight_values(step.weights, stored, units, "float32")
    projected = evaluation.project(x)
    outputs = step.num_states if step.computed_after else step.states.count(0) * int(call.return_sequences)
    scan = _Scan(step, mask, call.go_backwards, outputs, call.training)
    packed = tf.stack(weights) if weights else tf.zeros((0, units))
    after, final = run_scan(scan, projected.tensor, packed, tf.stack(unit_states(step, initial, units)))
    states = joined_states(step, tf.unstack(final, step.num_states))
    if not step.computed_after:
        all_steps = None if after is None else _concatenated(after)
        return all_steps, [states[index] for index in range(len(initial))]
    assert after is not None  # all carried states
    carried = joined_states(step, tf.unstack(after, step.num_states, axis=2))
    others = _states_after(evaluation, scan, projected, carried, initial)
    last = 0 if call.go_backwards else -1
    states |= {index: state[:, last] for index, state in others.items()}
    outputs_of_all = (carried | others)[0] if call.return_sequences else None
    return outputs_of_all, [states[index] for index in range(len(initial))]


def _concatenated(after: Tensor) -> Tensor:
    """Return (n, T, states, h) as (n, T, states h)."""
    parts = tf.unstack(after, after.shape[2], axis=2)
    return parts[0] if len(parts) == 1 else tf.concat(parts, -1)


def _states_after(
    evaluation: Evaluation, scan: _Scan, projected: Blocks, carried: dict[int, Tensor], initial: list[Tensor]
) -> dict[int, Tensor]:
    """Return the states that are not carried after all steps, (n, T, width), at the positions of the inputs."""

    def in_order(x: Tensor) -> Tensor:
        return tf.reverse(x, [1]) if scan.reverse else x

    blocks = Blocks(in_order(projected.tensor), projected.names)
    in_reading_order = {index: in_order(one) for index, one in carried.items()}
    states = evaluation.states_after(scan.step, blocks, in_reading_order, initial)
    if scan.mask is not None:
        mask = in_order(scan.mask)
        states = {index: held(state, initial[index], mask) for index, state in states.items()}
    return {index: in_order(state) for index, state in states.items()}


def _step_of(call: LayerCall) -> UnitStep:
    assert call.recurrence is not None  # the scan supports cells with equations only
    key = ("scan", call.recurrence)
    if key not in call.cache:
        call.cache[key] = unitwise(call.recurrence.equations, dict(call.recurrence.activations))
    return call.cache[key]


# === The passes ===


def run_scan(scan: _Scan, x: Tensor, weights: Tensor, states: Tensor) -> tuple[Tensor | None, Tensor]:
    """Return the first states after all steps, (n, T, outputs, h), or None for none, and the final states."""

    @tf.custom_gradient
    def run(x: Tensor, weights: Tensor, states: Tensor) -> tuple[Any, ...]:
        *results, stored = _forward(scan, x, weights, states)

        def gradient(*d_results: Tensor) -> list[Tensor]:
            return _gradients(scan, x, weights, states, stored, [tf.convert_to_tensor(d) for d in d_results])

        return results, gradient

    results = run(x, weights, states)
    return (results[0] if scan.outputs else None), results[-1]


def _forward(scan: _Scan, x: Tensor, weights: Tensor, states: Tensor) -> list[Tensor]:
    """Return [the outputs], the final states, and the stored ones; the latter are empty outside training."""

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        y, last, stored = native.forward(scan.step, _inputs(arrays), scan.reverse, scan.outputs, scan.training)
        return [*([] if y is None else [y]), last, empty(0) if stored is None else stored]

    *outputs, last, stored = numpy_function(run, [x, weights, states, *_masks(scan)], 2 + bool(scan.outputs))
    for y in outputs:
        y.set_shape((*x.shape[:2], scan.outputs, states.shape[2]))
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
                kept = native.forward(scan.step, inputs, scan.reverse, outputs=0, training=True).stored
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
            results = plain_scan(scan.step, x, weights, states, scan.mask, scan.reverse, scan.outputs)
            results = results if scan.outputs else results[1:]
        gradients = inner.gradient(results, inputs, output_gradients=d_results, unconnected_gradients="zero")
    return outer.gradient(gradients, tensors, output_gradients=list(upstream), unconnected_gradients="zero")


def _masks(scan: _Scan) -> list[Tensor]:
    return [] if scan.mask is None else [scan.mask]


def _inputs(arrays: Sequence[np.ndarray]) -> native.Inputs:
    x, weights, states, *masks = arrays
    return native.Inputs(x, weights, states, masks[0] if masks else None)
