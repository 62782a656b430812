"""Steps of Keras models as `fit` and `predict` run them: stock layers, drop-ins, and `DeepRNN` and its variants."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

import deeprnn_keras
from deeprnn_keras._types import Config, Layer
from deeprnn_keras.bench.case import Case
from deeprnn_keras.bench.implementations import Step
from deeprnn_keras.bench.masks import make_mask

STACKED = {"keras": keras.layers, "drop-ins": deeprnn_keras}
CLASSES = {"lstm": "LSTM", "gru": "GRU", "rnn": "SimpleRNN"}
Arrays: TypeAlias = "np.ndarray | tuple[np.ndarray, ...]"
"""Input of a model: one array, or a tuple of arrays."""

DEEP: dict[str, Config] = {"DeepRNN remat": {"remat": True}, "DeepRNN XLA": {"implementation": "xla"}}
MASKS = {"DeepRNN right-padded": "right-padded", "DeepRNN with gaps": "gaps"}
POLICIES = {"DeepRNN mixed_float16": "mixed_float16", "DeepRNN mixed_bfloat16": "mixed_bfloat16"}


def make_step(name: str, case: Case, seed: int) -> Step:
    """Return one call of `train_function` (Adam, mean squared error) or of `predict_function`.

    The functions and their iterator are those that `fit` and `predict` create from arrays with the default arguments:
    the graph has a dynamic batch size, and `jit_compile` is "auto". Every call uses the same batch, which is in
    memory; the cost of the input pipeline is not measured.
    """
    keras.backend.clear_session()
    gc.collect()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(POLICIES.get(name, "float32"))
    model = build_model(name, case)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((case.batch_size, case.steps, case.units), dtype="float32")
    y = rng.standard_normal((case.batch_size, case.steps, 1), dtype="float32")
    inputs = (x, make_mask(MASKS[name], case.batch_size, case.steps, seed)) if name in MASKS else x
    return predict_step(model, inputs) if case.mode == "infer" else train_step(model, inputs, y)


def build_model(name: str, case: Case) -> keras.Model:
    """Return the stack with a head of negligible cost: one output per time step."""
    layers, head = recurrent_layers(name, case), keras.layers.Dense(1)
    sequences = keras.Input((case.steps, case.units))
    if name in MASKS:
        mask = keras.Input((case.steps,), dtype="bool")
        (deep_rnn,) = layers
        model = keras.Model([sequences, mask], head(deep_rnn(sequences, mask=mask)))
    else:
        model = keras.Sequential([sequences, *layers, head])
    model.compile(keras.optimizers.Adam(), "mse")
    return model


def recurrent_layers(name: str, case: Case) -> list[Layer]:
    """Return the recurrent layers, which all return sequences."""
    if name in STACKED:
        layer_class = getattr(STACKED[name], CLASSES[case.cell])
        return [layer_class(case.units, return_sequences=True) for _ in range(case.num_layers)]
    deep_rnn = deeprnn_keras.DeepRNN
    return [deep_rnn(case.units, case.num_layers, case.cell, return_sequences=True, **DEEP.get(name, {}))]


def train_step(model: keras.Model, x: Arrays, y: np.ndarray) -> Step:
    """Return a function that runs one training update and fetches the loss, as a progress bar does."""
    model.make_train_function()
    iterator = repeated_batch(x, y)
    return lambda: float(model.train_function(iterator)["loss"])


def predict_step(model: keras.Model, x: Arrays) -> Step:
    """Return a function that runs one prediction and returns a NumPy array."""
    model.make_predict_function()
    iterator = repeated_batch(x)
    return lambda: model.predict_function([next(iterator)]).numpy()


def repeated_batch(*arrays: Arrays) -> Iterator[tf.Tensor]:
    """Return an iterator that repeats one batch and whose element spec has a dynamic batch size."""
    batch_size = len(keras.tree.flatten(arrays)[0])
    dataset = tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size).cache().repeat()
    return iter(dataset)
