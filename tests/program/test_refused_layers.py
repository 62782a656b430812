"""Layers that `lower` refuses: each message names the layer and the reason."""

import keras
import numpy as np
import pytest
from keras import layers

from deeprnn_keras import DeepRNN, lower
from deeprnn_keras.equations import primitives


def sequential(*stack, shape=(None, 3)):
    return keras.Sequential([keras.Input(shape), *stack])


@keras.saving.register_keras_serializable(package="tests")
class OwnDense(layers.Dense):
    """A dense layer with another step."""

    def call(self, inputs, training=None):
        return super().call(inputs) * 2


class OwnCell(layers.LSTMCell):
    """A cell with another step."""


class OwnModel(keras.Model):
    """A model whose call is Python code."""

    def call(self, inputs):
        return inputs


def looping(a):
    return a if a > 0 else -a


def reads_a_state(inputs):
    outputs, state = layers.GRU(2, return_state=True, name="gru")(inputs)
    return layers.Add(name="sum")([outputs, state])


def initial_state(inputs):
    return layers.GRU(2, name="gru")(inputs, initial_state=inputs[:, -1, :2])


LSTM = layers.LSTM(2, return_sequences=True)


@pytest.mark.parametrize(
    "layer, message",
    [
        (layers.GlobalAveragePooling1D(name="pool"), r"layer 'pool' \(GlobalAveragePooling1D\) .* combines time steps"),
        (
            layers.MaxPooling1D(2),
            "MaxPooling1D.*combines time steps; use a recurrent layer with return_sequences=False",
        ),
        (layers.Conv1D(2, 3, padding="causal"), "Conv1D.*reads several time steps"),
        (layers.Flatten(), "Flatten.*moves values"),
        (layers.Permute((2, 1)), "Permute.*moves values"),
        (layers.Lambda(lambda x: x), "Lambda.*contains Python code; use keras.layers.Activation"),
        (layers.Masking(), "Masking.*without padding; remove the layer"),
        (
            layers.UnitNormalization(),
            "UnitNormalization.*no operation exists for its class; supported are Activation, ",
        ),
        (OwnDense(2), "OwnDense.*its class overrides `call` of Dense"),
        (layers.RNN(OwnCell(2), name="r"), r"layer 'r' \(RNN\) .*its cell OwnCell has no equations; .* RecurrentCell"),
        (layers.Dense(2, "gelu"), "activation 'gelu' is not composed of primitives; supported are linear, tanh"),
        (
            layers.LSTM(2, activation="gelu"),
            "LSTMCell are not composed of primitives: activation 'gelu'.* supported are",
        ),
        (
            layers.Dense(2, looping),
            r"its function is not composed of primitives: control flow .* in `return a if a > 0",
        ),
        (layers.Dense(2, lambda a: keras.ops.erf(a)), r"composed of primitives: keras.ops.erf, in `.*ops.erf"),
        (layers.Softmax(axis=1), "Softmax.*axis must be that of the features, -1, got 1"),
        (layers.LayerNormalization(axis=[1, 2]), r"axis must be that of the features, -1, got \[1, 2\]"),
        (layers.BatchNormalization(axis=1), "axis must be that of the features"),
        (layers.Bidirectional(LSTM, merge_mode="mul"), "merge_mode must be 'concat', 'sum', 'ave', or None, got 'mul'"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_refused_layer(layer, message):
    with pytest.raises(ValueError, match=message):
        lower(sequential(layer, shape=(8, 3)))


@pytest.mark.parametrize(
    "graph, message",
    [
        (reads_a_state, r"layer 'sum' \(Add\) .*reads 'gru, final state 1', a final state"),
        (initial_state, "indexing, only x.:, -1., the last step|called with initial_state; a program starts from zero"),
        (lambda x: layers.Multiply()([x, x]), "Multiply.*no operation exists"),
        (lambda x: x * x, "multiply of two values is not supported; of a value and a number it is"),
        (lambda x: x * np.ones(3, "float32"), "arrays are not supported.*Rescaling"),
        (lambda x: keras.ops.mean(x, 1), r"\(Mean\) .*this call of keras.ops has no operation; supported are Absolute"),
        (lambda x: x[:, 0], r"only x\[:, -1\], the last step, is supported"),
        (lambda x: layers.Concatenate(axis=1)([x, x]), "axis must be that of the features"),
        (
            lambda x: layers.Add()([x, layers.Dense(1)(x)]),
            r"inputs must have equal shapes, got '.*' \(sequence, width 3\)",
        ),
        (lambda x: layers.Dense(2)(x) + layers.GRU(2)(x), "equal shapes, got .*vector"),
        (lambda x: layers.Dropout(0.1)(x, training=True), "called with training=True"),
        (lambda x: layers.MultiHeadAttention(1, 2)(x, x), "MultiHeadAttention.*attention reads all time steps"),
        (lambda x: layers.GRU(2)(layers.RepeatVector(3)(layers.GRU(2)(x))), "RepeatVector.*makes a sequence"),
    ],
)
def test_refused_graph(graph, message):
    inputs = keras.Input((8, 3))
    with pytest.raises(ValueError, match=message):
        lower(keras.Model(inputs, graph(inputs)))


def ids():
    return keras.Input((None,), dtype="int32", name="ids")


def test_refused_ids():
    one = ids()
    with pytest.raises(ValueError, match=r"Embedding.*mask_zero=True masks padding.*use mask_zero=False"):
        lower(keras.Sequential([one, layers.Embedding(5, 2, mask_zero=True), layers.GRU(2)]))
    both = layers.Add()([layers.Embedding(5, 2)(one), layers.Embedding(6, 2)(one)])
    with pytest.raises(ValueError, match="reads ids below 6 from 'ids', which another layer reads below 5"):
        lower(keras.Model(one, both))
    with pytest.raises(ValueError, match=r"Dense.*reads ids \(n, T\), 'input'; only Embedding and OneHot do"):
        lower(sequential(layers.Dense(2), shape=(4,)))
    with pytest.raises(ValueError, match=r"input 'input' of .* \(n, T\), but no Embedding or OneHot layer reads it"):
        lower(sequential(layers.Dropout(0.1), shape=(4,)))
    with pytest.raises(ValueError, match=r"must read ids \(n, T\), an input of the model, got 'input' \(sequence\)"):
        lower(sequential(layers.Embedding(5, 2), shape=(4, 2)))


def test_refused_inputs_and_models():
    with pytest.raises(ValueError, match=r"must have shape \(n, T, d\), or \(n, T\) for ids, got \(None, 2, 3, 4\)"):
        lower(sequential(layers.Dense(2), shape=(2, 3, 4)))
    with pytest.raises(ValueError, match=r"must be a Sequential or functional Keras model, got OwnModel; a subclass"):
        lower(OwnModel())
    with pytest.raises(ValueError, match="got DeepRNN; pass a model"):
        lower(DeepRNN(2))
    with pytest.raises(ValueError, match=r"model 'm' must be built before it is lowered; begin it with keras.Input"):
        lower(keras.Sequential([layers.GRU(2)], name="m"))
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        lower(sequential(layers.GRU(2)), batch_size=0)
    inputs = keras.Input((None, 3))
    with pytest.raises(ValueError, match="model 'm' returns gru, final state 1; lower a model without it"):
        lower(keras.Model(inputs, layers.GRU(2, return_state=True, name="gru")(inputs), name="m"))
    mask = keras.Input((None,), dtype="bool", name="valid")
    with pytest.raises(ValueError, match="reads 'valid', a mask"):
        lower(keras.Model([inputs, mask], [layers.GRU(2)(inputs), layers.Identity()(mask)]))


def test_refused_weights():
    model = sequential(layers.Dense(2, name="dense"))
    model.layers[0].bias.assign([np.nan, 0.0])
    with pytest.raises(ValueError, match=r"weight '.*dense/bias' must be finite, got NaN or infinity"):
        lower(model)
    model = sequential(layers.Dense(4, name="dense"))
    model.quantize("int8")
    with pytest.raises(ValueError, match="weights are quantized to int8; lower the model before quantizing"):
        lower(model)


def test_user_defined_activation_of_primitives_is_not_refused():
    program = lower(sequential(layers.Dense(2, lambda a: a * primitives.tanh(a), name="dense")))
    assert program.outputs == ("dense/activation",)
