"""`gradient_health`: its pass against the model, its gradients against analytic results and finite differences."""

import keras
import numpy as np
import oracles
import pytest
import tensorflow as tf
from health_networks import D, H, build_network, compiled_model, random_batch

from deeprnn_keras import DeepRNN, LanguageModel
from deeprnn_keras.audit.gate_saturation import gate_values
from deeprnn_keras.audit.health import gradient_health
from deeprnn_keras.audit.step_by_step import StepByStep, replaced_call

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
def test_step_by_step_pass_equals_layer(rng, num_layers, options, steps, masked):
    layer = DeepRNN(H, num_layers, implementation="loop", **options)
    x = keras.ops.convert_to_tensor(random_batch(rng, steps)[0])
    layer.build(x.shape)
    mask = rng.random((8, steps)) < 0.6 if masked else None
    expected = layer(x, mask=mask)
    with tf.GradientTape() as tape, replaced_call(layer, StepByStep(layer, tape).call):
        actual = layer(x, mask=mask)
    for one, other in zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert "call" not in vars(layer)


# === The gradients ===


@pytest.mark.parametrize("a", [0.5, 1.0, 1.2])
def test_gradient_of_linear_chain_decays_with_lag(rng, a):
    """h_t = a h_{t-1} + x_t, loss (h_T - y)^2: the gradient with respect to h_{T-k} is 2 (h_T - y) a^k."""
    model = compiled_model(DeepRNN(1, 1, "rnn", activation="linear"), inputs=(None, 1))
    model.layers[0].set_weights([np.ones((1, 1)), np.full((1, 1), a), np.zeros(1)])
    x, y = rng.normal(size=(5, 12, 1)), rng.normal(size=(5, 1))
    report = gradient_health(model, x, y)
    error = (a ** np.arange(11, -1, -1) @ x)[:, 0] - y[:, 0]
    np.testing.assert_allclose(report.state_norms[0], 2 * np.sqrt(np.mean(error**2)) * a ** np.arange(12), rtol=1e-4)
    np.testing.assert_array_equal(report.hidden_norms, report.state_norms)


def test_gradient_through_two_identity_chains_grows_with_lag(rng):
    """The lower chain affects the loss through each later step of the upper one, along k + 1 paths."""
    model = compiled_model(DeepRNN(1, 2, "rnn", activation="linear"), inputs=(None, 1))
    model.layers[0].set_weights([np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)] * 2)
    report = gradient_health(model, rng.normal(size=(5, 300, 1)), rng.normal(size=(5, 1)))
    np.testing.assert_allclose(report.state_norms[0] / report.state_norms[0, 0], np.arange(1, 301), rtol=1e-4)
    assert not any("grows with the lag" in finding.text for finding in report.findings)


def predict(x, weights, step, num_states, connection, offset=None):
    """Run the network in NumPy; `offset` is (layer, step, state, unit, value added to this state)."""
    layers = [weights[3 * layer : 3 * layer + 3] for layer in range(2)]
    states = [[np.zeros((1, H))] * num_states for _ in layers]
    for t in range(x.shape[1]):
        outputs = []
        for index, layer in enumerate(layers):
            if not outputs:
                inputs = x[:, t]
            else:
                inputs = np.hstack([outputs[-1], x[:, t]]) if connection == "skip" else outputs[-1]
            states[index] = [np.copy(state) for state in step(inputs, states[index], layer)]
            if offset and offset[:2] == (index, t):
                states[index][offset[2]][0, offset[3]] += offset[4]
            outputs.append(states[index][0] + (outputs[-1] if outputs and connection == "residual" else 0))
    return (np.hstack(outputs) if connection == "skip" else outputs[-1]) @ weights[-2] + weights[-1]


@pytest.mark.parametrize("connection", ["stack", "residual", "skip"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_gradients_equal_finite_differences(rng, cell, connection):
    model, (x, y) = build_network(num_layers=2, cell=cell, connection=connection), random_batch(rng, 6, n=1)
    weights = [np.asarray(w, "float64") for w in oracles.random_weights(model, rng)]
    report, num_states = gradient_health(model, x, y), oracles.NUM_STATES[cell]
    for lag in (0, 1, 4):
        for layer in range(2):
            slopes = np.zeros((num_states, H))
            for state, unit in np.ndindex(slopes.shape):
                offsets = [(layer, 5 - lag, state, unit, value) for value in (1e-5, -1e-5)]
                predictions = [
                    predict(x, weights, oracles.STEPS[cell], num_states, connection, offset) for offset in offsets
                ]
                losses = [np.mean((prediction - y) ** 2) for prediction in predictions]
                slopes[state, unit] = np.subtract(*losses) / 2e-5
            assert report.state_norms[layer, lag] == pytest.approx(np.linalg.norm(slopes), rel=1e-3)
            assert report.hidden_norms[layer, lag] == pytest.approx(np.linalg.norm(slopes[0]), rel=1e-3)


def test_lags_count_from_last_step(rng):
    """A network that returns sequences has the norms of one that returns the last step."""
    x, y = random_batch(rng)
    last = build_network(num_layers=2)
    sequence = build_network(num_layers=2, return_sequences=True)
    sequence.set_weights(last.get_weights())
    targets = rng.normal(size=(8, 30, 1))
    targets[:, -1] = y
    one, other = gradient_health(last, x, y), gradient_health(sequence, x, targets)
    np.testing.assert_allclose(one.state_norms, other.state_norms, rtol=1e-4)
    assert one.gradient_norm != pytest.approx(other.gradient_norm, rel=0.01)


@pytest.mark.parametrize("sequences", [False, True])
def test_lags_of_masked_rows_count_from_last_valid_step(rng, sequences):
    """Each right-padded row has the norms of the row alone; the batch has their root mean square."""
    lengths = [3, 7, 7]
    ids, y = rng.integers(1, 9, (3, 7)), rng.normal(size=(3, 7, 1) if sequences else (3, 1))
    layers = [DeepRNN(H, 2, return_sequences=sequences), keras.layers.Dense(1)]
    model = compiled_model(keras.layers.Embedding(9, D, mask_zero=True), *layers, inputs=(None,))
    row_norms = []
    for row, length in enumerate(lengths):
        ids[row, length:] = 0
        target = y[row : row + 1, :length] if sequences else y[row : row + 1]
        row_norms.append(gradient_health(model, ids[row : row + 1, :length], target).state_norms)
    report = gradient_health(
        model, np.append(ids, [[0] * 7], 0), np.append(y, y[:1], 0)
    )  # the last row has no valid step
    for lag in range(7):
        expected = np.sqrt(np.mean([norms[:, lag] ** 2 for norms in row_norms if norms.shape[1] > lag], 0))
        np.testing.assert_allclose(report.state_norms[:, lag], expected, rtol=1e-4)


def test_gradient_norm_equals_that_in_training(rng):
    """Repeated rows of an embedding are summed before their norm is computed."""
    model = LanguageModel("abc", H, 2, embedding=4)
    model.compile("adam", model.loss_function())
    ids = rng.integers(0, 3, (8, 9))
    report = gradient_health(model, ids[:, :-1], ids[:, 1:])
    with tf.GradientTape() as tape:
        loss = model.compute_loss(y=ids[:, 1:], y_pred=model(ids[:, :-1]))
    gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, model.trainable_variables)]
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert report.weight_norms[variable.path] == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
    assert report.gradient_norm == pytest.approx(float(tf.linalg.global_norm(gradients)), rel=1e-4)
    assert report.loss == pytest.approx(float(loss), rel=1e-5)


# === Gates and units ===


@pytest.mark.parametrize("options", [{"reset_after": True}, {"reset_after": False}, {"use_bias": False}], ids=str)
def test_gate_values_reproduce_the_step(rng, options):
    """h_t = z h_{t-1} + (1 - z) g."""
    layer = DeepRNN(H, 1, [lambda units: keras.layers.GRUCell(units, **options)])
    x = keras.ops.convert_to_tensor(random_batch(rng, 5)[0])
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        steps = StepByStep(layer, tape)
        steps.call(x)
    layer_pass = steps.passes[0]
    gates = {name: values for name, (values, _) in gate_values(layer_pass).items()}
    before = np.stack([np.zeros((8, H)), *layer_pass.outputs[:-1]])
    outputs = gates["update"] * before + (1 - gates["update"]) * gates["candidate"]
    np.testing.assert_allclose(outputs, np.stack(layer_pass.outputs), atol=1e-6)


def test_saturation_and_dead_units_set_by_biases(rng):
    """Biases close the input gate and the output gate of a third of the units."""
    model, (x, y) = build_network(num_layers=1), random_batch(rng)
    output_bias = np.zeros(H)
    output_bias[:2] = -50
    model.layers[0].recurrent_layers[0].cell.bias.assign(
        np.concatenate([np.full(H, -50), np.zeros(2 * H), output_bias])
    )
    report = gradient_health(model, x, y)
    assert report.saturation[0] == pytest.approx({"input": 1, "forget": 0, "candidate": 0, "output": 1 / 3}, abs=0.05)
    relu = build_network(num_layers=1, cell="rnn", activation="relu")
    relu.layers[0].recurrent_layers[0].cell.bias.assign(output_bias)
    report = gradient_health(relu, x, y)
    assert report.dead_fraction == [pytest.approx(1 / 3)] and report.saturation == [{}]
    assert gradient_health(build_network(num_layers=1, cell="gru", activation="relu"), x, y).saturation[0].keys() == {
        "update",
        "reset",
    }
