"""Streams of models: every causal model of the zoo, and models of Keras layers, over 1,000 steps."""

import keras
import numpy as np
import pytest
from keras import layers
from stream_programs import expected, random_inputs
from zoo_models import BUILDABLE

import deeprnn_keras
from deeprnn_keras import LanguageModel, SequenceModel, Stream, lower, zoo
from deeprnn_keras.program.interpreter import Interpreter

STEPS = 1_000
NAMES = [name for name in BUILDABLE if not zoo.info(name).bidirectional]


def residual(x):
    y = layers.Dense(4)(x)
    return layers.Add()([y, layers.GRU(4, return_sequences=True)(y)])


def several_outputs(x):
    y = layers.LSTM(4, return_sequences=True)(x)
    return [layers.Dense(1)(y), layers.Dense(3, activation="softmax")(layers.LayerNormalization()(y))]


GRAPHS = {
    "lstm": lambda x: layers.LSTM(5)(layers.LSTM(4, return_sequences=True)(x)),
    "gru": lambda x: layers.Dense(2, "sigmoid")(layers.GRU(5, return_sequences=True, reset_after=False)(x)),
    "rnn": lambda x: layers.Activation("relu")(layers.SimpleRNN(5, return_sequences=True, use_bias=False)(x)),
    "cells": lambda x: layers.RNN(layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(4)]), True)(x),
    "normalized": lambda x: layers.LSTM(3, return_sequences=True)(
        layers.BatchNormalization()(layers.Rescaling(2.0)(x))
    ),
    "dilated": lambda x: deeprnn_keras.DeepRNN(4, 3, dilation=2, return_sequences=True)(x),
    "residual": residual,
    "several outputs": several_outputs,
}


def check(program, steps=STEPS, batch_size=7):
    """Compare chunks with the interpreter, and steps of one row, in two streams, with the chunks.

    In chaotic models, errors of rounding grow with each step; then the error of float32 in NumPy is the measure.
    """
    inputs = random_inputs(program, batch_size, steps)
    whole = _tuple(Stream(program, batch_size).push(_argument(inputs)))
    single = Interpreter(program, streaming=True).run(inputs)[0]
    for actual, value, other in zip(whole, expected(program, inputs), single, strict=True):
        np.testing.assert_allclose(actual, value, rtol=1e-5, atol=max(1e-5, 10 * np.abs(other - value).max()))
    first, second = Stream(program), Stream(program)
    rows = [_tuple(first(_argument([x[:1, t] for x in inputs]))) for t in range(steps // 2)]
    second.state = first.state
    rows += [_tuple(second(_argument([x[:1, t] for x in inputs]))) for t in range(steps // 2, steps)]
    for actual, value in zip(zip(*rows, strict=True), whole, strict=True):
        np.testing.assert_array_equal(np.stack(actual, 1), value[:1])


def _tuple(value):
    return value if isinstance(value, tuple) else (value,)


def _argument(arrays):
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_models_of_the_zoo(native, name):
    keras.utils.set_random_seed(3)
    changes = {"vocabulary": 50} if zoo.info(name).task == "language" else {}
    check(lower(zoo.info(name, units=6, **changes).build()))


@pytest.mark.parametrize("name", GRAPHS)
def test_models_of_layers(native, rng, name):
    x = keras.Input((None, 3))
    model = keras.Model(x, GRAPHS[name](x))
    check(lower(model), 100)
    values = rng.normal(size=(2, 9, 3)).astype("float32")
    outputs = model(values)
    for actual, value in zip(
        _tuple(Stream(model, 2).push(values)), outputs if isinstance(outputs, list) else [outputs], strict=True
    ):
        np.testing.assert_allclose(actual if value.ndim == 3 else actual[:, -1], value, atol=1e-5)


def test_method_of_models(native, rng):
    model = LanguageModel("abc", units=4, num_layers=2)
    ids = rng.integers(0, 3, (2, 9))
    np.testing.assert_allclose(model.stream(2).push(ids), model(ids), atol=1e-5)
    stream = SequenceModel(3, 2, units=4, num_layers=1).stream()
    assert stream.batch_size == 1 and stream(np.zeros((1, 3))).shape == (1, 2)


def test_layer_that_looks_ahead():
    x = keras.Input((None, 3))
    model = keras.Model(x, layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="both")(x))
    with pytest.raises(
        ValueError, match=r"streaming is not supported for program .*: 'both/.*' needs the whole sequence"
    ):
        Stream(model)
