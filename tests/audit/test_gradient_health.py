"""`gradient_health`: its pass against the model, its gradients against algebra and differences."""

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from health_networks import D, H, batch, compiled, network

from deeprnn_keras import DeepRNN, LanguageModel
from deeprnn_keras.audit import gate_saturation
from deeprnn_keras.audit.health import gradient_health
from deeprnn_keras.audit.step_by_step import StepByStep, standing_in

# === The pass ===


@pytest.mark.parametrize(
    ("num_layers", "options"),
    [
        (1, {"cell": "rnn"}),
        (2, {"cell": "gru", "return_sequences": True}),
        (3, {"cell": "lstm", "connection": "skip"}),
        (3, {"cell": "lstm", "connection": "residual", "return_sequences": True, "dropout": 0.5}),
        (4, {"cell": "rnn", "connection": "residual", "block_size": 2}),
        (2, {"cell": "rhn", "return_sequences": True}),
        (2, {"cell": "mlp_gate_lstm", "connection": "skip", "return_sequences": True}),
        (2, {"cell": ["gru", "lstm"], "return_state": True}),
        (2, {"cell": keras.layers.LSTMCell, "return_all_layers": True}),
    ],
)
@pytest.mark.parametrize(("steps", "masked"), [(1, False), (5, False), (5, True)])
def test_pass_equals_the_layer(rng, num_layers, options, steps, masked):
    layer = DeepRNN(H, num_layers, implementation="loop", **options)
    x = keras.ops.convert_to_tensor(batch(rng, steps)[0])
    layer.build(x.shape)
    mask = rng.random((8, steps)) < 0.6 if masked else None
    wanted = layer(x, mask=mask)
    with tf.GradientTape() as tape, standing_in(layer, StepByStep(layer, tape).call):
        got = layer(x, mask=mask)
    for one, other in zip(keras.tree.flatten(got), keras.tree.flatten(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert "call" not in vars(layer)


# === The gradients ===


@pytest.mark.parametrize("a", [0.5, 1.0, 1.2])
def test_linear_chain_decays_with_the_lag(rng, a):
    """h_t = a h_{t-1} + x_t, loss (h_T - y)^2: the gradient by h_{T-k} is 2 (h_T - y) a^k."""
    model = compiled(DeepRNN(1, 1, "rnn", activation="linear"), inputs=(None, 1))
    model.layers[0].set_weights([np.ones((1, 1)), np.full((1, 1), a), np.zeros(1)])
    x, y = rng.normal(size=(5, 12, 1)), rng.normal(size=(5, 1))
    report = gradient_health(model, x, y)
    error = (a ** np.arange(11, -1, -1) @ x)[:, 0] - y[:, 0]
    np.testing.assert_allclose(report.state[0], 2 * np.sqrt(np.mean(error**2)) * a ** np.arange(12), rtol=1e-4)
    np.testing.assert_array_equal(report.hidden, report.state)


def test_two_identity_chains_grow_with_the_lag(rng):
    """The lower one reaches the loss through each later step of the upper one: k + 1 ways."""
    model = compiled(DeepRNN(1, 2, "rnn", activation="linear"), inputs=(None, 1))
    model.layers[0].set_weights([np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)] * 2)
    report = gradient_health(model, rng.normal(size=(5, 300, 1)), rng.normal(size=(5, 1)))
    np.testing.assert_allclose(report.state[0] / report.state[0, 0], np.arange(1, 301), rtol=1e-4)
    assert not any("grows with the lag" in finding.text for finding in report.findings)


def predicted(x, weights, step, count, connection, moved=None):
    """The network in NumPy; `moved`: (layer, step, state, unit, by how much)."""
    layers = [weights[3 * place : 3 * place + 3] for place in range(2)]
    states = [[np.zeros((1, H))] * count for _ in layers]
    for t in range(x.shape[1]):
        left = []
        for place, layer in enumerate(layers):
            read = x[:, t] if not left else np.hstack([left[-1], x[:, t]]) if connection == "skip" else left[-1]
            states[place] = [np.copy(state) for state in step(read, states[place], layer)]
            if moved and moved[:2] == (place, t):
                states[place][moved[2]][0, moved[3]] += moved[4]
            left.append(states[place][0] + (left[-1] if left and connection == "residual" else 0))
    return (np.hstack(left) if connection == "skip" else left[-1]) @ weights[-2] + weights[-1]


@pytest.mark.parametrize("connection", ["stack", "residual", "skip"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gradients_equal_finite_differences(rng, cell, connection):
    """One state is moved a bit, and the network goes on from it."""
    model, (x, y) = network(num_layers=2, cell=cell, connection=connection), batch(rng, 6, n=1)
    weights = [np.asarray(w, "float64") for w in oracles.random_weights(model, rng)]
    report, count = gradient_health(model, x, y), oracles.NUM_STATES[cell]
    for lag in (0, 1, 4):
        for place in range(2):
            slopes = np.zeros((count, H))
            for state, unit in np.ndindex(slopes.shape):
                ends = [
                    predicted(x, weights, oracles.STEPS[cell], count, connection, (place, 5 - lag, state, unit, by))
                    for by in (1e-5, -1e-5)
                ]
                slopes[state, unit] = np.subtract(*[np.mean((end - y) ** 2) for end in ends]) / 2e-5
            assert report.state[place, lag] == pytest.approx(np.linalg.norm(slopes), rel=1e-3)
            assert report.hidden[place, lag] == pytest.approx(np.linalg.norm(slopes[0]), rel=1e-3)


def test_lags_count_from_the_last_step(rng):
    """A network that returns sequences has the lags of the one that returns the last step."""
    x, y = batch(rng)
    last = network(num_layers=2)
    every = network(num_layers=2, return_sequences=True)
    every.set_weights(last.get_weights())
    targets = rng.normal(size=(8, 30, 1))
    targets[:, -1] = y
    one, other = gradient_health(last, x, y), gradient_health(every, x, targets)
    np.testing.assert_allclose(one.state, other.state, rtol=1e-4)
    assert one.gradient_norm != pytest.approx(other.gradient_norm, rel=0.01)


@pytest.mark.parametrize("sequences", [False, True])
def test_lags_of_masked_rows_count_from_their_own_last_step(rng, sequences):
    """Padded on the right, each row has the lags of the row alone; the batch is their root mean square."""
    lengths = [3, 7, 7]
    ids, y = rng.integers(1, 9, (3, 7)), rng.normal(size=(3, 7, 1) if sequences else (3, 1))
    layers = [DeepRNN(H, 2, return_sequences=sequences), keras.layers.Dense(1)]
    model = compiled(keras.layers.Embedding(9, D, mask_zero=True), *layers, inputs=(None,))
    alone = []
    for row, length in enumerate(lengths):
        ids[row, length:] = 0
        target = y[row : row + 1, :length] if sequences else y[row : row + 1]
        alone.append(gradient_health(model, ids[row : row + 1, :length], target).state)
    report = gradient_health(model, np.append(ids, [[0] * 7], 0), np.append(y, y[:1], 0))  # one has no step at all
    for lag in range(7):
        wanted = np.sqrt(np.mean([one[:, lag] ** 2 for one in alone if one.shape[1] > lag], 0))
        np.testing.assert_allclose(report.state[:, lag], wanted, rtol=1e-4)


def test_gradient_norm_equals_that_of_training(rng):
    """Rows of an embedding that come several times are summed before their norm is taken."""
    model = LanguageModel("abc", H, 2, embedding=4)
    model.compile("adam", model.loss_function())
    ids = rng.integers(0, 3, (8, 9))
    report = gradient_health(model, ids[:, :-1], ids[:, 1:])
    with tf.GradientTape() as tape:
        loss = model.compute_loss(y=ids[:, 1:], y_pred=model(ids[:, :-1]))
    gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, model.trainable_variables)]
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert report.by_weight[variable.path] == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
    assert report.gradient_norm == pytest.approx(float(tf.linalg.global_norm(gradients)), rel=1e-4)
    assert report.loss == pytest.approx(float(loss), rel=1e-5)


# === Gates and units ===


@pytest.mark.parametrize("options", [{"reset_after": True}, {"reset_after": False}, {"use_bias": False}], ids=str)
def test_gates_reproduce_the_step(rng, options):
    """h_t = z h_{t-1} + (1 - z) g and h_t = o tanh(c_t), from the gates that are counted."""
    layer = DeepRNN(H, 1, [lambda units: keras.layers.GRUCell(units, **options)])
    x = keras.ops.convert_to_tensor(batch(rng, 5)[0])
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        steps = StepByStep(layer, tape)
        steps.call(x)
    done = steps.passes[0]
    gates = {name: values for name, (values, _) in gate_saturation._gates(done.layer.cell, done).items()}
    before = np.stack([np.zeros((8, H)), *done.outputs[:-1]])
    made = gates["update"] * before + (1 - gates["update"]) * gates["candidate"]
    np.testing.assert_allclose(made, np.stack(done.outputs), atol=1e-6)


def test_saturation_and_dead_units_by_hand(rng):
    """Biases set two gates and some units: input shut, output half open and half shut."""
    model, (x, y) = network(num_layers=1), batch(rng)
    shut = np.zeros(H)
    shut[:2] = -50
    model.layers[0].recurrent_layers[0].cell.bias.assign(np.concatenate([np.full(H, -50), np.zeros(2 * H), shut]))
    report = gradient_health(model, x, y)
    assert report.saturation[0] == pytest.approx({"input": 1, "forget": 0, "candidate": 0, "output": 1 / 3}, abs=0.05)
    relu = network(num_layers=1, cell="rnn", activation="relu")
    relu.layers[0].recurrent_layers[0].cell.bias.assign(shut)
    report = gradient_health(relu, x, y)
    assert report.dead == [pytest.approx(1 / 3)] and report.saturation == [{}]
    assert gradient_health(network(num_layers=1, cell="gru", activation="relu"), x, y).saturation[0].keys() == {
        "update",
        "reset",
    }
