"""`to_torch`: layers of Keras and of this package as modules of PyTorch. Round trips are in test_state_dicts.py."""

import keras
import numpy as np
import pytest

from deeprnn_keras import GRU, DeepRNN, interop

torch = pytest.importorskip("torch")
D, H = 3, 4


def built(layer):
    layer.build((None, None, D))
    return layer


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda: keras.layers.LSTM(H), "LSTM(3, 4, batch_first=True)"),
        (lambda: GRU(H, use_bias=False), "GRU(3, 4, bias=False, batch_first=True)"),
        (
            lambda: keras.layers.RNN([keras.layers.GRUCell(H) for _ in "ab"]),
            "GRU(3, 4, num_layers=2, batch_first=True)",
        ),
        (
            lambda: keras.layers.Bidirectional(keras.layers.SimpleRNN(H, activation="relu")),
            "RNN(3, 4, batch_first=True, bidirectional=True)",
        ),
        (lambda: DeepRNN(H, num_layers=2, dropout=0.5), "LSTM(3, 4, num_layers=2, batch_first=True, dropout=0.5)"),
    ],
)
def test_module_equals_the_layer(make, expected, rng):
    layer = built(make())
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    module = interop.to_torch(layer)
    assert repr(module) == expected and not module.training
    x = rng.normal(size=(2, 5, D)).astype("float32")
    output, _ = module(torch.from_numpy(x))
    result = torch.cat([output[:, -1, :H], output[:, 0, H:]], -1)
    np.testing.assert_allclose(result.detach().numpy(), layer(x), atol=1e-6)
    again = interop.load(module.state_dict(), activation="relu" if "RNN" in expected else None)
    np.testing.assert_allclose(again(x), output.detach().numpy(), atol=1e-6)


def test_dropout_within_cells_is_not_part_of_the_module():
    with pytest.warns(UserWarning, match=r"recurrent_dropout=0\.2 within its cells acts in training only"):
        interop.to_torch(built(DeepRNN(H, recurrent_dropout=0.2)))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: 3, "layer must be a DeepRNN, or an LSTM.*got int"),
        (lambda: DeepRNN(H), "has no weights yet; call it on an input first"),
        (lambda: built(DeepRNN([H, 5])), "its layers have different cells, units"),
        (lambda: built(DeepRNN(H, num_layers=2, connection="residual")), "connection='residual'; the nearest"),
        (lambda: built(DeepRNN(H, dilation=2)), r"dilation=\[2\]; use dilation=1"),
        (lambda: built(DeepRNN(H, cell="gru", reset_after=False)), "use reset_after=True"),
        (lambda: built(DeepRNN(H, activation="relu")), "activation must be tanh as in PyTorch's LSTM"),
        (lambda: built(DeepRNN(H, recurrent_activation="hard_sigmoid")), "recurrent_activation must be sigmoid"),
        (lambda: built(DeepRNN(H, cell="rhn")), "PyTorch has no module for its cell"),
        (lambda: built(keras.layers.LSTM(H, go_backwards=True)), "reverse the inputs instead"),
        (lambda: built(keras.layers.Bidirectional(keras.layers.LSTM(H), merge_mode="sum")), "merge_mode='sum'"),
    ],
)
def test_layers_without_an_equal_module(make, message):
    with pytest.raises(ValueError, match=message):
        interop.to_torch(make())
