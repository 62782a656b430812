"""Steps of Keras models as `fit` and `predict` run them: stock layers, drop-ins, and `DeepRNN`."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

import deeprnn_keras
from deeprnn_keras._types import Config, Layer
from deeprnn_keras.bench.case import Case
from deeprnn_keras.bench.implementations import Step

STACKED = {"keras": keras.layers, "drop-ins": deeprnn_keras}
CLASSES = {"lstm": "LSTM", "gru": "GRU", "rnn": "SimpleRNN"}
DEEP: dict[str, Config] = {"DeepRNN": {}, "DeepRNN remat": {"remat": True}}


def make_step(name: str, case: Case, seed: int) -> Step:
    """Return one call of `train_function` (Adam, mean squared error) or of `predict_function`.

    The functions and their iterator are those that `fit` and `predict` create from arrays with the default arguments:
    the graph has a dynamic batch size, and `jit_compile` is "auto". Every call uses the same batch, which is in
    memory; the cost of the input pipeline is not measured.
    """
    keras.backend.clear_session()
    gc.collect()
    keras.utils.set_random_seed(seed)
    model = build_model(name, case)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((case.batch_size, case.steps, case.units), dtype="float32")
    if case.mode == "infer":
        return predict_step(model, x)
    return train_step(model, x, rng.standard_normal((case.batch_size, case.steps, 1), dtype="float32"))


def build_model(name: str, case: Case) -> keras.Model:
    """Return the stack with a head of negligible cost: one output per time step."""
    layers = [keras.Input((case.steps, case.units)), *recurrent_layers(name, case), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(), "mse")
    return model


def recurrent_layers(name: str, case: Case) -> list[Layer]:
    """Return the recurrent layers, which all return sequences."""
    if name in DEEP:
        deep_rnn = deeprnn_keras.DeepRNN
        return [deep_rnn(case.units, case.num_layers, case.cell, return_sequences=True, **DEEP[name])]
    layer_class = getattr(STACKED[name], CLASSES[case.cell])
    return [layer_class(case.units, return_sequences=True) for _ in range(case.num_layers)]


def train_step(model: keras.Model, x: np.ndarray, y: np.ndarray) -> Step:
    """Return a function that runs one training update and fetches the loss, as a progress bar does."""
    model.make_train_function()
    iterator = repeated_batch(x, y)
    return lambda: float(model.train_function(iterator)["loss"])


def predict_step(model: keras.Model, x: np.ndarray) -> Step:
    """Return a function that runs one prediction and returns a NumPy array."""
    model.make_predict_function()
    iterator = repeated_batch(x)
    return lambda: model.predict_function([next(iterator)]).numpy()


def repeated_batch(*arrays: np.ndarray) -> Iterator[tf.Tensor]:
    """Return an iterator that repeats one batch and whose element spec has a dynamic batch size."""
    dataset = tf.data.Dataset.from_tensor_slices(arrays).batch(len(arrays[0])).cache().repeat()
    return iter(dataset)
