"""Recipes: settings of the optimizer, single steps compared with NumPy, and unsupported values."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from rate_history import RateHistory

from deeprnn_keras import LanguageModel, Recipe, token_windows, zoo
from deeprnn_keras.training import CosineDecay, GeometricDecay

pytestmark = pytest.mark.usefixtures("eager")


# === In `fit` ===
T, V = 4, 5


def compiled_model(recipe):
    keras.utils.set_random_seed(2)
    return recipe.compile(LanguageModel(V, units=3), LanguageModel.loss_function())


def rates_in_fit(recipe, epochs, data, fits=1):
    model, history = compiled_model(recipe), RateHistory()
    callbacks = [*recipe.callbacks(), history]
    for _ in range(fits):
        model.fit(data, epochs=epochs, callbacks=callbacks, verbose=0, shuffle=False)
    return history.rates


def test_learning_rate_of_every_update():
    data = token_windows([np.arange(61) % V], T, 5)
    assert len(data) == 3
    geometric = Recipe(learning_rate=0.02, schedule=GeometricDecay(0.5, 1))
    np.testing.assert_allclose(
        rates_in_fit(geometric, 3, data), np.repeat([0.02, 0.01, 0.005], 3), rtol=1e-6, err_msg="geometric"
    )
    cosine = Recipe(learning_rate=0.02, schedule=CosineDecay(final=0.5, warmup=0.0))
    wanted = [0.02 * (0.75 + 0.25 * math.cos(math.pi * update / 5)) for update in range(6)]
    np.testing.assert_allclose(rates_in_fit(cosine, 2, data), wanted, rtol=1e-6, err_msg="cosine")


def test_learning_rate_is_constant_without_a_schedule():
    recipe = Recipe(learning_rate=0.02)
    assert recipe.callbacks() == []
    assert float(compiled_model(recipe).optimizer.learning_rate) == pytest.approx(0.02)


def test_schedule_requires_data_of_known_length():
    unknown = token_windows([np.arange(41) % V], T, 5).filter(lambda x, y: True)
    with pytest.raises(ValueError, match="known length"):
        rates_in_fit(Recipe(schedule=GeometricDecay(0.5, 1)), 1, unknown)


@pytest.mark.parametrize(
    ("name", "options", "wanted"),
    [
        ("adam", {"beta_2": 0.9}, {"beta_2": 0.9, "beta_1": 0.9}),
        ("rmsprop", {"rho": 0.95}, {"rho": 0.95}),
        ("sgd", {"momentum": 0.5}, {"momentum": 0.5}),
    ],
)
def test_optimizer_and_its_options(name, options, wanted):
    optimizer = compiled_model(Recipe(name, 0.25, optimizer_options=options)).optimizer
    assert type(optimizer).__name__.lower() == f"guarded{name}"
    config = optimizer.get_config()
    assert {key: config[key] for key in wanted} == wanted
    assert (config["learning_rate"], config["global_clipnorm"], config["clipvalue"]) == (0.25, None, None)


# === Clipping: one SGD step compared with the clipped gradient ===


def one_step(recipe):
    """Return the gradients of the mean loss and the decrease of each weight in one update, as lists of arrays."""
    model = compiled_model(recipe)
    rng = np.random.default_rng(3)
    x, y = rng.integers(V, size=(2, 6, T)).astype("int32")
    before = model.get_weights()
    with tf.GradientTape() as tape:
        loss = model.loss_function()(y, model(x))
    gradients = [g.numpy() for g in tape.gradient(loss, [w.value for w in model.trainable_weights])]
    model.train_on_batch(x, y)
    return gradients, [old - new for old, new in zip(before, model.get_weights(), strict=True)]


def norm(arrays):
    return math.sqrt(sum(float(np.sum(np.square(array, dtype="float64"))) for array in arrays))


def clip_by_norm(arrays, limit):
    return [array * min(1.0, limit / norm(arrays)) for array in arrays]


def clip_by_value(arrays, limit):
    return [np.clip(array, -limit, limit) for array in arrays]


def assert_steps(got, wanted):
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def test_global_clipnorm_limits_the_step():
    gradients, step = one_step(Recipe("sgd", 0.5, global_clipnorm=0.01))
    assert norm(gradients) > 0.1
    assert norm(step) == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert_steps(step, [0.5 * g for g in clip_by_norm(gradients, 0.01)])


def test_global_clipnorm_does_not_change_small_gradients():
    gradients, step = one_step(Recipe("sgd", 0.5, global_clipnorm=10.0))
    assert_steps(step, [0.5 * g for g in gradients])


def test_clipvalue_limits_every_element():
    gradients, step = one_step(Recipe("sgd", 1.0, clipvalue=0.01))
    assert any(np.max(np.abs(g)) > 0.05 for g in gradients)
    assert_steps(step, clip_by_value(gradients, 0.01))


@pytest.mark.parametrize(
    ("options", "clip"),
    [
        ({}, lambda arrays: arrays),
        ({"global_clipnorm": 0.2}, lambda arrays: clip_by_norm(arrays, 0.2)),
        ({"global_clipnorm": 50.0}, lambda arrays: arrays),
        ({"clipvalue": 0.05}, lambda arrays: clip_by_value(arrays, 0.05)),
    ],
    ids=["no clipping", "norm", "norm above the gradient's", "value"],
)
def test_sum_over_time_equals_a_summed_loss(options, clip):
    """The step equals that of SGD on a loss summed over T, with learning rate and clipping stated for that loss."""
    gradients, step = one_step(Recipe("sgd", 0.3, sum_over_time=True, bptt=T, **options))
    summed = [T * g for g in gradients]
    if options.get("global_clipnorm") == 0.2:
        assert norm(summed) > 0.2
    assert_steps(step, [0.3 * g for g in clip(summed)])


def test_sum_over_time_keeps_the_learning_rate_of_scale_invariant_optimizers():
    recipe = Recipe("rmsprop", 2e-3, clipvalue=5.0, sum_over_time=True, bptt=50)
    optimizer = compiled_model(recipe).optimizer
    assert float(optimizer.learning_rate) == pytest.approx(2e-3)
    assert optimizer.clipvalue == pytest.approx(0.1)


def test_schedule_restarts_in_each_fit():
    recipe = Recipe("sgd", 0.01, GeometricDecay(0.5, 1), sum_over_time=True, bptt=T)
    rates = rates_in_fit(recipe, 2, token_windows([np.arange(21) % V], T, 5), fits=2)
    np.testing.assert_allclose(rates, [0.01 * T, 0.005 * T] * 2, rtol=1e-6)


# === Unsupported values ===


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "adamm"),
        *(("learning_rate", value) for value in (0, -1.0, math.nan, math.inf, "fast", None)),
        *((name, value) for name in ("global_clipnorm", "clipvalue") for value in (0, -1.0, math.inf)),
        *((name, value) for name in ("batch_size", "bptt", "epochs", "min_steps") for value in (0, 1.5, None)),
        *((name, value) for name in ("stride", "train_windows", "validation_windows") for value in (0, -3, 2.5)),
    ],
)
def test_message_names_argument_and_value(name, value):
    with pytest.raises(ValueError, match=f"^(unknown )?{name} ") as error:
        Recipe(**{name: value})
    assert repr(value) in str(error.value)


def test_unknown_optimizer_suggests_a_similar_name():
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        Recipe("adamm")


def test_two_kinds_of_clipping_are_an_error():
    with pytest.raises(ValueError, match=r"global_clipnorm.*clipvalue|clipvalue.*global_clipnorm"):
        Recipe(global_clipnorm=1.0, clipvalue=1.0)


@pytest.mark.parametrize("windows", [{"train_windows": 5}, {"validation_windows": 5}], ids=str)
def test_train_and_validation_windows_must_be_set_together(windows):
    with pytest.raises(ValueError, match=r"train_windows.*validation_windows|validation_windows.*train_windows"):
        Recipe(**windows)


@pytest.mark.parametrize(
    ("epochs", "min_steps", "updates", "wanted"), [(2, 1, 10, 2), (2, 25, 10, 3), (2, 20, 10, 2), (1, 3000, 7, 429)]
)
def test_epochs_for_min_steps(epochs, min_steps, updates, wanted):
    assert Recipe(epochs=epochs, min_steps=min_steps).epochs_for(updates) == wanted


@pytest.mark.parametrize("name", zoo.list_models())
def test_quick_run_is_bounded_and_deterministic(name):
    config = zoo.info(name)
    recipe, updates = config.recipe.quick(zoo.count_params(name), config.num_layers)
    assert (recipe, updates) == config.recipe.quick(zoo.count_params(name), config.num_layers)
    assert 40 <= updates <= 4000 and updates % recipe.epochs == 0
    assert recipe.bptt <= 32 and recipe.min_steps == 1
    assert (recipe.learning_rate, recipe.batch_size) == (config.recipe.learning_rate, config.recipe.batch_size)


def test_larger_model_has_fewer_quick_updates():
    updates = [Recipe().quick(num_params, 2)[1] for num_params in (10**4, 10**6, 10**7, 10**9)]
    assert updates == sorted(updates, reverse=True) and updates[0] > updates[1] > updates[-1]


def test_description_of_a_recipe():
    rows = dict(zoo.info("char_rnn_2x128").recipe.describe())
    assert rows["optimizer"] == "rmsprop (rho=0.95)"
    assert rows["learning rate"] == "0.002, x 0.97 per epoch after epoch 10"
    assert (rows["gradient clipping"], rows["batch size n, steps T"], rows["epochs"]) == ("value 5", "50, 50", "50")
    assert rows["loss"] == "summed over the T steps"
