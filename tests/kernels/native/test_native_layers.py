"""Layers that run in native code: derivatives of all orders and kinds, against Keras' loop."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from derivatives import jacobian_products, run_layers, squared_gradient_norm
from oracles import assert_close

from deeprnn_keras import GRU, LSTM, DeepRNN, SimpleRNN

pytestmark = pytest.mark.usefixtures("native")

N, T, D, H = 3, 4, 2, 3
MASKS = {
    "none": None,
    "any": np.array([[0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]], bool),
}
LAYERS = {
    "lstm": lambda implementation: LSTM(H, return_sequences=True, implementation=implementation),
    "gru": lambda implementation: GRU(H, return_sequences=True, implementation=implementation),
    "gru_reset_before": lambda implementation: GRU(
        H, return_sequences=True, reset_after=False, implementation=implementation
    ),
    "rnn": lambda implementation: SimpleRNN(H, return_sequences=True, implementation=implementation),
    "backwards": lambda implementation: LSTM(H, go_backwards=True, implementation=implementation),
    "deep": lambda implementation: DeepRNN(
        [H, 2], 2, cell="lstm", connection="skip", bidirectional=True, return_sequences=True,
        implementation=implementation,
    ),
}  # fmt: skip
SOME_LAYERS = ["lstm", "deep"]
LSTM_AND_SLOW_DEEP = ["lstm", pytest.param("deep", marks=pytest.mark.slow)]
EAGER_AND_TRACED = pytest.mark.parametrize(
    "traced", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["eager", "traced"]
)


def derivatives(first):
    """Parametrize a test by layer, mask, and mode.

    By default, layers run eagerly with one of the masks in turn, from that of index `first`. The gradient of a graph
    takes seconds: `slow` are one cell without a mask, and the cells with one; the stack is `long`.
    """
    default = {(name, list(MASKS)[(row + first) % 2], False) for row, name in enumerate(LAYERS)}
    slow = {
        (name, mask, True) for name in LAYERS for mask in MASKS if name != "deep" and (mask == "any" or name == "lstm")
    }
    cases = [
        pytest.param(*case, marks=[] if case in default else pytest.mark.slow if case in slow else pytest.mark.long)
        for case in itertools.product(LAYERS, MASKS, (False, True))
    ]
    return pytest.mark.parametrize(("name", "mask", "traced"), cases)


def pair(name):
    """Return a layer in native code and one in the loop, with the same weights."""
    layers = [LAYERS[name](implementation) for implementation in ("native", "loop")]
    for layer in layers:
        layer(tf.zeros((1, T, D)))
    layers[1].set_weights(layers[0].get_weights())
    return layers


@pytest.fixture
def x(rng):
    return tf.constant(rng.normal(size=(N, T, D)), "float32")


def as_arrays(tensors):
    return [None if tensor is None else tf.convert_to_tensor(tensor).numpy() for tensor in tf.nest.flatten(tensors)]


def assert_equal_to_loop(name, function, traced=False, tolerance=1e-5):
    """Assert that a function of a layer is the same in native code and in the loop, relative to its largest number."""
    native, loop = pair(name)
    run = tf.function(function) if traced else function
    actual, expected = as_arrays(run(native)), as_arrays(function(loop))
    assert max(np.abs(array).max(initial=0) for array in expected) > 1e-4
    for one, other in zip(actual, expected, strict=True):
        scale = max(1.0, np.abs(other).max(initial=0))
        assert_close(one / scale, other / scale, tolerance)


def sources(layer, x):
    return [x, *[weight.value for weight in layer.trainable_weights]]


def loss_of(outputs):
    return tf.reduce_sum(tf.sin(outputs))


# === Second derivatives ===


@derivatives(0)
def test_gradient_penalty_equals_loop(x, name, mask, traced):
    assert_equal_to_loop(name, lambda layer: squared_gradient_norm([layer], x, MASKS[mask]), traced)


@derivatives(1)
def test_jacobian_products_equal_loop(x, name, mask, traced):
    assert_equal_to_loop(name, lambda layer: jacobian_products([layer], x, MASKS[mask]), traced)


def hessian_vector_product(layer, x, mask):
    """Return the product of the Hessian with respect to inputs and weights and a vector, and that of two losses."""
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = loss_of(run_layers([layer], x, mask))
        gradients = inner.gradient(loss, sources(layer, x))
        product = tf.add_n([tf.reduce_sum(tf.cos(g * 3.0) * g) for g in gradients])
    return outer.gradient(product, sources(layer, x))


@derivatives(0)
def test_hessian_vector_product_equals_loop(x, name, mask, traced):
    assert_equal_to_loop(name, lambda layer: hessian_vector_product(layer, x, MASKS[mask]), traced)


@pytest.mark.parametrize("name", LSTM_AND_SLOW_DEEP)
def test_third_derivative_equals_loop(x, name):
    def third(layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            slopes = hessian_vector_product(layer, x, None)
            size = tf.add_n([tf.reduce_sum(slope**2) for slope in slopes])
        return tape.gradient(size, sources(layer, x))

    assert_equal_to_loop(name, third, tolerance=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME_LAYERS)
def test_forward_over_reverse_equals_loop(x, name):
    def product(layer):
        with tf.autodiff.ForwardAccumulator(x, tf.cos(x)) as accumulator:
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = loss_of(layer(x))
            gradients = tape.gradient(loss, sources(layer, x))
        return [accumulator.jvp(gradient) for gradient in gradients]

    assert_equal_to_loop(name, product)


@pytest.mark.parametrize("mask", MASKS)
def test_second_derivative_with_respect_to_initial_states_equals_loop(rng, x, mask):
    """Without sequences: the outputs are the final states."""
    states = [tf.constant(rng.normal(size=(N, H)), "float32") for _ in range(2)]
    valid = None if mask == "none" else tf.constant(MASKS[mask])

    def penalty(implementation, weights):
        layer = LSTM(H, return_state=True, implementation=implementation)
        layer(x)
        layer.set_weights(weights)
        with tf.GradientTape() as outer:
            outer.watch(states)
            with tf.GradientTape() as inner:
                inner.watch(states)
                loss = tf.add_n([loss_of(result) for result in layer(x, initial_state=states, mask=valid)])
            norm = tf.add_n([tf.reduce_sum(g**2) for g in inner.gradient(loss, states)])
        return as_arrays(outer.gradient(norm, sources(layer, x)[1:] + states))

    (reference := LSTM(H))(x)
    assert_close(*[penalty(each, reference.get_weights()) for each in ("native", "loop")])


# === Tapes ===


def first_derivatives(layer, x, call=None):
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = loss_of((call or layer)(x))
    return tape.gradient(loss, sources(layer, x))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["gru", "gru_reset_before", "rnn", *LSTM_AND_SLOW_DEEP])
def test_tape_around_a_function_gets_the_gradient_of_x(x, name, training):
    """No tape watches x while the function is traced."""
    assert_equal_to_loop(
        name, lambda layer: first_derivatives(layer, x, tf.function(lambda x: layer(x, training=training)))
    )


@pytest.mark.slow
def test_tape_around_a_function_with_a_tape_inside(x):
    """The function itself computes a gradient with respect to weights; the tape outside differentiates it by x."""

    def derivative(layer):
        @tf.function
        def penalty(x):
            with tf.GradientTape() as tape:
                loss = loss_of(layer(x, training=True))
            return tf.add_n([tf.reduce_sum(g**2) for g in tape.gradient(loss, sources(layer, x)[1:])])

        with tf.GradientTape() as tape:
            tape.watch(x)
            norm = penalty(x)
        return tape.gradient(norm, sources(layer, x))

    assert_equal_to_loop("lstm", derivative)


@EAGER_AND_TRACED
@pytest.mark.parametrize("name", SOME_LAYERS)
def test_persistent_tape_serves_several_gradients(x, name, traced):
    def gradients(layer):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = layer(x, training=True)
            losses = loss_of(y), tf.reduce_sum(y**2)
        return [tape.gradient(loss, sources(layer, x)) for loss in (*losses, *losses)]

    assert_equal_to_loop(name, gradients, traced)


@EAGER_AND_TRACED
@pytest.mark.parametrize("name", SOME_LAYERS)
def test_gradient_of_gathered_outputs_equals_loop(x, name, traced):
    """TensorFlow passes the gradient of `tf.gather` as slices."""
    assert_equal_to_loop(
        name, lambda layer: first_derivatives(layer, x, lambda x: tf.gather(layer(x), [0, 2, 2])), traced
    )


def test_outputs_without_a_gradient_do_not_matter(x):
    def gradients(layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = loss_of(layer(x)[:, 1])
        return tape.gradient(loss, sources(layer, x))

    assert_equal_to_loop("gru", gradients)


def test_jacobian_equals_loop(x):
    def jacobians(layer):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = layer(x)[:, -1]
        return [tape.jacobian(y, x), tape.batch_jacobian(y, x)]

    assert_equal_to_loop("gru", jacobians)


def in_a_loop(layer, x):
    for index in tf.range(3):
        x = x + layer(x, training=True)[:, :, :D] * tf.cast(index, "float32")
    return x


def in_a_branch(layer, x):
    return tf.cond(tf.reduce_sum(x) < 1e6, lambda: layer(x, training=True), lambda: tf.zeros((N, T, H)))


def recomputed(layer, x):
    return tf.recompute_grad(lambda x: layer(x, training=True))(x)


@pytest.mark.parametrize("call", [in_a_loop, in_a_branch, recomputed])
@EAGER_AND_TRACED
def test_control_flow_and_recomputation(x, call, traced):
    converted = tf.autograph.to_graph(call) if traced else call
    assert_equal_to_loop("lstm", lambda layer: first_derivatives(layer, x, lambda x: converted(layer, x)), traced)


def test_frozen_weights_get_no_gradient(x):
    layer, _ = pair("lstm")
    layer.trainable = False
    assert len(first_derivatives(layer, x)) == 1
    assert np.abs(first_derivatives(layer, x)[0].numpy()).max() > 1e-4


# === Sizes ===


@pytest.mark.parametrize("name", LAYERS)
def test_empty_batch(name):
    layer, _ = pair(name)
    empty = tf.zeros((0, T, D))
    dx, *gradients = first_derivatives(layer, empty)
    assert dx.shape == (0, T, D)
    assert all(not gradient.numpy().any() for gradient in gradients)
    assert layer(empty, mask=tf.zeros((0, T), bool)).shape[0] == 0


@pytest.mark.parametrize("name", LAYERS)
def test_unknown_batch_size_and_length(rng, name):
    """One trace serves all sizes."""
    native, loop = pair(name)
    traces = []

    @tf.function(input_signature=[tf.TensorSpec((None, None, D)), tf.TensorSpec((None, None), tf.bool)])
    def gradients(x, mask):
        traces.append(1)
        return first_derivatives(native, x, lambda x: native(x, mask=mask, training=True))

    for n, steps in [(2, 5), (1, 1), (17, 3)]:
        x, mask = tf.constant(rng.normal(size=(n, steps, D)), "float32"), tf.constant(rng.random((n, steps)) < 0.7)
        expected = first_derivatives(loop, x, lambda x: loop(x, mask=mask))  # noqa: B023 - called at once
        assert_close(as_arrays(gradients(x, mask)), as_arrays(expected))
    assert gradients(tf.zeros((0, 4, D)), tf.zeros((0, 4), tf.bool))[0].shape == (0, 4, D)
    assert len(traces) == 1


# === Models ===


def native_model(name="deep"):
    inputs = keras.Input((None, D))
    return keras.Model(inputs, keras.layers.Dense(1)(LAYERS[name]("native")(inputs)))


def test_copies_of_a_model_run_in_native_code(x, tmp_path):
    model = native_model()
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    copies = [keras.models.load_model(tmp_path / "model.keras"), keras.models.clone_model(model)]
    copies.append(keras.Model.from_config(model.get_config()))
    for copy in copies:
        copy.set_weights(model.get_weights())
        assert copy.layers[1].implementation == "native"
        np.testing.assert_array_equal(copy.predict(x, verbose=0), expected)


def test_fit_gives_the_same_weights_as_the_loop(x):
    weights = []
    model = native_model()
    start = model.get_weights()
    for implementation in ("native", "loop"):
        inputs = keras.Input((None, D))
        model = keras.Model(inputs, keras.layers.Dense(1)(LAYERS["deep"](implementation)(inputs)))
        model.set_weights(start)
        model.compile("sgd", "mse")
        model.fit(x, tf.ones((N, T, 1)), batch_size=2, epochs=2, verbose=0, shuffle=False)
        weights.append(model.get_weights())
    assert_close(*weights)


def test_python_threads_share_a_layer(x):
    from concurrent.futures import ThreadPoolExecutor

    layer, _ = pair("deep")
    functions = [tf.function(lambda: first_derivatives(layer, x)), lambda: first_derivatives(layer, x)]
    expected = [as_arrays(function()) for function in functions]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda index: as_arrays(functions[index % 2]()), range(32)))
    for index, result in enumerate(results):
        for actual, array in zip(result, expected[index % 2], strict=True):
            np.testing.assert_array_equal(actual, array)
