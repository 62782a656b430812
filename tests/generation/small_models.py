"""Small language models with random weights, and outputs computed in chunks."""

import numpy as np

from deeprnn_keras import LanguageModel
from deeprnn_keras.generation.stepwise import zero_state

V = 5


def randomized(model, rng, scale=0.5):
    """Set random weights, biases included, so that no term vanishes."""
    model.set_weights([rng.normal(scale=scale, size=w.shape).astype("float32") for w in model.get_weights()])
    return model


def small_model(rng, **options):
    return randomized(LanguageModel(V, **{"units": 4, "num_layers": 2, **options}), rng)


def ids(rng, *shape):
    return rng.integers(V, size=shape).astype("int32")


def in_chunks(stepper, x, sizes):
    """Return the outputs (n, T, ...) of `stepper`, which reads chunks of `sizes` steps."""
    assert sum(sizes) == x.shape[1]
    state, outputs = zero_state(stepper, len(x)), []
    for chunk in np.split(x, np.cumsum(sizes)[:-1], axis=1):
        output, *state = stepper.predict_on_batch([chunk, *state])
        outputs.append(output)
    return np.concatenate(outputs, axis=1)
