"""Findings of `gradient_health` for healthy networks and for networks constructed to have each problem."""

import numpy as np
import pytest
from health_networks import build_network, random_batch

from deeprnn_keras.audit.health import gradient_health
from deeprnn_keras.initializers import ChronoBias, ForgetBias


def change_weights(model, role, change):
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
    report = gradient_health(build_network(32, **options), *random_batch(rng, 50))
    assert report.findings == [] and report.verdict == "healthy" and "\nhealthy: " in str(report)


def test_relu_network_initialized_to_identity(rng):
    """The states are sums over all steps, which is healthy for small x; large x produce a large gradient."""
    model = build_network(32, num_layers=1, cell="rnn", activation="relu")
    assert names(gradient_health(model, *random_batch(rng, 50, scale=0.1))) == []
    large = gradient_health(model, *random_batch(rng, 50, scale=10.0))
    assert names(large) == ["exploding"] and "does not grow with the lag" in large.findings[0].text


def test_vanishing_over_time(rng):
    model = build_network(num_layers=2, cell="rnn")
    change_weights(model, "recurrent_kernel", lambda w: 0.1 * w)
    report = gradient_health(model, *random_batch(rng))
    assert names(report) == ["vanishing"] and report.vanishing_lags[1] in (4, 5)
    assert "H^(1) and H^(2)" in report.findings[0].text and "cell='lstm'" in report.findings[0].advice


def test_vanishing_with_a_low_forget_bias(rng):
    model = build_network(num_layers=1, bias_initializer=ForgetBias(-4.0))
    report = gradient_health(model, *random_batch(rng))
    assert names(report) == ["vanishing"] and "ForgetBias(1)" in report.findings[0].advice


def test_vanishing_through_the_layers(rng):
    model = build_network(num_layers=6, cell="rnn")
    change_weights(model, "kernel", lambda w: 0.02 * w)
    report = gradient_health(model, *random_batch(rng))
    assert names(report) == ["vanishing"] and "connection='residual'" in report.findings[0].advice


@pytest.mark.parametrize(("steps", "expected"), [(12, ["exploding"]), (60, ["exploding", "not finite"])])
def test_exploding(rng, steps, expected):
    model = build_network(num_layers=2, cell="rnn", activation="linear")
    change_weights(model, "recurrent_kernel", lambda w: 3 * w)
    report = gradient_health(model, *random_batch(rng, steps))
    assert names(report) == expected
    assert "PerGate('orthogonal'); global_clipnorm=1 (currently no clipping)" in report.findings[0].advice


def test_large_gradient_that_does_not_grow_with_lag(rng):
    x, y = random_batch(rng)
    report = gradient_health(build_network(num_layers=1), x, 1000 * y)
    assert names(report) == ["exploding"] and "does not grow with the lag" in report.findings[0].text


def test_dead_units(rng):
    model = build_network(num_layers=2, cell="rnn", activation="relu")
    change_weights(model, "bias", lambda b: b - 100)
    report = gradient_health(model, *random_batch(rng))
    assert names(report) == ["dead units"] and report.dead_fraction == [1.0, 1.0]
    assert "ScaledIdentity()" in report.findings[0].advice and "0.0003" in report.findings[0].advice


@pytest.mark.parametrize(("cell", "gate"), [("lstm", "candidate"), ("rnn", "output")])
def test_saturated_gates(rng, cell, gate):
    report = gradient_health(build_network(num_layers=1, cell=cell), *random_batch(rng, scale=300))
    assert names(report) == ["saturated gates"] and f"{gate} of H^(1)" in report.findings[0].text


def test_non_finite_weights(rng):
    model = build_network(num_layers=2)
    change_weights(model, "bias", lambda b: b * np.nan)
    assert names(gradient_health(model, *random_batch(rng))) == ["not finite"]
