"""`to_torch`: layers of Keras and of this package as modules of PyTorch. Round trips are in test_state_dicts.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

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


def test_gradients_of_a_projected_lstm_equal_those_of_pytorch(rng):
    cell = {"name": "projected_lstm", "projection": 2}
    layer = built(DeepRNN(H, 2, cell, bidirectional=True, return_sequences=True))
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    module, x = interop.to_torch(layer), rng.normal(size=(2, 5, D)).astype("float32")
    torch.sin(module(torch.from_numpy(x))[0]).sum().backward()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(layer(x, training=True)))
    gradients = tape.gradient(loss, [weight.value for weight in layer.weights])
    leaves = ("weight_ih", "weight_hh", "bias_ih", "weight_hr")
    names = [f"{leaf}_l{level}{end}" for level in (0, 1) for end in ("", "_reverse") for leaf in leaves]
    for name, gradient in zip(names, gradients, strict=True):
        np.testing.assert_allclose(gradient, getattr(module, name).grad.numpy().T, rtol=1e-4, atol=1e-5, err_msg=name)


def test_projected_weights_are_loaded_into_a_model(rng):
    cell = {"name": "projected_lstm", "projection": 2}
    module = torch.nn.LSTM(D, H, proj_size=2, batch_first=True)
    layer = interop.load(module.state_dict(), into=built(DeepRNN(H, cell=cell, name="other")))
    x = rng.normal(size=(2, 5, D)).astype("float32")
    np.testing.assert_allclose(layer(x), module(torch.from_numpy(x))[0][:, -1].detach(), atol=1e-6)
    with pytest.raises(ValueError, match=r"unused: weight_hr_l0; wrong shape: weight_hh_l0"):
        interop.load(module.state_dict(), into=built(DeepRNN(H)))
    with pytest.raises(ValueError, match=r"missing: weight_hr_l0; wrong shape: weight_hh_l0"):
        interop.load(torch.nn.LSTM(D, H).state_dict(), into=built(DeepRNN(H, cell=cell)))


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
        (lambda: built(DeepRNN(H, cell={"name": "projected_lstm", "projection": H})), "projection must be below units"),
        (lambda: built(keras.layers.LSTM(H, go_backwards=True)), "reverse the inputs instead"),
        (lambda: built(keras.layers.Bidirectional(keras.layers.LSTM(H), merge_mode="sum")), "merge_mode='sum'"),
    ],
)
def test_layers_without_an_equal_module(make, message):
    with pytest.raises(ValueError, match=message):
        interop.to_torch(make())
