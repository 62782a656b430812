"""Comparison of the selected implementation with Keras' loop in float32: values, gradients, and losses of training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

import deeprnn_keras
from deeprnn_keras._types import Config
from deeprnn_keras.bench.case import Case
from deeprnn_keras.bench.implementations import make_step
from deeprnn_keras.bench.masks import make_mask
from deeprnn_keras.bench.trace import trace

TINY = 1e-30


def compare_with_loop(
    size: str, cell: str, bidirectional: bool = False, mask: str | None = None, policy: str = "float32", seed: int = 0
) -> Config:
    """Return the relative errors of a `DeepRNN` with the implementation that "auto" selects.

    The reference is Keras' loop in float32 on the same device, with equal weights. Both run in full float32 precision:
    TensorFloat-32 is disabled. An error is the Euclidean norm of the difference divided by that of the reference.

    Args:
        size: Size LxhxnxT.
        cell: "lstm", "gru", or "rnn".
        bidirectional: As in `DeepRNN`.
        mask: Kind of the mask, see `make_mask`, or None.
        policy: Dtype policy of the layer.
        seed: Random seed.

    Returns:
        {"implementations": that of each recurrent layer, "values": largest error of outputs and states, "gradients":
        largest error of the gradients of the inputs and of all weights, "operators": result of `trace`}; an error that
        is not finite is None.
    """
    case = Case.from_size(size, cell)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((case.batch_size, case.steps, case.units), dtype="float32")
    mask_array = None if mask is None else make_mask(mask, case.batch_size, case.steps, seed)
    keras.utils.set_random_seed(seed)
    options: Config = {"bidirectional": bidirectional, "return_sequences": True, "return_state": True}
    arguments = (case.units, case.num_layers, cell)
    loop = deeprnn_keras.DeepRNN(*arguments, implementation="loop", dtype="float32", **options)
    layer = deeprnn_keras.DeepRNN(*arguments, dtype=policy, **options)
    for each in (loop, layer):
        each.build(x.shape)
    layer.set_weights(loop.get_weights())
    with full_float32_precision():
        run_loop, run_layer = (gradient_function(each, mask_array, seed) for each in (loop, layer))
        expected, actual = run_loop(x), run_layer(x)
        operators = trace(lambda: run_layer(x))
    errors = {part: largest_error(expected[part], actual[part]) for part in ("values", "gradients")}
    names = [each.selected_implementation() for each in layer.recurrent_layers]
    return {"implementations": names, **errors, "operators": operators}


@contextmanager
def full_float32_precision() -> Iterator[None]:
    """Disable TensorFloat-32 within the block."""
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(enabled)


def gradient_function(
    layer: deeprnn_keras.DeepRNN, mask: np.ndarray | None, seed: int
) -> Callable[[np.ndarray], dict[str, list[np.ndarray]]]:
    """Return a function of x that returns the "values" and "gradients" of a layer.

    The values are its outputs and states. The gradients are those of a random linear function of the values with
    respect to x and to all weights, in this order.
    """
    variables = [weight.value for weight in layer.trainable_weights]

    @tf.function(autograph=False)
    def run(x: tf.Tensor) -> dict[str, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = [tf.cast(value, "float32") for value in keras.tree.flatten(layer(x, mask=mask))]
            coefficients = [tf.random.stateless_normal(tf.shape(value), [seed, i]) for i, value in enumerate(values)]
            loss = tf.add_n([tf.reduce_sum(c * value) for c, value in zip(coefficients, values, strict=True)])
        return {"values": values, "gradients": tape.gradient(loss, [x, *variables])}

    return lambda x: keras.tree.map_structure(lambda tensor: tensor.numpy(), run(tf.constant(x)))


def largest_error(expected: Sequence[np.ndarray], actual: Sequence[np.ndarray]) -> float | None:
    """Return the largest relative error of the arrays, or None if an element is not finite."""
    errors = [
        np.linalg.norm(np.subtract(a, e, dtype="float64")) / max(np.linalg.norm(e), TINY)
        for e, a in zip(expected, actual, strict=True)
    ]
    return float(max(errors)) if np.isfinite(errors).all() else None


def training_losses(name: str, case: Config, updates: int, seed: int) -> Config:
    """Return {"losses": loss of each update} of an implementation; a loss that is not finite is None."""
    step: Callable[[], object] = make_step(name, Case(**case), seed)
    losses = [float(np.asarray(step())) for _ in range(updates)]
    return {"losses": [loss if math.isfinite(loss) else None for loss in losses]}
