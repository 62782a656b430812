"""Small networks and batches for the tests of `gradient_health`."""

import keras

from deeprnn_keras import DeepRNN

D, H = 3, 6


def compiled_model(*layers, inputs=(None, D)):
    model = keras.Sequential([keras.Input(inputs), *layers])
    model.compile("adam", "mse")
    return model


def build_network(units=H, head=1, **options):
    return compiled_model(DeepRNN(units, **{"implementation": "loop", **options}), keras.layers.Dense(head))


def random_batch(rng, steps=30, n=8, scale=1.0):
    return scale * rng.normal(size=(n, steps, D)).astype("float32"), rng.normal(size=(n, 1)).astype("float32")
