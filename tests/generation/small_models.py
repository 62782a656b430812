"""Small language models with random weights."""

from deeprnn_keras import LanguageModel

V = 5


def randomized(model, rng, scale=0.5):
    """Set random weights, biases included, so that no term vanishes."""
    model.set_weights([rng.normal(scale=scale, size=w.shape).astype("float32") for w in model.get_weights()])
    return model


def small_model(rng, **options):
    return randomized(LanguageModel(V, **{"units": 4, "num_layers": 2, **options}), rng)


def ids(rng, *shape):
    return rng.integers(V, size=shape).astype("int32")
