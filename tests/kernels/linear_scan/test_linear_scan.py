"""The linear scan against Keras' loop and native code: values, gradients, masks, states, lengths, and selection."""

from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras import RNN, DeepRNN, RecurrentCell, explain_kernels, register_cell
from deeprnn_keras.cells import QRNNCell
from deeprnn_keras.equations import DiagonalMap, Equations
from deeprnn_keras.equations import primitives as p
from deeprnn_keras.equations.first_order import first_order
from deeprnn_keras.equations.maps import AffineMap
from deeprnn_keras.equations.unitwise import unitwise
from deeprnn_keras.kernels.contract import Machine
from deeprnn_keras.kernels.linear_scan import layer as linear_scan
from deeprnn_keras.kernels.linear_scan.recurrence import solve
from deeprnn_keras.kernels.machine import this_machine
from deeprnn_keras.specs import CELLS
from tests.derivatives import values_and_gradients


class Everything(Equations):
    """A step with each form in which states may occur; the first state is an affine map of another."""

    states = ("h", "a", "b", "last")

    def maps(self, input_dim):
        return [
            AffineMap("kernel", input_dim, self.units, ("a", "b"), bias="bias"),
            DiagonalMap("recurrent_kernel", self.units, ("a", "b"), bias="recurrent_bias"),
            AffineMap("output_kernel", self.units, self.units, ("output",), role="hidden"),
        ]

    def step(self, x, states, linear, f):
        _, a, b, last = states
        scaled = linear("recurrent_kernel", 0.5 * a)
        kept = p.where(x["a"] > 0.0, a - 2.0 * b, -scaled["b"]) / (2.0 + p.exp(last))
        other = p.sigmoid(p.sin(x["b"])) * b - 0.0 * a + p.maximum(x["a"], last) + 0.1 * scaled["a"]
        output = linear("output_kernel", a * p.cos(x["b"]), "output")["output"]
        return [f.activation(output), kept + 1.0, other, x["a"]]


@register_cell("everything_linear_for_tests")
class EverythingCell(RecurrentCell):
    equations_class = Everything


register_cell("wide_linear_qrnn_for_tests", partial(QRNNCell, window=2))
LINEAR = ("min_gru", "min_lstm", "qrnn", "wide_linear_qrnn_for_tests", "lru", "rg_lru", "everything_linear_for_tests")
N, D, H = 2, 3, 4


@pytest.fixture(params=["chunks", "associative"])
def method(request, monkeypatch):
    """Run the recurrence in chunks, as on a CPU, or as the associative scan, as on a GPU."""
    machine = replace(this_machine(), gpu=request.param == "associative")
    monkeypatch.setattr(linear_scan, "this_machine", lambda: machine)
    return request.param


def case(cell, length, rng):
    """Return weights, inputs, initial states, and a mask."""
    example = RNN(CELLS[cell].cell(H))
    example.build((None, None, D))
    widths = example.cell.equations.state_widths().values()
    states = [0.5 * rng.normal(size=(N, width)) for width in widths]
    return example.get_weights(), rng.normal(size=(N, length, D)), states, rng.random((N, length)) < 0.6


def assert_equal(actual, expected, tolerance):
    """Compare arrays relative to the largest element of each."""
    for one, other in zip(actual, expected, strict=True):
        scale = max(1.0, float(np.abs(other).max(initial=0)))
        np.testing.assert_allclose(one / scale, other / scale, atol=tolerance, rtol=0)


def with_slow(*slow):
    """Return all cells, some of them marked slow."""
    return [pytest.param(cell, marks=pytest.mark.slow if cell in slow else ()) for cell in LINEAR]


@pytest.mark.parametrize("cell", with_slow("min_lstm", "qrnn", "rg_lru"))
@pytest.mark.parametrize("length", [1, 2, 7])
def test_values_and_gradients_equal_the_loop(rng, cell, length, method):
    weights, x, states, mask = case(cell, length, rng)
    sequences = {"return_sequences": True}
    settings = [(None, sequences), (mask, {**sequences, "go_backwards": True}), (mask, {})]
    for used_mask, options in settings[: 3 if length == 7 else 1]:
        options |= {"return_state": True, "dtype": "float64"}
        layers = [
            RNN(CELLS[cell].cell(H, dtype="float64"), implementation=name, **options)
            for name in ("linear_scan", "loop")
        ]
        assert_equal(*(values_and_gradients(layer, weights, x, states, used_mask) for layer in layers), 1e-12)


@pytest.mark.parametrize("cell", with_slow(*set(LINEAR) - {"lru"}))
def test_a_thousand_steps_equal_native_code(rng, cell, method, native):
    weights, x, states, mask = case(cell, 1000, rng)
    for used_mask in (None, mask):
        layers = [
            RNN(CELLS[cell].cell(H), return_sequences=True, return_state=True, implementation=name)
            for name in ("linear_scan", "scan")
        ]
        assert_equal(*(values_and_gradients(layer, weights, x, states, used_mask) for layer in layers), 1e-5)


def test_unknown_lengths_equal_known_ones(rng):
    layer = DeepRNN(H, cell="min_gru", implementation="linear_scan", return_sequences=True, seed=1)
    layer.build((None, None, D))

    @tf.function(input_signature=[tf.TensorSpec((None, None, D))])
    def of_unknown_length(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True) ** 2)
        return loss, *tape.gradient(loss, [weight.value for weight in layer.trainable_weights])

    for n, length in ((1, 1), (2, 16), (3, 33), (1, 600)):
        x = tf.constant(rng.normal(size=(n, length, D)), "float32")
        assert_equal(of_unknown_length(x), of_unknown_length.python_function(x), 1e-5)


@pytest.mark.parametrize("parallel", [False, True])
def test_matrices_of_states(rng, parallel):
    """Coefficients that fill the places of missing ones in a product of steps, some the same in all steps."""
    a = {(0, 1): rng.normal(size=H), (1, 2): rng.normal(size=(N, 70, H)), (2, 0): rng.normal(size=(N, 70, H))}
    b, state = rng.normal(size=(3, N, 70, H)), rng.normal(size=(3, N, H))
    actual = solve(*({k: tf.constant(v) for k, v in a.items()}, list(map(tf.constant, b)), list(state)), parallel)
    for t in range(70):
        at = {place: one if one.ndim == 1 else one[:, t] for place, one in a.items()}
        state = np.stack([at[i, (i + 1) % 3] * state[(i + 1) % 3] + b[i, :, t] for i in range(3)])
        np.testing.assert_allclose([one[:, t] for one in actual], state, rtol=1e-9, atol=1e-9)


def test_compiled_by_xla_and_half_precision(rng):
    x = tf.constant(rng.normal(size=(N, 40, D)), "float32")
    layer = DeepRNN(H, cell="min_gru", implementation="linear_scan", return_sequences=True, seed=1)
    expected = layer(x)
    np.testing.assert_allclose(tf.function(layer, jit_compile=True)(x), expected, atol=1e-6)
    half = DeepRNN(H, cell="min_gru", implementation="linear_scan", return_sequences=True, dtype="mixed_float16")
    half.build(x.shape)
    half.set_weights(layer.get_weights())
    assert half(x).dtype == "float16"
    np.testing.assert_allclose(tf.cast(half(x), "float32"), expected, atol=0.01)


# === Selection ===


def test_only_linear_steps_are_first_order():
    steps = {name: unitwise(CELLS[name].equations(4)) for name in CELLS.names() if CELLS[name].equations}
    linear = {name for name, step in steps.items() if first_order(step)}
    assert linear >= set(LINEAR)
    assert not linear & {"indrnn", "sru", "rnn", "lstm", "gru", "fast_grnn"}
    assert first_order(steps["wide_linear_qrnn_for_tests"]).known == (2, 3, 4)


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_selected_on_a_gpu_and_on_other_backends(backend):
    machine = Machine(backend=backend, gpu=backend == "tensorflow")
    for cell in ("min_gru", "qrnn", "lru", "rg_lru"):
        assert RNN(CELLS[cell].cell(4)).implementation_on(machine).implementation == "linear_scan"
    for cell in ("indrnn", "sru"):
        choice = RNN(CELLS[cell].cell(4)).implementation_on(machine)
        assert choice.implementation == "loop"
        assert any("whose new state is a linear function of the old one, not" in one for one in choice.reasons)


def test_report_names_the_linear_scan(native):
    (row,) = explain_kernels(DeepRNN(4, cell="lru"))
    assert (row.kernel, row.gpu_kernel) == ("scan", "linear_scan")
    (row,) = explain_kernels(DeepRNN(4, cell="indrnn"))
    assert (row.kernel, row.gpu_kernel) == ("scan", "loop")
    assert "linear function of the old one, not IndependentRNN" in " ".join(row.gpu_reasons)


def test_bad_requests():
    for cell in ("indrnn", "lstm"):
        with pytest.raises(ValueError, match=r"implementation='linear_scan' is not supported .* linear function"):
            DeepRNN(4, cell=cell, implementation="linear_scan")
    with pytest.raises(ValueError, match="unroll=True requires the loop"):
        RNN(CELLS["lru"].cell(4), implementation="linear_scan", unroll=True)


# === The linear recurrent unit ===


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_complex_states_in_half_precision_are_refused(policy):
    with pytest.raises(ValueError, match=f"state of the LRU is complex.*{policy}.*pass dtype='float32'"):
        DeepRNN(4, cell="lru", dtype=policy)


def test_bad_rings_are_refused():
    for options, message in (
        ({"min_radius": 0.9, "max_radius": 0.5}, "0 <= min_radius < max_radius <= 1, got 0.9 and 0.5"),
        ({"max_radius": 1.5}, "0 <= min_radius < max_radius <= 1, got 0 and 1.5"),
        ({"min_radius": -1}, "min_radius must be"),
        ({"max_phase": 0}, "max_phase must be"),
    ):
        with pytest.raises(ValueError, match=message):
            DeepRNN(4, cell={"name": "lru", **options})


def test_ring_initialization_normalizes_the_state(rng):
    """The eigenvalues are in the ring, and the state of white noise has the variance of its inputs."""
    layer = DeepRNN(300, 2, {"name": "lru", "min_radius": 0.8, "max_radius": 0.99, "max_phase": 1.0})
    layer.build((None, None, D))
    rings = [one.cell.ring.numpy() for one in layer.recurrent_layers]
    assert np.abs(rings[0] - rings[1]).max() > 0.1
    nu, theta, gamma = np.exp(np.split(rings[0], 3))
    radius = np.exp(-nu)
    assert 0.8 <= radius.min() < 0.82 and 0.98 < radius.max() <= 0.99 and theta.min() > 0 and theta.max() <= 1.0
    np.testing.assert_allclose(gamma**2 / (1 - radius**2), 1.0, rtol=1e-4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
