"""Recurrences of the XLA implementation: activations, steps, and gradients, against Keras and NumPy."""

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from oracles import assert_close

from deeprnn_keras.equations import GRUEquations, LSTMEquations, SimpleRNNEquations
from deeprnn_keras.kernels.xla import SUPPORTED_ACTIVATIONS
from deeprnn_keras.kernels.xla.activations import ACTIVATIONS
from deeprnn_keras.kernels.xla.derived import Derived
from deeprnn_keras.kernels.xla.gru import GRU, GRUResetBefore
from deeprnn_keras.kernels.xla.layout import Span
from deeprnn_keras.kernels.xla.lstm import LSTM
from deeprnn_keras.kernels.xla.recurrence import Weights
from deeprnn_keras.kernels.xla.sequence import Passes, differentiable_sequence, shared_passes
from deeprnn_keras.kernels.xla.simple_rnn import SimpleRNN

D, H, T = 2, 3, 5
RECURRENCES = {"rnn": SimpleRNN, "gru": GRU, "gru_reset_before": GRUResetBefore, "lstm": LSTM}
# activations of the candidate and of the gates; every one of them stands somewhere
PAIRS = {
    "rnn": [("tanh",), ("elu",), ("softsign",)],
    "gru": [("tanh", "sigmoid"), ("leaky_relu", "hard_sigmoid"), ("exponential", "softsign")],
    "gru_reset_before": [("tanh", "sigmoid"), ("softplus", "hard_sigmoid"), ("linear", "sigmoid")],
    "lstm": [("tanh", "sigmoid"), ("relu", "hard_sigmoid"), ("softsign", "softplus")],
}
CELLS = [pytest.param(cell, pair, id=f"{cell}-{'-'.join(pair)}") for cell, pairs in PAIRS.items() for pair in pairs]
MASK = np.array(
    [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 1, 1, 1, 1]], bool
)


def weights(rng, cell):
    """(kernel, recurrent kernel, bias) in Keras' layout, in double precision."""
    gates = {"rnn": 1, "lstm": 4}.get(cell, 3) * H
    bias = (2, gates) if cell == "gru" else (gates,)
    return [tf.constant(rng.normal(size=shape, scale=0.6)) for shape in ((D, gates), (H, gates), bias)]


def inputs(rng, recurrence, n=3):
    """x (T, d, n), states (h, n)."""
    states = [tf.constant(rng.normal(size=(H, n), scale=0.6)) for _ in range(recurrence.states)]
    return tf.constant(rng.normal(size=(T, D, n))), states


# === Activations ===


def test_supported_activations_are_implemented():
    assert set(SUPPORTED_ACTIVATIONS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_equals_that_of_keras_and_its_slope_follows_from_the_value(rng, name):
    x = rng.uniform(-6, 6, size=2000)
    x = tf.constant(x[np.min(np.abs(x[:, None] - [-3.0, 0.0, 3.0]), axis=1) > 1e-3])  # beside the kinks
    with tf.GradientTape() as tape:
        tape.watch(x)
        wanted = getattr(keras.activations, name)(x)
    y = ACTIVATIONS[name].function(x)
    assert_close(y, wanted.numpy(), 1e-14)
    assert_close(ACTIVATIONS[name].slope(y), tape.gradient(wanted, x).numpy(), 1e-12)


# === Recurrences ===


@pytest.mark.parametrize("cell", RECURRENCES)
def test_step_equals_the_numpy_oracle(rng, cell):
    recurrence, given = RECURRENCES[cell](), weights(rng, cell)
    x, states = inputs(rng, recurrence)
    new, _ = recurrence.forward(recurrence.pack(*given), x[0], states)
    wanted = oracles.STEPS[cell](x[0].numpy().T, [s.numpy().T for s in states], [w.numpy() for w in given])
    assert_close([s.numpy().T for s in new], list(wanted), 1e-13)


def step_by_step(recurrence, x, given, states, mask):
    """The recurrence as a plain loop, for TensorFlow to differentiate."""
    ready, hs = recurrence.pack(*given), []
    for t in range(x.shape[0]):
        new, _ = recurrence.forward(ready, x[t], states)
        states = [new_s if mask is None else tf.where(mask[t], new_s, s) for new_s, s in zip(new, states, strict=True)]
        hs.append(states[0])
    return tf.stack(hs), states


def with_gradients(run, sources):
    """Return the outputs of `run`, and the gradients of their sum, each number weighted with its own factor."""
    with tf.GradientTape() as tape:
        tape.watch(sources)
        hs, final = run(*sources)
        numbers = tf.concat([tf.reshape(y, [-1]) for y in (*final, hs)], 0)
        loss = tf.reduce_sum(numbers * tf.sin(1.0 + tf.range(len(numbers), dtype="float64")))
    return hs, final, tape.gradient(loss, sources)


def assert_equal(got, wanted):
    for one, other in zip(tf.nest.flatten(got), tf.nest.flatten(wanted), strict=True):
        assert_close(one, other.numpy(), 1e-12)


def ways(under_xla):
    """(store what the backward pass needs, under XLA)."""
    return [(True, False), (False, False), *[(True, True), (False, True)] * under_xla]


def on_xla(recurrence, span, store, compiled):
    def run(x, given, states):
        weights = Weights(given, list(recurrence.pack(*map(tf.stop_gradient, given))))
        passes = shared_passes(recurrence, compiled)
        hs, *final = differentiable_sequence(recurrence, passes, weights, Span(*span), store)(x, *given, *states)
        return hs, final

    return run


@pytest.mark.parametrize("n", [3, 6], ids=["few examples", "more examples"])
@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize(("cell", "pair"), CELLS)
def test_gradient_by_hand_equals_that_of_the_steps(rng, cell, pair, masked, n):
    recurrence, given = RECURRENCES[cell](*pair), weights(rng, cell)
    x, states = inputs(rng, recurrence, n)
    mask = tf.constant(MASK[:n].T[:, None]) if masked else None
    wanted = with_gradients(
        lambda x, given, states: step_by_step(recurrence, x, given, states, mask), [x, given, states]
    )
    assert all(np.any(gradient) for gradient in tf.nest.flatten(wanted[-1]))
    under_xla = pair in (("tanh",), ("tanh", "sigmoid")) and masked and n > 3  # it takes its time
    for keep, compiled in ways(under_xla):
        got = with_gradients(on_xla(recurrence, (mask, None), keep, compiled), [x, given, states])
        assert_equal(got, wanted)


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("cell", RECURRENCES)
def test_padding_behind_the_last_step_has_no_effect(rng, cell, steps):
    recurrence, given = RECURRENCES[cell](), weights(rng, cell)
    x, states = inputs(rng, recurrence)
    for keep, compiled in ways(steps == 3):
        hs, final, (dx, *rest) = with_gradients(
            on_xla(recurrence, (None, tf.constant(steps)), keep, compiled), [x, given, states]
        )
        assert not np.any(hs[steps:]) and not np.any(dx[steps:])
        if steps:
            short = [x[:steps], given, states]
            wanted = with_gradients(lambda *s: step_by_step(recurrence, *s, None), short)
            assert_equal([hs[:steps], final, [dx[:steps], *rest]], wanted)
        else:
            assert_equal(final, states)
            assert not np.any(np.concatenate([np.ravel(g) for g in rest[0]]))


def test_equal_recurrences_share_what_is_compiled():
    assert LSTM("relu") == LSTM("relu") and hash(LSTM("relu")) == hash(LSTM("relu"))
    assert len({LSTM(), LSTM("relu"), LSTM("tanh", "relu"), GRU(), GRUResetBefore(), SimpleRNN()}) == 6


# === Against the equations ===

EQUATIONS = {
    "rnn": SimpleRNNEquations(H),
    "gru": GRUEquations(H),
    "gru_reset_before": GRUEquations(H, reset_after=False),
    "lstm": LSTMEquations(H),
}


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize("cell", RECURRENCES)
def test_recurrences_by_hand_equal_those_derived_from_the_equations(rng, cell, masked):
    """Values, and gradients by x, states, and weights."""
    equations, given = EQUATIONS[cell], weights(rng, cell)
    by_hand = RECURRENCES[cell]()
    derived = Derived(equations, tuple(equations.activations.items()))
    x, states = inputs(rng, by_hand, 3)
    span = Span(tf.constant(MASK[:3].T[:, None]) if masked else None, None)

    def run_derived(x, given, states):
        stored = equations.from_keras(dict(zip(("kernel", "recurrent_kernel", "bias"), given, strict=True)))
        ready = derived.weights(D, stored)
        sequence = differentiable_sequence(derived, Passes(derived, compiled=False), ready, span, True)
        hs, *final = sequence(derived.project_inputs(x, ready), *ready.given, *states)
        return hs, final

    sources = [x, given, states]
    assert_equal(with_gradients(run_derived, sources), with_gradients(on_xla(by_hand, span, True, False), sources))


@pytest.mark.parametrize("cell", RECURRENCES)
def test_equations_count_the_weights_of_keras(rng, cell):
    assert EQUATIONS[cell].count_params(D) == sum(np.size(weight) for weight in weights(rng, cell))
    without = type(EQUATIONS[cell])(H, use_bias=False)
    assert without.count_params(D) == sum(np.size(weight) for weight in weights(rng, cell)[:2])
