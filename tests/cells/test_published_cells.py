"""Properties of single published cells: initial weights, bounds, and the form of another library."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cell_oracles import GATED_STEPS, addons_layer_norm_lstm, normalize
from oracles import assert_close

from deeprnn_keras import RNN, DeepRNN, Equations, RecurrentCell
from deeprnn_keras.cells import LayerNormLSTMCell
from deeprnn_keras.equations import AffineMap, primitives

D, H, N, T = 3, 4, 2, 5


@pytest.mark.parametrize("cell", [step.__name__ for step in GATED_STEPS])
def test_every_weight_learns_from_the_default_initial_weights(rng, cell):
    layer = DeepRNN(H, 2, cell, return_sequences=True, seed=1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(rng.normal(size=(N, T, D)).astype("float32"), training=True) ** 2)
    gradients = tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
    unused = [
        weight.path
        for weight, gradient in zip(layer.trainable_weights, gradients, strict=True)
        if gradient is None or not np.any(gradient)
    ]
    assert not unused


def test_layer_norm_lstm_equals_that_of_tensorflow_addons(rng):
    layer = RNN(LayerNormLSTMCell(H, normalized_state=True, dtype="float64"), return_sequences=True, dtype="float64")
    layer.build((None, None, D))
    names = ("kernel_norm/gamma", "kernel_norm/beta", "recurrent_norm/gamma", "recurrent_norm/beta", "bias")
    theirs = {name: rng.normal(size=4 * H) for name in names}
    theirs |= {name: rng.normal(size=H) for name in ("state_norm/gamma", "state_norm/beta")}
    theirs |= {"kernel": rng.normal(size=(D, 4 * H)), "recurrent_kernel": rng.normal(size=(H, 4 * H))}
    ours = {
        "kernel": theirs["kernel"],
        "recurrent_kernel": theirs["recurrent_kernel"],
        "bias": theirs["bias"] + theirs["kernel_norm/beta"] + theirs["recurrent_norm/beta"],
        "kernel_gain": theirs["kernel_norm/gamma"],
        "recurrent_gain": theirs["recurrent_norm/gamma"],
        "state_gain": theirs["state_norm/gamma"],
        "state_bias": theirs["state_norm/beta"],
    }
    layer.set_weights([ours[weight.name] for weight in layer.cell.weights])
    x, states, outputs = rng.normal(size=(N, T, D)), [np.zeros((N, H))] * 2, []
    for t in range(T):
        states = addons_layer_norm_lstm(x[:, t], states, theirs)
        outputs.append(states[0])
    assert_close(layer(x), np.stack(outputs, 1), 1e-12)


def test_layer_norm_gains_start_at_1_and_the_forget_bias_at_1():
    layer = RNN(LayerNormLSTMCell(H))
    layer.build((None, None, D))
    weights = {weight.name: weight.numpy() for weight in layer.cell.weights}
    assert all(np.all(weights[name] == 1) for name in ("kernel_gain", "recurrent_gain", "state_gain"))
    np.testing.assert_array_equal(weights["bias"], np.repeat([0, 1, 0, 0], H))


@pytest.mark.parametrize("steps", [1, 200])
def test_indrnn_starts_and_stays_within_its_bound(rng, steps, tmp_path):
    bound = 2 ** (1 / steps)
    model = keras.Sequential([keras.Input((6, D)), DeepRNN(64, cell={"name": "indrnn", "steps": steps})])
    recurrent = model.layers[0].recurrent_layers[0].cell.recurrent_kernel
    assert 0 <= recurrent.numpy().min() < 0.2 * bound < 0.8 * bound < recurrent.numpy().max() <= bound
    recurrent.assign(recurrent * 10)
    model.compile("sgd", "mse")
    model.fit(rng.normal(size=(4, 6, D)), rng.normal(size=(4, 64)), verbose=0)
    assert np.abs(recurrent.numpy()).max() == np.float32(bound)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].recurrent_layers[0].cell.constraints["recurrent"].bound == bound


@pytest.mark.parametrize("option", [{"steps": 0}, {"steps": 1.5}])
def test_invalid_steps_are_refused(option):
    with pytest.raises(ValueError, match="steps must be"):
        DeepRNN(H, cell={"name": "indrnn", **option})


@pytest.mark.parametrize(("options", "largest"), [({}, 0.105), ({"max_decay": 3}, 3.0)])
def test_rg_lru_starts_with_decays_up_to_the_largest(options, largest, tmp_path):
    model = keras.Sequential([keras.Input((6, D)), DeepRNN(64, cell={"name": "rg_lru", **options})])
    model.save(tmp_path / "model.keras")
    for one in (model, keras.models.load_model(tmp_path / "model.keras")):
        decay = one.layers[0].recurrent_layers[0].cell.decay.numpy()
        assert 0.001 <= decay.min() < 0.2 * largest < 0.8 * largest < decay.max() <= largest


@pytest.mark.parametrize("value", [0.001, -1, "3", float("inf")])
def test_invalid_decays_are_refused(value):
    with pytest.raises(ValueError, match=r"max_decay must be a number greater than 0.001, got"):
        DeepRNN(H, cell={"name": "rg_lru", "max_decay": value})


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"name": "projected_lstm", "projection": H + 1}, "projection must be at most units = 4, .* got 5; use more"),
        ({"name": "projected_lstm", "projection": 0}, "projection must be a positive integer.*got 0"),
        ({"name": "projected_lstm", "projection": 1.5}, "projection must be a positive integer.*got 1.5"),
        ({"name": "qrnn", "window": 3}, "window must be 1 or 2, .*got 3"),
        ({"name": "qrnn", "window": 0}, "window must be a positive integer, got 0"),
    ],
)
def test_invalid_widths_are_refused(cell, message):
    with pytest.raises(ValueError, match=message):
        DeepRNN(H, cell=cell)


@pytest.mark.parametrize("cell", ["layer_norm_lstm", "layer_norm_gru"])
def test_invalid_epsilon_is_refused(cell):
    with pytest.raises(ValueError, match="epsilon must be a positive number"):
        DeepRNN(H, cell={"name": cell, "epsilon": 0})


class NormalizedHalves(Equations):
    """h' = tanh(x W + [N(second half of h U), first half of h U])."""

    def maps(self, input_dim):
        return [
            AffineMap("kernel", input_dim, self.units, ("candidate",), bias="bias"),
            AffineMap("recurrent_kernel", self.units, self.units, ("candidate",), role="recurrent"),
        ]

    def step(self, x, states, linear, f):
        z, half = linear("recurrent_kernel", states[0])["candidate"], self.units // 2
        second = z[..., half:]
        centered = second - primitives.mean(second)
        normalized = centered / primitives.sqrt(primitives.mean(centered * centered) + 1e-3)
        return [f.activation(x["candidate"] + primitives.concatenate([normalized, z[..., :half]]))]


class NormalizedHalvesCell(RecurrentCell):
    equations_class = NormalizedHalves


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("implementation", ["xla", "loop"])
def test_features_are_those_of_the_equations_in_every_layout(rng, implementation, n):
    layer = RNN(
        NormalizedHalvesCell(H, dtype="float64"), return_sequences=True, implementation=implementation, dtype="float64"
    )
    layer.build((None, None, D))
    weights = [rng.normal(size=weight.shape) for weight in layer.get_weights()]
    layer.set_weights(weights)
    (kernel, recurrent, bias), x = weights, rng.normal(size=(n, T, D))
    h, outputs = np.zeros((n, H)), []
    for t in range(T):
        z = h @ recurrent
        h = np.tanh(x[:, t] @ kernel + bias + np.concatenate([normalize(z[:, 2:]), z[:, :2]], 1))
        outputs.append(h)
    assert_close(layer(x), np.stack(outputs, 1), 1e-12)


class Cumulative(NormalizedHalves):
    def step(self, x, states, linear, f):
        return [f.activation(x["candidate"] + keras.ops.cumsum(states[0], -1))]


class CumulativeCell(RecurrentCell):
    """Cell whose equations use a function that is not a primitive, and therefore run in the loop."""

    equations_class = Cumulative


def test_equations_with_other_functions_run_in_the_loop_and_xla_says_why(rng):
    x = rng.normal(size=(N, T, D)).astype("float32")
    assert RNN(CumulativeCell(H))(x).shape == (N, H)
    with pytest.raises(ValueError, match=r"XLA supports equations of arithmetic.*not keras.ops.cumsum"):
        RNN(CumulativeCell(H), implementation="xla")(x)
