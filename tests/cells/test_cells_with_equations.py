"""Cells that are written as equations against NumPy, in values and gradients, on the fused kernel and in the loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cell_oracles import sequence
from oracles import assert_close

from deeprnn_keras import RNN, DeepRNN, count_params
from deeprnn_keras.cells import DeepTransitionCell, MLPGateGRUCell, MLPGateLSTMCell, MLPGateRNNCell, RHNCell

D, H, N, T = 3, 4, 2, 5
MLP = {"mlp_gate_rnn": MLPGateRNNCell, "mlp_gate_gru": MLPGateGRUCell, "mlp_gate_lstm": MLPGateLSTMCell}
CASES = {
    **{(name, "wide", depth): {"gate_units": (3, 5, 2)[:depth]} for name in MLP for depth in range(4)},
    **{
        (f"deep_transition_{cell}", kind, depth): {"depth": depth, "shortcut": kind == "shortcut"}
        for cell in ("rnn", "gru", "lstm")
        for kind in ("shortcut", "plain")
        for depth in (1, 2, 3)
    },
    **{
        ("rhn", kind, depth): {"depth": depth, "coupled": kind == "coupled"}
        for kind in ("coupled", "uncoupled")
        for depth in (1, 2, 3)
    },
}


QUICK = {case for case in CASES if case[-1] == 2 or case[1:] == ("wide", 0)}  # the other depths are slow


def parameter(case, *more, marks=()):
    marks = marks or (() if case in QUICK else [pytest.mark.slow])
    return pytest.param(case, *more, id="-".join(map(str, (*case, *more))), marks=marks)


cases = pytest.mark.parametrize("case", [parameter(case) for case in CASES])
COMPILED = [pytest.mark.compiled, pytest.mark.slow]
cases_and_kernels = pytest.mark.parametrize(
    ("case", "kernel"),
    [
        *(parameter(case, kernel) for case in CASES for kernel in ("xla", "loop")),
        *(
            pytest.param(case, "xla", id=f"{'-'.join(map(str, case))}-compiled", marks=COMPILED)
            for case in sorted(QUICK)
        ),
    ],
)
MASK = np.array([[True, True, False, True, True], [False, True, True, False, False]])


def make(case, units=H, **kwargs):
    """The Keras cell of a case."""
    name, options = case[0], CASES[case] | kwargs
    if name in MLP:
        return MLP[name](units, **options)
    if name == "rhn":
        return RHNCell(units, **options)
    return DeepTransitionCell(units, cell=name.rpartition("_")[2], **options)


def built(case, rng, kernel="auto", **kwargs):
    """A layer that returns everything, in float64, with random weights; and these by name."""
    layer = RNN(
        make(case, dtype="float64"),
        implementation=kernel,
        return_sequences=True,
        return_state=True,
        dtype="float64",
        **kwargs,
    )
    layer.build((None, None, D))
    weights = {w.name: rng.normal(scale=0.6, size=w.shape) for w in layer.cell.weights}
    for weight in layer.cell.weights:
        weight.assign(weights[weight.name])
    return layer, weights


@cases_and_kernels
def test_values_are_those_of_the_equations(rng, case, kernel):
    layer, weights = built(case, rng, kernel)
    x = rng.normal(size=(N, T, D))
    initial = [rng.normal(size=(N, H)) for _ in layer.cell.equations.states]
    for states, mask in ((None, None), (initial, None), (initial, MASK)):
        output, *final = layer(x, initial_state=states, mask=mask)
        wanted, wanted_final = sequence(case[0], x, weights, H, states, mask)
        assert_close(output, wanted, 1e-12)
        assert_close(final, wanted_final, 1e-12)


@cases_and_kernels
def test_gradients_are_those_of_finite_differences(rng, case, kernel):
    layer, weights = built(case, rng, kernel)
    x = rng.normal(size=(N, 3, D))
    initial = [rng.normal(size=(N, H)) for _ in layer.cell.equations.states]
    names = list(weights)
    tensors = [tf.constant(x), *map(tf.constant, initial)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        output, *final = layer(tensors[0], initial_state=tensors[1:], training=True)
        loss = tf.reduce_sum(tf.sin(output)) + sum(tf.reduce_sum(state**2) for state in final)
    variables = {weight.name: weight.value for weight in layer.cell.weights}
    gradients = tape.gradient(loss, [*tensors, *(variables[name] for name in names)])

    def wanted_loss(arrays):
        count = 1 + len(initial)
        parameters = dict(zip(names, arrays[count:], strict=True))
        outputs, states = sequence(case[0], arrays[0], parameters, H, list(arrays[1:count]))
        return np.sin(outputs).sum() + sum((state**2).sum() for state in states)

    arrays = [x, *initial, *(weights[name] for name in names)]
    for number, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        along = rng.normal(size=array.shape)
        shifted = [[*arrays[:number], array + sign * 1e-5 * along, *arrays[number + 1 :]] for sign in (1, -1)]
        difference = (wanted_loss(shifted[0]) - wanted_loss(shifted[1])) / 2e-5
        assert float(tf.reduce_sum(gradient * along)) == pytest.approx(difference, rel=1e-6, abs=1e-8)


@pytest.mark.slow
@cases
def test_masks_and_directions_on_both_kernels_agree(rng, case):
    x = rng.normal(size=(N, T, D))
    for options in ({}, {"go_backwards": True}, {"zero_output_for_mask": True}):
        results = []
        for kernel in ("xla", "loop"):
            layer, _ = built(case, np.random.default_rng(1), kernel, **options)
            with tf.GradientTape() as tape:
                output, *final = layer(x, mask=MASK, training=True)
                loss = tf.reduce_sum(output**2) + sum(tf.reduce_sum(state) for state in final)
            results.append([output, *final, *tape.gradient(loss, [w.value for w in layer.cell.weights])])
        for one, other in zip(*results, strict=True):
            assert_close(one, other.numpy(), 1e-10)


@cases
def test_step_by_step_is_the_whole_sequence(rng, case):
    layer, _ = built(case, rng)
    x, cell = rng.normal(size=(N, T, D)), layer.cell
    states, outputs = cell.get_initial_state(N), []
    for t in range(T):
        output, states = cell(x[:, t], states)
        outputs.append(output)
    wanted, *final = layer(x)
    assert_close(np.stack(outputs, 1), wanted.numpy(), 1e-12)
    assert_close(list(states), [state.numpy() for state in final], 1e-12)


@pytest.mark.slow
@cases
def test_files_and_configuration(rng, case, tmp_path):
    model = keras.Sequential([keras.Input((None, D)), RNN(make(case), return_sequences=True), RNN(make(case))])
    x = rng.normal(size=(N, T, D)).astype("float32")
    model.save(tmp_path / "model.keras")
    assert_close(keras.models.load_model(tmp_path / "model.keras")(x), model(x).numpy(), 0)


@cases
def test_weights_are_counted_from_sizes_alone(case):
    name = case[0]
    layer = DeepRNN([H, 6], cell={"name": name, **CASES[case]})
    layer.build((None, None, D))
    assert layer.count_params() == count_params(D, [H, 6], cell={"name": name, **CASES[case]})
    names = [weight.name for weight in layer.recurrent_layers[0].cell.weights]
    assert names[:3] == ["kernel", "recurrent_kernel", "bias"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "policy", ["mixed_float16", *(pytest.param(p, marks=pytest.mark.slow) for p in ("mixed_bfloat16", "float16"))]
)
@pytest.mark.parametrize("case", [case for case in CASES if case[-1] == 2], ids=lambda case: "-".join(map(str, case)))
def test_half_precision(rng, case, policy):
    x = rng.normal(size=(N, T, D))
    exact = RNN(make(case))
    exact(x)
    for kernel in ("xla", "loop"):
        layer = RNN(make(case, dtype=policy), dtype=policy, implementation=kernel)
        layer.build((None, T, D))
        layer.set_weights(exact.get_weights())
        output = layer(x)
        assert output.dtype == layer.compute_dtype
        assert_close(tf.cast(output, "float32"), exact(x).numpy(), 0.05)


# === What they are without depth ===


def columns(weights, *names):
    return [weights[name] for name in names]


@pytest.mark.parametrize(
    ("case", "plain"),
    [
        (("mlp_gate_rnn", "wide", 0), keras.layers.SimpleRNN),
        (("mlp_gate_gru", "wide", 0), lambda *a, **k: keras.layers.GRU(*a, reset_after=False, **k)),
        (("mlp_gate_lstm", "wide", 0), keras.layers.LSTM),
        (("deep_transition_rnn", "shortcut", 1), keras.layers.SimpleRNN),
        (("deep_transition_gru", "plain", 1), lambda *a, **k: keras.layers.GRU(*a, reset_after=False, **k)),
        (("deep_transition_lstm", "shortcut", 1), keras.layers.LSTM),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_without_depth_they_are_the_cells_of_keras(rng, case, plain):
    layer, weights = built(case, rng)
    stock = plain(H, return_sequences=True, return_state=True, dtype="float64")
    x = rng.normal(size=(N, T, D))
    stock(x)
    stock.set_weights(columns(weights, "kernel", "recurrent_kernel", "bias"))
    for one, other in zip(layer(x), stock(x), strict=True):
        assert_close(one, other.numpy(), 1e-12)
