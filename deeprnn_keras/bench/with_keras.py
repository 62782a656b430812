"""Keras models as `fit` and `predict` run them: stock layers, the drop-ins, `DeepRNN`."""

import gc

import keras
import numpy as np
import tensorflow as tf

import deeprnn_keras

STACKED = {"keras": keras.layers, "drop-ins": deeprnn_keras}
CLASSES = {"lstm": "LSTM", "gru": "GRU", "rnn": "SimpleRNN"}
DEEP = {"DeepRNN": {}, "DeepRNN lean": {"remat": True}}


def make_step(name, case, seed):
    """One call of `train_function` (Adam, mean squared error) or of `predict_function`.

    The functions, and the iterator they draw from, are those that `fit` and `predict` make of arrays with all
    defaults: the number of examples is unknown to the graph, `jit_compile` is "auto". The batch is the same each time
    and lies in memory; what drawing a batch costs is not measured.
    """
    keras.backend.clear_session()
    gc.collect()
    keras.utils.set_random_seed(seed)
    model = build(name, case)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((case.batch_size, case.steps, case.units), dtype="float32")
    if case.mode == "infer":
        return predict_step(model, x)
    return train_step(model, x, rng.standard_normal((case.batch_size, case.steps, 1), dtype="float32"))


def build(name, case):
    """The stack, and a head that costs next to nothing: one number per step."""
    layers = [keras.Input((case.steps, case.units)), *recurrent(name, case), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(), "mse")
    return model


def recurrent(name, case):
    """The recurrent layers, all of which return sequences."""
    if name in DEEP:
        deep = deeprnn_keras.DeepRNN
        return [deep(case.units, case.num_layers, case.cell, return_sequences=True, **DEEP[name])]
    layer = getattr(STACKED[name], CLASSES[case.cell])
    return [layer(case.units, return_sequences=True) for _ in range(case.num_layers)]


def train_step(model, x, y):
    """An update; its loss is fetched, as a progress bar would."""
    model.make_train_function()
    iterator = batches(x, y)
    return lambda: float(model.train_function(iterator)["loss"])


def predict_step(model, x):
    """A prediction, up to the NumPy array."""
    model.make_predict_function()
    iterator = batches(x)
    return lambda: model.predict_function([next(iterator)]).numpy()


def batches(*arrays):
    """The same batch again and again, of a number of examples that the graph does not know."""
    dataset = tf.data.Dataset.from_tensor_slices(arrays).batch(len(arrays[0])).cache().repeat()
    return iter(dataset)
