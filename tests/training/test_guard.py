"""Guarded optimizers: compared with Keras' optimizers and NumPy, and with non-finite gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras.optimizers import GradientGuard, GuardedAdam, GuardedRMSprop, GuardedSGD, guard

PAIRS = {
    "adam": (GuardedAdam, keras.optimizers.Adam),
    "rmsprop": (GuardedRMSprop, keras.optimizers.RMSprop),
    "sgd": (GuardedSGD, keras.optimizers.SGD),
}
TOLERANCE = {"adam": 1.5e-5, "rmsprop": 0.0, "sgd": 0.0}
"""Largest absolute difference of the weights after 4 steps with a learning rate of 0.1. TensorFlow's operation for Adam
computes 1 - beta_2 in float32, with a relative error of 5e-5."""

pairs = pytest.mark.parametrize("name", PAIRS)


def variables():
    rng = np.random.default_rng(0)
    return [keras.Variable(rng.normal(size=shape).astype("float32")) for shape in ((3, 2), (4,))]


def gradients(step):
    rng = np.random.default_rng(step + 1)
    return [tf.constant(rng.normal(size=shape), "float32") for shape in ((3, 2), (4,))]


def weights_after(optimizer, steps=4, transform=lambda step, gradients: gradients):
    weights = variables()
    for step in range(steps):
        optimizer.apply(transform(step, gradients(step)), weights)
    return [weight.numpy() for weight in weights]


@pairs
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.01}, {"use_ema": True, "ema_momentum": 0.9}], ids=str)
def test_guarded_optimizer_without_clipping_equals_the_keras_optimizer(name, options):
    ours, stock = (kind(0.1, **options) for kind in PAIRS[name])
    for one, other in zip(weights_after(ours), weights_after(stock), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE[name])
    assert (int(ours.applied), int(ours.clipped), int(ours.skipped), int(ours.faulty)) == (4, 0, 0, -1)


@pairs
def test_clipping_equals_numpy(name):
    """The optimizer receives g min(1, c / |g|), where |g| is the norm of all gradients."""
    ours, stock = PAIRS[name][0](0.1, global_clipnorm=3.0), PAIRS[name][1](0.1)
    norms = []

    def clip(step, gradients):
        norms.append(np.sqrt(sum(float(np.sum(np.square(part))) for part in gradients)))
        return [part * min(1.0, 3.0 / norms[-1]) for part in gradients]

    for one, other in zip(weights_after(ours), weights_after(stock, transform=clip), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7 + TOLERANCE[name])
    assert 0 < int(ours.clipped) == sum(norm > 3 for norm in norms) < 4
    assert float(ours.last_norm) == pytest.approx(norms[-1], rel=1e-6)


@pytest.mark.parametrize("dense", [2**25, 0], ids=["dense", "sparse"])
def test_norm_of_repeated_embedding_rows(monkeypatch, dense):
    """|g| is the norm of the dense gradient; Keras adds the squares of unmerged rows."""
    monkeypatch.setattr(guard, "MAX_DENSE_ELEMENTS", dense)
    embedding = keras.layers.Embedding(5, 3)
    ids, weights = np.array([[1, 1, 1, 4]]), embedding(np.array([[0]])) is not None and embedding.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(embedding(ids))
    (gradient,) = tape.gradient(loss, [weight.value for weight in weights])
    dense_gradient = np.zeros((5, 3))
    np.add.at(dense_gradient, ids[0], 1.0)
    ours, before = GuardedSGD(1.0, global_clipnorm=1.0), weights[0].numpy()
    ours.apply([gradient], weights)
    assert float(ours.last_norm) == pytest.approx(np.linalg.norm(dense_gradient), rel=1e-6)
    np.testing.assert_allclose(before - weights[0].numpy(), dense_gradient / np.linalg.norm(dense_gradient), atol=1e-6)
    stock = np.sqrt(np.sum(np.square(gradient.values)))
    assert stock < 0.7 * np.linalg.norm(dense_gradient)


@pairs
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("graph", [False, True])
def test_non_finite_gradient_is_skipped(name, bad, graph):
    ours, weights = PAIRS[name][0](0.1, global_clipnorm=1.0), variables()
    ours.build(weights)

    def apply(grads):
        ours.apply(grads, weights)

    if graph:  # without autograph, as in `fit`: Keras disables it
        apply = tf.function(apply, autograph=False)
    apply(gradients(0))
    before = [variable.numpy() for variable in [*weights, *ours.variables]]
    first, second = gradients(1)
    apply([first, second * tf.constant([1.0, bad, 1.0, 1.0])])
    counters = {id(ours.skipped), id(ours.faulty)}
    for variable, old in zip([*weights, *ours.variables], before, strict=True):
        if id(variable) not in counters:
            np.testing.assert_array_equal(variable.numpy(), old)
    assert (int(ours.skipped), int(ours.faulty), int(ours.applied)) == (1, 1, 1)


def compiled_model(optimizer, **options):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", **options)
    return model


@pytest.mark.parametrize(
    "options", [{}, {"run_eagerly": True}, pytest.param({"jit_compile": True}, marks=pytest.mark.slow)], ids=str
)
def test_fit_save_and_load(tmp_path, rng, options):
    x, y = rng.normal(size=(8, 3)).astype("float32"), rng.normal(size=(8, 1)).astype("float32")
    model = compiled_model(GuardedAdam(0.05, global_clipnorm=0.5), **options)
    losses = model.fit(x, y, batch_size=4, epochs=5, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0] and int(model.optimizer.applied) == 10
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.optimizer.global_clipnorm == 0.5 and int(loaded.optimizer.applied) == 10
    loaded.fit(x, y, batch_size=4, verbose=0)


def test_loss_scaling_with_half_precision(rng):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = compiled_model(GuardedAdam(0.05, global_clipnorm=0.5))
    finally:
        keras.config.set_dtype_policy("float32")
    model.fit(rng.normal(size=(8, 3)), rng.normal(size=(8, 1)), epochs=2, verbose=0)
    assert int(model.optimizer.inner_optimizer.applied) + int(model.optimizer.inner_optimizer.skipped) <= 2


def test_user_defined_guarded_optimizer(rng):
    class GuardedLion(GradientGuard, keras.optimizers.Lion):
        pass

    ours, stock = GuardedLion(0.01), keras.optimizers.Lion(0.01)
    for one, other in zip(weights_after(ours), weights_after(stock), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"global_clipnorm": 0}, "global_clipnorm must be a positive number or None, got 0"),
        ({"global_clipnorm": 1.0, "clipnorm": 1.0}, "Only one of `clipnorm`, `clipvalue` and `global_clipnorm`"),
    ],
)
def test_unsupported_clipping(options, message):
    with pytest.raises(ValueError, match=message):
        GuardedSGD(0.1, **options)


@pytest.mark.parametrize("options", [{"amsgrad": True}, {}], ids=["amsgrad", "large embedding"])
def test_adam_without_its_operation_in_place_equals_that_of_keras(options, monkeypatch):
    monkeypatch.setattr(guard, "MAX_DENSE_ELEMENTS", 0)
    results = []
    for kind in PAIRS["adam"]:
        weight, optimizer = keras.Variable(np.ones((5, 2), "float32")), kind(0.1, **options)
        rows = tf.IndexedSlices(tf.constant([[1.0, -2.0], [0.5, 3.0]]), tf.constant([3, 1]), tf.constant([5, 2]))
        for _ in range(3):
            optimizer.apply([tf.ones((5, 2)) if options else rows], [weight])
        results.append(weight.numpy())
    np.testing.assert_allclose(*results, rtol=1e-6)
