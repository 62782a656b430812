"""Recurrences of the XLA implementation: activations, steps, and gradients, against Keras and NumPy references."""

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from oracles import assert_close

from deeprnn_keras.equations import GRUEquations, LSTMEquations, SimpleRNNEquations
from deeprnn_keras.kernels.xla import SUPPORTED_ACTIVATIONS
from deeprnn_keras.kernels.xla.activations import ACTIVATIONS
from deeprnn_keras.kernels.xla.derived import DerivedRecurrence
from deeprnn_keras.kernels.xla.gru import GRURecurrence, GRUResetBeforeRecurrence
from deeprnn_keras.kernels.xla.layout import Span
from deeprnn_keras.kernels.xla.lstm import LSTMRecurrence
from deeprnn_keras.kernels.xla.recurrence import Weights
from deeprnn_keras.kernels.xla.sequence import Passes, differentiable_sequence, shared_passes
from deeprnn_keras.kernels.xla.simple_rnn import SimpleRNNRecurrence

D, H, T = 2, 3, 5
RECURRENCES = {
    "rnn": SimpleRNNRecurrence,
    "gru": GRURecurrence,
    "gru_reset_before": GRUResetBeforeRecurrence,
    "lstm": LSTMRecurrence,
}
# Activations of the candidate and of the gates; each supported activation occurs at least once.
ACTIVATION_PAIRS = {
    "rnn": [("tanh",), ("elu",), ("softsign",)],
    "gru": [("tanh", "sigmoid"), ("leaky_relu", "hard_sigmoid"), ("exponential", "softsign")],
    "gru_reset_before": [("tanh", "sigmoid"), ("softplus", "hard_sigmoid"), ("linear", "sigmoid")],
    "lstm": [("tanh", "sigmoid"), ("relu", "hard_sigmoid"), ("softsign", "softplus")],
}
MASK = np.array(
    [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 1, 1, 1, 1]], bool
)


def random_weights(rng, cell):
    """Return (kernel, recurrent kernel, bias) in Keras' layout, in float64."""
    width = {"rnn": 1, "lstm": 4}.get(cell, 3) * H
    bias = (2, width) if cell == "gru" else (width,)
    return [tf.constant(rng.normal(size=shape, scale=0.6)) for shape in ((D, width), (H, width), bias)]


def random_inputs(rng, recurrence, n=3):
    """Return x (T, d, n) and states (h, n)."""
    states = [tf.constant(rng.normal(size=(H, n), scale=0.6)) for _ in range(recurrence.num_states)]
    return tf.constant(rng.normal(size=(T, D, n))), states


# === Activations ===


def test_supported_activations_are_implemented():
    assert set(SUPPORTED_ACTIVATIONS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_and_derivative_equal_those_of_keras(rng, name):
    x = rng.uniform(-6, 6, size=2000)
    kinks = [-3.0, 0.0, 3.0]
    x = tf.constant(x[np.min(np.abs(x[:, None] - kinks), axis=1) > 1e-3])
    with tf.GradientTape() as tape:
        tape.watch(x)
        expected = getattr(keras.activations, name)(x)
    y = ACTIVATIONS[name].function(x)
    assert_close(y, expected.numpy(), 1e-14)
    assert_close(ACTIVATIONS[name].derivative(y), tape.gradient(expected, x).numpy(), 1e-12)


# === Steps ===


@pytest.mark.parametrize("cell", RECURRENCES)
def test_forward_step_equals_numpy_reference(rng, cell):
    recurrence, weights = RECURRENCES[cell](), random_weights(rng, cell)
    x, states = random_inputs(rng, recurrence)
    new_states, _ = recurrence.forward_step(recurrence.pack(*weights), x[0], states)
    expected = oracles.STEPS[cell](x[0].numpy().T, [s.numpy().T for s in states], [w.numpy() for w in weights])
    assert_close([s.numpy().T for s in new_states], list(expected), 1e-13)


def run_in_plain_loop(recurrence, x, weights, states, mask):
    """Run the forward steps in a Python loop that TensorFlow differentiates."""
    packed, hs = recurrence.pack(*weights), []
    for t in range(x.shape[0]):
        new, _ = recurrence.forward_step(packed, x[t], states)
        states = [new_s if mask is None else tf.where(mask[t], new_s, s) for new_s, s in zip(new, states, strict=True)]
        hs.append(states[0])
    return tf.stack(hs), states


def with_gradients(run, sources):
    """Return the outputs of `run`, and the gradients of a weighted sum of all their numbers, with distinct weights."""
    with tf.GradientTape() as tape:
        tape.watch(sources)
        hs, final = run(*sources)
        numbers = tf.concat([tf.reshape(y, [-1]) for y in (*final, hs)], 0)
        loss = tf.reduce_sum(numbers * tf.sin(1.0 + tf.range(len(numbers), dtype="float64")))
    return hs, final, tape.gradient(loss, sources)


def assert_equal(actual, expected):
    for one, other in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        assert_close(one, other.numpy(), 1e-12)


def store_and_compiled(with_xla):
    """Return the tested values of (store, compiled)."""
    return [(True, False), (False, False), *[(True, True), (False, True)] * with_xla]


def sequence_runner(recurrence, span, store, compiled):
    def run(x, weights, states):
        prepared = Weights(weights, list(recurrence.pack(*map(tf.stop_gradient, weights))))
        passes = shared_passes(recurrence, compiled)
        hs, *final = differentiable_sequence(recurrence, passes, prepared, Span(*span), store)(x, *weights, *states)
        return hs, final

    return run


# By default, each cell has both masks and both sizes, in pairs that alternate with the activations.
BACKWARD_CASES = [
    pytest.param(
        cell,
        activations,
        masked,
        n,
        id=f"{cell}-{'-'.join(activations)}-{'mask' if masked else 'no mask'}-{n}",
        marks=[] if masked == ((n > 3) != index % 2) else pytest.mark.long,
    )
    for cell, pairs in ACTIVATION_PAIRS.items()
    for index, activations in enumerate(pairs)
    for masked in (False, True)
    for n in (3, 6)  # hoisted projection, projection per step
]


@pytest.mark.parametrize(("cell", "activations", "masked", "n"), BACKWARD_CASES)
def test_backward_pass_equals_gradient_of_plain_loop(rng, cell, activations, masked, n):
    recurrence, weights = RECURRENCES[cell](*activations), random_weights(rng, cell)
    x, states = random_inputs(rng, recurrence, n)
    mask = tf.constant(MASK[:n].T[:, None]) if masked else None
    expected = with_gradients(
        lambda x, weights, states: run_in_plain_loop(recurrence, x, weights, states, mask), [x, weights, states]
    )
    assert all(np.any(gradient) for gradient in tf.nest.flatten(expected[-1]))
    with_xla = activations in (("tanh",), ("tanh", "sigmoid")) and masked and n > 3  # compiling is slow
    for store, compiled in store_and_compiled(with_xla):
        actual = with_gradients(sequence_runner(recurrence, (mask, None), store, compiled), [x, weights, states])
        assert_equal(actual, expected)


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("cell", RECURRENCES)
def test_padding_after_last_step_has_no_effect(rng, cell, steps):
    recurrence, weights = RECURRENCES[cell](), random_weights(rng, cell)
    x, states = random_inputs(rng, recurrence)
    for store, compiled in store_and_compiled(cell == "lstm" and steps == 3):  # the test above compiles each cell
        hs, final, (dx, *others) = with_gradients(
            sequence_runner(recurrence, (None, tf.constant(steps)), store, compiled), [x, weights, states]
        )
        assert not np.any(hs[steps:]) and not np.any(dx[steps:])
        if steps:
            unpadded = [x[:steps], weights, states]
            expected = with_gradients(lambda *sources: run_in_plain_loop(recurrence, *sources, None), unpadded)
            assert_equal([hs[:steps], final, [dx[:steps], *others]], expected)
        else:
            assert_equal(final, states)
            assert not np.any(np.concatenate([np.ravel(g) for g in others[0]]))


def test_equal_recurrences_share_a_cache_key():
    assert LSTMRecurrence("relu") == LSTMRecurrence("relu")
    assert hash(LSTMRecurrence("relu")) == hash(LSTMRecurrence("relu"))
    lstms = {LSTMRecurrence(), LSTMRecurrence("relu"), LSTMRecurrence("tanh", "relu")}
    assert len(lstms | {GRURecurrence(), GRUResetBeforeRecurrence(), SimpleRNNRecurrence()}) == 6


# === Derived recurrences ===

EQUATIONS = {
    "rnn": SimpleRNNEquations(H),
    "gru": GRUEquations(H),
    "gru_reset_before": GRUEquations(H, reset_after=False),
    "lstm": LSTMEquations(H),
}


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize("cell", RECURRENCES)
def test_hand_written_recurrence_equals_derived_one(rng, cell, masked):
    """Outputs, and gradients with respect to x, states, and weights."""
    equations, weights = EQUATIONS[cell], random_weights(rng, cell)
    hand_written = RECURRENCES[cell]()
    derived = DerivedRecurrence(equations, tuple(equations.activations.items()))
    x, states = random_inputs(rng, hand_written, 3)
    span = Span(tf.constant(MASK[:3].T[:, None]) if masked else None, None)

    def run_derived(x, weights, states):
        stored = equations.from_keras(dict(zip(("kernel", "recurrent_kernel", "bias"), weights, strict=True)))
        prepared = derived.weights(D, stored)
        sequence = differentiable_sequence(derived, Passes(derived, compiled=False), prepared, span, True)
        hs, *final = sequence(derived.project_inputs(x, prepared), *prepared.trainable, *states)
        return hs, final

    sources = [x, weights, states]
    expected = with_gradients(sequence_runner(hand_written, span, True, False), sources)
    assert_equal(with_gradients(run_derived, sources), expected)


@pytest.mark.parametrize("cell", RECURRENCES)
def test_equations_count_params_equals_keras(rng, cell):
    weights = random_weights(rng, cell)
    assert EQUATIONS[cell].count_params(D) == sum(np.size(weight) for weight in weights)
    without_bias = type(EQUATIONS[cell])(H, use_bias=False)
    assert without_bias.count_params(D) == sum(np.size(weight) for weight in weights[:2])
