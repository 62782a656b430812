"""Values, training, saving, and error messages of `DeepInput` and `DeepOutput`."""

import keras
import numpy as np
import pytest
from oracles import assert_close, random_weights

from deeprnn_keras import DeepRNN
from deeprnn_keras.layers import DeepInput, DeepOutput


@pytest.mark.parametrize("shape", [(2, 3), (2, 5, 3)])
@pytest.mark.parametrize("units", [6, [4], [4, 6], [5, 4, 3]], ids=str)
def test_values(rng, shape, units):
    x = rng.normal(size=shape)
    for cls in (DeepInput, DeepOutput):
        layer = cls(units, activation="tanh")
        layer(x)
        weights, a = random_weights(layer, rng), x
        for number in range(0, len(weights), 2):
            a = a @ weights[number] + weights[number + 1]
            a = a if cls is DeepOutput and number == len(weights) - 2 else np.tanh(a)
        assert_close(layer(x), a)
        assert layer.compute_output_shape(shape) == a.shape


@pytest.mark.slow
def test_model_with_deep_input_and_output(rng, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            keras.layers.Masking(),
            DeepInput([4, 4], "relu", dropout=0.2, seed=1),
            DeepRNN(5, return_sequences=True),
            DeepOutput([6, 2], dropout=0.2, seed=2, kernel_initializer=keras.initializers.GlorotUniform(seed=1)),
        ]
    )
    x = rng.normal(size=(4, 5, 3)).astype("float32")
    model.compile("adam", "mse")
    initial_weights = [w.numpy() for w in model.trainable_weights]
    model.fit(x, rng.normal(size=(4, 5, 2)), verbose=0)
    changed = [bool((w.numpy() != old).any()) for w, old in zip(model.trainable_weights, initial_weights, strict=True)]
    assert changed == [True] * len(changed)
    model.save(tmp_path / "model.keras")
    assert_close(keras.models.load_model(tmp_path / "model.keras")(x), model(x).numpy(), 0)
    assert abs(model(x, training=True) - model(x)).numpy().max() > 0
    first, second = model.layers[-1].dense_layers
    assert abs(first.kernel.numpy()[:2, :2] - second.kernel.numpy()[:2, :2]).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "units must be a positive integer or a list of them, one per dense layer, got an empty list"),
        (([3, 0],), "units must be a positive integer, got 0"),
        (([3], "tahn"), "unknown activation 'tahn'; did you mean 'tanh'"),
        (([3], "tanh", 1.0), r"dropout must be a number in \[0, 1\), got 1.0"),
    ],
)
def test_unsupported_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeepOutput(*arguments)
