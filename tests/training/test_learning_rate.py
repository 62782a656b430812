"""Learning rate of each update: warm-up, step decay, plateau decay, and proportionality to a random T."""

import keras
import numpy as np
import pytest
from rate_history import RateHistory

from deeprnn_keras import ArrayDataset, DeepRNN, LanguageModel, Recipe, TBPTTDataset
from deeprnn_keras.training import LearningRate, PlateauDecay, StepDecay

pytestmark = pytest.mark.usefixtures("eager")


def rates(callback, epochs, updates=4, losses=None):
    """Return the learning rate of each update; `losses`, one per epoch, replace the validation loss."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = RateHistory()
    if losses is not None:
        remaining, on_epoch_end = iter(losses), callback.on_epoch_end
        callback.on_epoch_end = lambda epoch, logs=None: on_epoch_end(epoch, {**logs, "val_loss": next(remaining)})
    x = np.ones((updates, 1))
    model.fit(ArrayDataset(x, x, 1), epochs=epochs, callbacks=[callback, history], shuffle=False, verbose=0)
    return history.rates


def test_warm_up():
    np.testing.assert_allclose(rates(LearningRate(1.0, warmup=4), 2), [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1], rtol=1e-6)


def test_step_decay():
    wanted = np.repeat([1, 0.1, 0.1, 0.01], 4)
    np.testing.assert_allclose(rates(LearningRate(1.0, StepDecay(0.1, (1, 3))), 4), wanted, rtol=1e-6)
    published = StepDecay(0.1, (300, 400))
    assert [round(published.factor(e * 7, 7, 3500), 9) for e in (0, 299, 300, 399, 400, 499)] == [
        1,
        1,
        0.1,
        0.1,
        0.01,
        0.01,
    ]


def test_plateau_decay():
    """The learning rate drops after each of the 2 plateaus of 2 epochs, but not after a single worse epoch."""
    losses = [3, 4, 3, 2, 5, 1, 1, 1, 0]
    wanted = np.repeat([1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25], 4)
    np.testing.assert_allclose(rates(LearningRate(1.0, PlateauDecay(0.5, 2)), 9, losses=losses), wanted, rtol=1e-6)
    assert PlateauDecay(0.1, min_factor=0.05).factor_after(3) == 0.05


def test_plateau_decay_requires_validation():
    with pytest.raises(ValueError, match="PlateauDecay depends on the validation loss; pass validation_data to fit"):
        rates(LearningRate(1.0, PlateauDecay(0.5)), 1)


@pytest.mark.slow
def test_rate_is_proportional_to_random_lengths():
    """This holds in every epoch, although Keras may iterate over the data before the first epoch."""
    keras.utils.set_random_seed(0)
    recipe = Recipe("sgd", 0.5, stateful=True, random_bptt=True, batch_size=2, bptt=10, epochs=3)
    data = TBPTTDataset(np.arange(160) % 7, 2, 10, random_bptt=True, seed=4)
    model, history = LanguageModel(7, 3, stateful=True), RateHistory()
    model, callbacks = recipe.prepare(model, model.loss_function(), data)
    model.fit(data, epochs=3, callbacks=[*callbacks, history], shuffle=False, verbose=0)
    lengths = np.concatenate([data.lengths(epoch) for epoch in range(3)])
    np.testing.assert_allclose(history.rates, 0.5 * lengths / 10, rtol=1e-6)
    assert len(set(lengths)) > 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepDecay(0.1, ()), "epochs must be increasing positive integers"),
        (lambda: StepDecay(0.1, (4, 3)), "epochs must be increasing positive integers"),
        (lambda: PlateauDecay(1.5), r"ratio must be a number in \(0, 1\), got 1.5"),
        (lambda: PlateauDecay(0.5, 0), "patience must be a positive integer, got 0"),
        (lambda: Recipe(random_bptt=True), "random_bptt=True requires stateful=True, got stateful=False"),
        (lambda: Recipe(averaging="emma"), "unknown averaging 'emma'; did you mean 'ema'"),
        (lambda: Recipe(warmup=-1), "warmup must be a non-negative integer, got -1"),
        (
            lambda: Recipe(random_bptt=True, stateful=True).callbacks(),
            "requires data to be a TBPTTDataset with random_bptt=True.* got NoneType",
        ),
        (lambda: Recipe(ar=1.0).compile(keras.Sequential([keras.Input((1,))]), "mse"), "require a DeepRNN"),
        (
            lambda: Recipe(tar=1.0).compile(keras.Sequential([keras.Input((2, 3)), DeepRNN(2)]), "mse"),
            "return_sequences=True",
        ),
    ],
)
def test_unsupported_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_recipe_sets_model_and_callbacks():
    recipe = Recipe("sgd", 1.0, ar=2.0, tar=1.0, weight_decay=1e-6, averaging="ema", warmup=3, global_clipnorm=0.25)
    model = LanguageModel(3, 2, 2)
    model, callbacks = recipe.prepare(model, model.loss_function())
    stack = model.get_layer("deep_rnn")
    assert (stack.ar, stack.tar, model.optimizer.weight_decay, model.optimizer.use_ema) == (2.0, 1.0, 1e-6, True)
    assert model.optimizer.global_clipnorm == 0.25
    assert [type(callback).__name__ for callback in callbacks] == ["LearningRate", "EMAWeights", "NonFiniteGuard"]
    described = dict(recipe.describe())
    assert described["penalties"] == "weight decay 1e-06, AR 2, TAR 1" and described["averaging"] == "EMA"
    averaged = dict(Recipe(averaging="nt-asgd", stateful=True).describe())
    assert averaged["averaging"] == "NT-ASGD" and averaged["state"] == "carried from batch to batch"
