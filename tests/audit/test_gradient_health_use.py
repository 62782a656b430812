"""`gradient_health` in use: absence of side effects, other models, the report, and invalid input."""

import keras
import numpy as np
import pytest
from health_networks import D, H, build_network, compiled_model, random_batch

from deeprnn_keras import DeepRNN
from deeprnn_keras.audit.health import gradient_health


@pytest.mark.usefixtures("eager")
def test_weights_optimizer_seeds_metrics_and_states_are_unchanged(rng):
    layers = [keras.layers.LSTM(D, stateful=True, return_sequences=True)]
    layers.append(DeepRNN(H, 2, dropout=0.3, stateful=True, implementation="loop"))
    model = keras.Sequential([keras.Input(batch_shape=(8, 6, D)), *layers, keras.layers.Dropout(0.5)])
    model.add(keras.layers.Dense(1))
    model.compile("adam", "mse", metrics=["mae"])
    x, y = random_batch(rng, 6)
    model.fit(x, y, batch_size=8, verbose=0)
    variables = [*model.variables, *model.optimizer.variables, *(v for m in model.metrics for v in m.variables)]
    before, nodes = [v.numpy().copy() for v in variables], [len(layer._inbound_nodes) for layer in model.layers]
    gradient_health(model, x, y)
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert nodes == [len(layer._inbound_nodes) for layer in model.layers]


def test_model_with_several_inputs_and_initial_states(rng):
    """A model that is not a sequence of the layers below, the stack, and the layers above."""
    x, extra = keras.Input((None, D), name="x"), keras.Input((H,), name="extra")
    h = DeepRNN(H, 1, "gru")(x, initial_state=[extra])
    model = keras.Model([x, extra], keras.layers.Dense(1)(keras.layers.Concatenate()([h, extra])))
    model.compile("adam", "mse")
    data, y = random_batch(rng)
    initial_state = rng.normal(size=(8, H))
    report = gradient_health(model, {"x": data, "extra": initial_state}, y)
    assert report.loss == pytest.approx(float(np.mean((model([data, initial_state]) - y) ** 2)), rel=1e-4)
    assert gradient_health(model, [data, initial_state], y).loss == report.loss


def test_half_precision_equals_float32(rng):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = build_network(num_layers=2, cell="rnn")
    finally:
        keras.config.set_dtype_policy("float32")
    single, (x, y) = build_network(num_layers=2, cell="rnn"), random_batch(rng)
    single.set_weights(half.get_weights())
    one, other = gradient_health(half, x, y), gradient_health(single, x, y)
    np.testing.assert_allclose(one.state_norms, other.state_norms, rtol=0.02)
    assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=0.02)


def test_report_and_plot(rng, tmp_path):
    report = gradient_health(build_network(num_layers=2), *random_batch(rng))
    lines = str(report).splitlines()
    assert lines[0].split()[:6] == ["layer", "cell", "lag", "0", "lag", "1"] and lines[1].startswith("H^(2)   lstm")
    assert "no clipping, learning rate 0.001" in lines[4]
    assert report.plot(tmp_path / "health.png").stat().st_size > 5000
    one = gradient_health(build_network(num_layers=1, cell="rnn"), *random_batch(rng, steps=1))
    assert one.state_norms.shape == (1, 1) and one.plot(tmp_path / "one.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bidirectional": True}, "bidirectional=True, for which the lag"),
        ({"go_backwards": True}, "go_backwards=True, for which the lag"),
        ({"dilation": 2}, r"dilation=\[2\], for which the lag"),
    ],
)
def test_stack_without_defined_lags_is_rejected(rng, options, message):
    with pytest.raises(ValueError, match=message):
        gradient_health(build_network(num_layers=1, **options), *random_batch(rng))


def test_invalid_input_is_rejected(rng):
    (x, y), layer = random_batch(rng), DeepRNN(H)
    model = compiled_model(layer, keras.layers.Dense(1))
    with pytest.raises(ValueError, match="expected exactly one DeepRNN named 'other', found none"):
        gradient_health(model, x, y, layer="other")
    with pytest.raises(
        ValueError, match=r"y must have one row for each row of x, got shapes \(8, 30, 3\) and \(7, 1\)"
    ):
        gradient_health(model, x, y[:7])
    with pytest.raises(ValueError, match="x must be finite, got NaN or infinite values"):
        gradient_health(model, x * np.nan, y)
    with pytest.raises(ValueError, match="has no loss; compile it"):
        gradient_health(keras.Sequential([keras.Input((None, D)), layer]), x, y)
    with pytest.raises(ValueError, match=r"is not built; start it with keras\.Input"):
        gradient_health(keras.Sequential([DeepRNN(H)]), x, y)
    inputs = keras.Input((None, D))
    twice = keras.Model(inputs, keras.layers.Add()([layer(inputs), layer(-inputs)]))
    twice.compile("adam", "mse")
    with pytest.raises(ValueError, match="must be used once in the model, got 2 uses"):
        gradient_health(twice, x, y)
    two = keras.Model(inputs, [keras.layers.Dense(1)(h) for h in [layer(inputs)] * 2])
    two.compile("adam", "mse")
    with pytest.raises(ValueError, match="must have one output, got 2"):
        gradient_health(two, x, y)
    masked = compiled_model(keras.layers.Masking(), DeepRNN(H), keras.layers.Dense(1))
    with pytest.raises(ValueError, match="x must have at least one step that is not masked, got none"):
        gradient_health(masked, 0 * x, y)
