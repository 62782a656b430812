"""The verdicts of `gradient_health`: networks that are made well, and made to vanish, explode, die and saturate."""

import numpy as np
import pytest
from health_networks import batch, network

from deeprnn_keras.audit.health import gradient_health
from deeprnn_keras.initializers import ChronoBias, ForgetBias


def set_all(model, role, change):
    for layer in model.layers[0].recurrent_layers:
        weight = getattr(layer.cell, role)
        weight.assign(change(weight))


def names(report):
    return [finding.name for finding in report.findings]


@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 1},
        {"num_layers": 3},
        {"num_layers": 4, "connection": "residual"},
        {"num_layers": 2, "cell": "gru"},
        {"num_layers": 2, "cell": "rnn"},
        {"num_layers": 2, "bias_initializer": ChronoBias(500)},
    ],
    ids=lambda options: "-".join(options),
)
def test_well_initialized_network_is_healthy(rng, options):
    report = gradient_health(network(32, **options), *batch(rng, 50))
    assert report.findings == [] and report.verdict == "healthy" and "\nhealthy: " in str(report)


def test_relu_network_initialized_to_the_identity(rng):
    """Its states are sums over all steps: of small x it is healthy, of large x the gradient is large."""
    model = network(32, num_layers=1, cell="rnn", activation="relu")
    assert names(gradient_health(model, *batch(rng, 50, scale=0.1))) == []
    large = gradient_health(model, *batch(rng, 50, scale=10.0))
    assert names(large) == ["exploding"] and "does not grow with the lag" in large.findings[0].text


def test_vanishing_over_time(rng):
    model = network(num_layers=2, cell="rnn")
    set_all(model, "recurrent_kernel", lambda w: 0.1 * w)
    report = gradient_health(model, *batch(rng))
    assert names(report) == ["vanishing"] and report.reach[1] in (4, 5)
    assert "H^(1) and H^(2)" in report.findings[0].text and "cell='lstm'" in report.findings[0].advice


def test_vanishing_with_a_low_forget_bias(rng):
    model = network(num_layers=1, bias_initializer=ForgetBias(-4.0))
    report = gradient_health(model, *batch(rng))
    assert names(report) == ["vanishing"] and "ForgetBias(1)" in report.findings[0].advice


def test_vanishing_through_the_layers(rng):
    model = network(num_layers=6, cell="rnn")
    set_all(model, "kernel", lambda w: 0.02 * w)
    report = gradient_health(model, *batch(rng))
    assert names(report) == ["vanishing"] and "connection='residual'" in report.findings[0].advice


@pytest.mark.parametrize(("steps", "wanted"), [(12, ["exploding"]), (60, ["exploding", "not finite"])])
def test_exploding(rng, steps, wanted):
    model = network(num_layers=2, cell="rnn", activation="linear")
    set_all(model, "recurrent_kernel", lambda w: 3 * w)
    report = gradient_health(model, *batch(rng, steps))
    assert names(report) == wanted
    assert "PerGate('orthogonal'); global_clipnorm=1, which is not set now" in report.findings[0].advice


def test_large_gradient_that_does_not_grow_with_the_lag(rng):
    x, y = batch(rng)
    report = gradient_health(network(num_layers=1), x, 1000 * y)
    assert names(report) == ["exploding"] and "does not grow with the lag" in report.findings[0].text


def test_dead_units(rng):
    model = network(num_layers=2, cell="rnn", activation="relu")
    set_all(model, "bias", lambda b: b - 100)
    report = gradient_health(model, *batch(rng))
    assert names(report) == ["dead units"] and report.dead == [1.0, 1.0]
    assert "ScaledIdentity()" in report.findings[0].advice and "0.0003" in report.findings[0].advice


@pytest.mark.parametrize(("cell", "gate"), [("lstm", "candidate"), ("rnn", "output")])
def test_saturated_gates(rng, cell, gate):
    report = gradient_health(network(num_layers=1, cell=cell), *batch(rng, scale=300))
    assert names(report) == ["saturated gates"] and f"{gate} of H^(1)" in report.findings[0].text


def test_non_finite_weights(rng):
    model = network(num_layers=2)
    set_all(model, "bias", lambda b: b * np.nan)
    assert names(gradient_health(model, *batch(rng))) == ["not finite"]
