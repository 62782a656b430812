"""Values and gradients of cells with equations against NumPy, with the XLA and the loop implementation."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cell_oracles import GATED_STEPS, sequence
from oracles import assert_close

from deeprnn_keras import RNN, DeepRNN, count_params
from deeprnn_keras.cells import DeepTransitionCell
from deeprnn_keras.cells.recurrent_cell import FIRST_WEIGHTS
from deeprnn_keras.specs import CELLS

D, H, N, T = 3, 4, 2, 5
MLP_CELLS = ("mlp_gate_rnn", "mlp_gate_gru", "mlp_gate_lstm")
GATED_CELLS = tuple(step.__name__ for step in GATED_STEPS)
CASES = {
    **{(name, "mlp", depth): {"gate_units": (3, 5, 2)[:depth]} for name in MLP_CELLS for depth in range(4)},
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
    **{(name, "gated", 2): {} for name in GATED_CELLS},
    ("layer_norm_lstm", "normalized state", 1): {"normalized_state": True},
    ("qrnn", "two steps", 2): {"window": 2},
    ("projected_lstm", "without bias", 3): {"projection": 3, "use_bias": False},
}
"""{(name, variant, depth): options of the cell}"""

DEFAULT_CASES = {case for case in CASES if case[-1] == 2 or case[1:] == ("mlp", 0)}  # the others are marked slow


def parameter(case, *values, marks=()):
    marks = marks or (() if case in DEFAULT_CASES else [pytest.mark.slow])
    return pytest.param(case, *values, id="-".join(map(str, (*case, *values))), marks=marks)


cases = pytest.mark.parametrize("case", [parameter(case) for case in CASES])
COMPILED_MARKS = [pytest.mark.compiled, pytest.mark.slow]
ON_XLA = [
    *(parameter(case, "xla") for case in CASES),
    *(
        pytest.param(case, "xla", id=f"{'-'.join(map(str, case))}-compiled", marks=COMPILED_MARKS)
        for case in sorted(DEFAULT_CASES)
    ),
]
cases_and_implementations = pytest.mark.parametrize(
    ("case", "implementation"), [*ON_XLA, *(parameter(case, "loop") for case in CASES)]
)
# test_implementations_agree_with_masks_and_directions compares the gradients of the loop with those on XLA
cases_with_own_gradients = pytest.mark.parametrize(
    ("case", "implementation"), [*ON_XLA, *(parameter(case, "loop", marks=pytest.mark.long) for case in CASES)]
)
MASK = np.array([[True, True, False, True, True], [False, True, True, False, False]])


def make_cell(case, units=H, **kwargs):
    """Return the Keras cell of a case."""
    name, options = case[0], CASES[case] | kwargs
    if name.startswith("deep_transition"):
        return DeepTransitionCell(units, cell=name.rpartition("_")[2], **options)
    return CELLS[name].cell(units, **options)


def oracle_options(case):
    """Return the options that change the equations of a case but not its weights."""
    return {key: value for key, value in CASES[case].items() if key == "normalized_state"}


def make_layer(case, rng, implementation="auto", **kwargs):
    """Return a float64 layer with random weights that returns outputs and states, and the weights by name."""
    layer = RNN(
        make_cell(case, dtype="float64"),
        implementation=implementation,
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


@cases_and_implementations
def test_values_equal_the_reference(rng, case, implementation):
    layer, weights = make_layer(case, rng, implementation)
    x = rng.normal(size=(N, T, D))
    initial = [rng.normal(size=(N, width)) for width in layer.cell.equations.state_widths().values()]
    for states, mask in ((None, None), (initial, MASK)):
        output, *final = layer(x, initial_state=states, mask=mask)
        expected, expected_final = sequence(case[0], x, weights, H, states, mask, **oracle_options(case))
        assert_close(output, expected, 1e-12)
        assert_close(final, expected_final, 1e-12)


@cases_with_own_gradients
def test_gradients_equal_finite_differences(rng, case, implementation):
    layer, weights = make_layer(case, rng, implementation)
    x = rng.normal(size=(N, 3, D))
    initial = [rng.normal(size=(N, width)) for width in layer.cell.equations.state_widths().values()]
    names = list(weights)
    tensors = [tf.constant(x), *map(tf.constant, initial)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        output, *final = layer(tensors[0], initial_state=tensors[1:], training=True)
        loss = tf.reduce_sum(tf.sin(output)) + sum(tf.reduce_sum(state**2) for state in final)
    variables = {weight.name: weight.value for weight in layer.cell.weights}
    arguments = [*tensors, *(variables[name] for name in names)]
    gradients = tape.gradient(loss, arguments, unconnected_gradients="zero")

    def reference_loss(arrays):
        num_inputs = 1 + len(initial)
        parameters = dict(zip(names, arrays[num_inputs:], strict=True))
        outputs, states = sequence(
            case[0], arrays[0], parameters, H, list(arrays[1:num_inputs]), **oracle_options(case)
        )
        return np.sin(outputs).sum() + sum((state**2).sum() for state in states)

    arrays = [x, *initial, *(weights[name] for name in names)]
    for index, (array, gradient) in enumerate(zip(arrays, gradients, strict=True)):
        direction = rng.normal(size=array.shape)
        shifted = [[*arrays[:index], array + sign * 1e-5 * direction, *arrays[index + 1 :]] for sign in (1, -1)]
        difference = (reference_loss(shifted[0]) - reference_loss(shifted[1])) / 2e-5
        assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(difference, rel=1e-6, abs=1e-8)


@pytest.mark.slow
@cases
def test_implementations_agree_with_masks_and_directions(rng, case):
    x = rng.normal(size=(N, T, D))
    for options in ({}, {"go_backwards": True}, {"zero_output_for_mask": True}):
        results = []
        for implementation in ("xla", "loop"):
            layer, _ = make_layer(case, np.random.default_rng(1), implementation, **options)
            with tf.GradientTape() as tape:
                output, *final = layer(x, mask=MASK, training=True)
                loss = tf.reduce_sum(output**2) + sum(tf.reduce_sum(state) for state in final)
            results.append([output, *final, *tape.gradient(loss, [w.value for w in layer.cell.weights])])
        for actual, expected in zip(*results, strict=True):
            assert_close(actual, expected.numpy(), 1e-10)


@cases
def test_single_steps_equal_the_sequence(rng, case):
    layer, _ = make_layer(case, rng)
    x, cell = rng.normal(size=(N, T, D)), layer.cell
    states, outputs = cell.get_initial_state(N), []
    for t in range(T):
        output, states = cell(x[:, t], states)
        outputs.append(output)
    expected, *final = layer(x)
    assert_close(np.stack(outputs, 1), expected.numpy(), 1e-12)
    assert_close(list(states), [state.numpy() for state in final], 1e-12)


@pytest.mark.slow
@cases
def test_save_and_load(rng, case, tmp_path):
    model = keras.Sequential(
        [keras.Input((None, D)), RNN(make_cell(case), return_sequences=True), RNN(make_cell(case))]
    )
    x = rng.normal(size=(N, T, D)).astype("float32")
    model.save(tmp_path / "model.keras")
    assert_close(keras.models.load_model(tmp_path / "model.keras")(x), model(x).numpy(), 0)


@cases
def test_count_params_equals_the_built_layer(case):
    name = case[0]
    layer = DeepRNN([H, 6], cell={"name": name, **CASES[case]})
    layer.build((None, None, D))
    assert layer.count_params() == count_params(D, [H, 6], cell={"name": name, **CASES[case]})
    names = [weight.name for weight in layer.recurrent_layers[0].cell.weights]
    assert [one for one in names if one in FIRST_WEIGHTS] == names[: len(set(names) & set(FIRST_WEIGHTS))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "policy", ["mixed_float16", *(pytest.param(p, marks=pytest.mark.slow) for p in ("mixed_bfloat16", "float16"))]
)
@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case[-1] == 2 and case[0] != "lru"],  # which refuses half precision
    ids=lambda case: "-".join(map(str, case)),
)
def test_half_precision(rng, case, policy):
    x = rng.normal(size=(N, T, D))
    exact = RNN(make_cell(case))
    exact(x)
    for implementation in ("xla", "loop"):
        layer = RNN(make_cell(case, dtype=policy), dtype=policy, implementation=implementation)
        layer.build((None, T, D))
        layer.set_weights(exact.get_weights())
        output = layer(x)
        assert output.dtype == layer.compute_dtype
        assert_close(tf.cast(output, "float32"), exact(x).numpy(), 0.05)


# === Equality with Keras cells ===


@pytest.mark.parametrize(
    ("case", "keras_layer"),
    [
        (("mlp_gate_rnn", "mlp", 0), keras.layers.SimpleRNN),
        (("mlp_gate_gru", "mlp", 0), lambda *a, **k: keras.layers.GRU(*a, reset_after=False, **k)),
        (("mlp_gate_lstm", "mlp", 0), keras.layers.LSTM),
        (("deep_transition_rnn", "shortcut", 1), keras.layers.SimpleRNN),
        (("deep_transition_gru", "plain", 1), lambda *a, **k: keras.layers.GRU(*a, reset_after=False, **k)),
        (("deep_transition_lstm", "shortcut", 1), keras.layers.LSTM),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_cells_without_depth_equal_those_of_keras(rng, case, keras_layer):
    layer, weights = make_layer(case, rng)
    reference = keras_layer(H, return_sequences=True, return_state=True, dtype="float64")
    x = rng.normal(size=(N, T, D))
    reference(x)
    reference.set_weights([weights[name] for name in ("kernel", "recurrent_kernel", "bias")])
    for actual, expected in zip(layer(x), reference(x), strict=True):
        assert_close(actual, expected.numpy(), 1e-12)
