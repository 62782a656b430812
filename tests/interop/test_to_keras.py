"""`to_keras`: a layer of this package as layers of Keras, for all connections, outputs, and states."""

import keras
import numpy as np
import pytest

from deeprnn_keras import GRU, LSTM, RNN, DeepRNN
from deeprnn_keras.cells import MLPGateLSTMCell
from deeprnn_keras.interop import to_keras

pytestmark = pytest.mark.usefixtures("eager")
CONNECTIONS = [{"connection": "stack"}, {"connection": "residual"}, {"connection": "skip"}]
FLAGS = (False, pytest.param(True, marks=pytest.mark.slow))
CONNECTIONS += [{"connection": "residual", "block_size": 2, "num_layers": 4}]
RETURNS = [{}, {"return_sequences": True, "return_state": True, "return_all_layers": True}]


def built(rng, layer, d=3, n=None):
    layer.build((n, None, d))
    layer.set_weights([rng.normal(scale=0.5, size=weight.shape) for weight in layer.weights])
    return layer


def assert_equal(stock, layer, x, mask=None):
    for one, other in zip(*(keras.tree.flatten(call(x, mask=mask)) for call in (stock, layer)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def recurrent_modules(layer):
    inside = layer._flatten_layers()
    return {type(one).__module__.split(".")[0] for one in inside if isinstance(one, keras.layers.RNN)}


@pytest.mark.parametrize("bidirectional", FLAGS)
@pytest.mark.parametrize("returns", RETURNS, ids=["last", "all"])
@pytest.mark.parametrize("connection", CONNECTIONS, ids=lambda options: "-".join(map(str, options.values())))
def test_every_connection(rng, connection, returns, bidirectional):
    options = {**connection, **returns, "bidirectional": bidirectional}
    layer = built(rng, DeepRNN(4, cell="gru", dropout=0.1, **{"num_layers": 2, **options}))
    stock = to_keras(layer)
    assert recurrent_modules(stock) == {"keras"} and stock.name == layer.name
    is_line = options["connection"] == "stack" and not {"return_state", "return_all_layers"} & options.keys()
    assert isinstance(stock, keras.Sequential) == is_line
    x, mask = rng.normal(size=(3, 5, 3)).astype("float32"), np.array([[1, 1, 0, 1, 0], [1] * 5, [0, 0, 1, 0, 0]], bool)
    assert_equal(stock, layer, x)
    assert_equal(stock, layer, x, mask)
    assert [weight.shape for weight in stock.weights] == [weight.shape for weight in layer.weights]


@pytest.mark.parametrize(
    "make",
    [
        lambda: LSTM(4, activation="relu", implementation="xla", go_backwards=True),
        lambda: GRU(4, reset_after=False, return_state=True),
        lambda: RNN(keras.layers.SimpleRNNCell(4)),
        lambda: keras.layers.Bidirectional(LSTM(4, return_sequences=True)),
    ],
    ids=["LSTM", "GRU", "RNN", "Bidirectional"],
)
def test_drop_ins_become_layers_of_keras(rng, make):
    layer = built(rng, make())
    stock = to_keras(layer)
    assert type(stock).__name__ == type(layer).__name__ and recurrent_modules(stock) == {"keras"}
    assert_equal(stock, layer, rng.normal(size=(2, 5, 3)).astype("float32"))


def test_arguments_of_the_cells_are_kept(rng):
    layer = DeepRNN(
        [4, 3],
        cell=["lstm", {"name": "gru", "reset_after": False}],
        activation=["relu", None],
        recurrent_activation="hard_sigmoid",
        kernel_regularizer="l2",
        recurrent_dropout=0.1,
        use_bias=False,
        seed=3,
        name="encoder",
    )
    first, second = to_keras(built(rng, layer)).layers
    assert (first.name, second.name) == ("encoder_1", "encoder")
    assert first.activation is keras.activations.relu and second.recurrent_activation is keras.activations.hard_sigmoid
    assert isinstance(first.kernel_regularizer, keras.regularizers.L2) and second.recurrent_dropout == 0.1
    assert not second.reset_after and not first.use_bias and (first.cell.seed, second.cell.seed) == (4, 5)


REFUSED = {
    "dilation": (DeepRNN(4, 2, dilation=[1, 2]), r"layer 'x' is not supported by to_keras: dilation=\[1, 2\]"),
    "ar": (DeepRNN(4, ar=1.0, return_sequences=True), "ar and tar, the activation regularization"),
    "cell": (DeepRNN(4, cell="rhn"), "its cell RHNCell is not one of keras.layers"),
    "cell of RNN": (RNN(MLPGateLSTMCell(4, gate_units=(3,))), "no counterpart of its cell MLPGateLSTMCell"),
    "backwards": (DeepRNN(4, 2, go_backwards=True), "Keras does not reverse the mask"),
    "regularizer": (DeepRNN(4, 2, connection="skip", activity_regularizer="l2"), "activity_regularizer with"),
    "stateful": (DeepRNN(4, stateful=True), "stateful=True without a known batch size"),
    "Keras": (keras.layers.LSTM(4), "layer must be a recurrent layer of this package, got keras"),
}


@pytest.mark.parametrize(("layer", "message"), REFUSED.values(), ids=REFUSED)
def test_layers_without_a_counterpart_are_refused_with_the_reason(layer, message):
    layer.name = "x"
    layer.build((None, None, 3))
    with pytest.raises(ValueError, match=message):
        to_keras(layer)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (DeepRNN(4, name="x"), r"layer 'x' must be built; call it once"),
        (keras.Sequential([keras.Input((None, 3)), LSTM(4)]), "got a model; use convert"),
        ("lstm", "layer must be a recurrent layer of this package, got builtins.str"),
    ],
    ids=["unbuilt", "model", "text"],
)
def test_other_arguments_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        to_keras(layer)


def test_single_layer_backwards_and_stateful_stack(rng):
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    layer = built(rng, DeepRNN(4, go_backwards=True, return_state=True))
    assert_equal(to_keras(layer), layer, x)
    layer = built(rng, DeepRNN(4, 2, stateful=True), n=2)
    stock = to_keras(layer)
    for _ in range(2):
        assert_equal(stock, layer, x)
