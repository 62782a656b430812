"""Stacks of cells whose states and outputs have other widths than their units, compared with NumPy."""

from dataclasses import dataclass, replace
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from cell_oracles import sequence
from oracles import assert_close

from deeprnn_keras import AffineMap, DeepRNN, Equations, RecurrentCell, Stream, count_params, lower, zoo
from deeprnn_keras.cells import ProjectedLSTMCell
from deeprnn_keras.program import Program

CELLS = [{"name": "projected_lstm", "projection": 3}, {"name": "qrnn", "window": 2}, "projected_lstm"]
NAMES = ["projected_lstm", "qrnn", "projected_lstm"]
UNITS, WIDTHS = [5, 3, 6], [3, 3, 3]
STATES = [[3, 5], [3, 3, 9], [3, 6]]
D, N, T = 4, 2, 5
MASK = np.array([[True, True, False, True, True], [False, True, True, False, False]])
FOUR_STACKS = [("stack", False), ("residual", False), ("skip", True), ("residual", True)]


def random_stack(rng, **options):
    layer = DeepRNN(UNITS, cell=CELLS, return_sequences=True, **options)
    layer.build((N, None, D))
    layer.set_weights([rng.normal(scale=0.6, size=weight.shape) for weight in layer.get_weights()])
    return layer


def expected_levels(layer, x, states, mask):
    """Return the output of each level, and the final states of each level."""
    below, outputs, finals = x, [], []
    for level, (name, units) in enumerate(zip(NAMES, UNITS, strict=True)):
        inputs = np.concatenate([below, x], -1) if level and layer.connection == "skip" else below
        parts, final, count = [], [], len(STATES[level])
        for index, one in enumerate(layer.levels[level]):
            order = slice(None, None, -1 if index else 1)
            weights = {weight.name: weight.numpy() for weight in one.cell.weights}
            initial = states[level][index * count : (index + 1) * count]
            output, after = sequence(name, inputs[:, order], weights, units, initial, mask[:, order])
            parts.append(output[:, order])
            final += after
        output = np.concatenate(parts, -1)
        below = output + below if level and layer.connection == "residual" else output
        outputs.append(below)
        finals.append(final)
    return outputs, finals


@pytest.mark.parametrize("implementation", ["auto", pytest.param("loop", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("connection", "bidirectional"), FOUR_STACKS)
def test_stacks_equal_numpy(rng, connection, bidirectional, implementation):
    options = {"connection": connection, "bidirectional": bidirectional, "dtype": "float64"}
    layer = random_stack(rng, return_all_layers=True, return_state=True, implementation=implementation, **options)
    factor = 1 + bidirectional
    assert layer.widths == WIDTHS and layer.state_size == [sizes * factor for sizes in STATES]
    assert layer.count_params() == count_params(D, UNITS, None, CELLS, connection, bidirectional)
    states = [[rng.normal(size=(N, width)) for width in sizes] for sizes in layer.state_size]
    x = rng.normal(size=(N, T, D))
    outputs, *final = layer(x, initial_state=states, mask=MASK)
    expected, expected_final = expected_levels(layer, x, states, MASK)
    for actual, level in zip(outputs, expected, strict=True):
        assert_close(actual, level * MASK[:, :, None] if bidirectional else level, 1e-12)
    for actual, level in zip(final, expected_final, strict=True):
        assert_close(actual, level, 1e-12)
    shapes = keras.tree.map_shape_structure(tuple, layer.compute_output_shape((N, T, D)))
    assert shapes == keras.tree.map_structure(lambda one: tuple(one.shape), (outputs, *final))
    output = DeepRNN(UNITS, cell=CELLS, connection=connection, bidirectional=bidirectional)(keras.Input((None, D)))
    assert output.shape == (None, (sum(WIDTHS) if connection == "skip" else WIDTHS[-1]) * factor)


def test_carried_states_of_chunks_equal_the_whole_sequence(rng):
    layer, x = random_stack(rng, stateful=True), rng.normal(size=(N, T, D)).astype("float32")
    whole = layer(x).numpy()
    layer.reset_state()
    parts = [layer(x[:, :2]), layer(x[:, 2:3]), layer(x[:, 3:])]
    assert_close(np.concatenate(parts, 1), whole, 1e-6)
    carried = layer.carried_state.to_arrays()
    assert [array.shape for array in carried[: len(carried) // 2]] == [(N, s) for sizes in STATES for s in sizes]
    message = r"of shapes \[\[\(n, 3\), \(n, 5\)\], \[\(n, 3\), \(n, 3\), \(n, 9\)\], \[\(n, 3\), \(n, 6\)\]\]"
    with pytest.raises(ValueError, match=message):
        layer(x, initial_state=[[np.zeros((N, 5), "float32")] * 2, *layer.get_initial_state(N)[1:]])


def test_model_is_saved_and_streamed(rng, tmp_path):
    model = keras.Sequential([keras.Input((None, D)), random_stack(rng, connection="residual"), keras.layers.Dense(2)])
    x = rng.normal(size=(N, T, D)).astype("float32")
    expected = model(x).numpy()
    model.save(tmp_path / "model.keras")
    assert_close(keras.models.load_model(tmp_path / "model.keras")(x), expected, 0)
    program = lower(model)
    assert [state.width for state in program.states.values()] == [width for sizes in STATES for width in sizes]
    program.save(tmp_path / "program.safetensors")
    stream = Stream(Program.load(tmp_path / "program.safetensors"), batch_size=N)
    assert_close(np.stack([stream(x[:, t]) for t in range(T)], 1), expected, 1e-5)


def test_program_with_contradictory_states_is_refused():
    inputs = keras.Input((None, D))
    program = lower(keras.Model(inputs, DeepRNN(4, cell="projected_lstm", return_sequences=True)(inputs)))
    (cell,) = program.operations
    step = cell.step
    changes = {
        "an output of width 4, got 2": {"width": 4},
        "states 2, got 1": {"state_names": ("h",)},
        "results of widths": {"step": replace(step, outputs=step.outputs[::-1])},
        "at least one state": {"step": replace(step, inputs=step.inputs[:1]), "state_names": ()},
        "must have a width": {"step": replace(step, inputs=(*step.inputs[:2], 0))},
    }
    for message, change in changes.items():
        with pytest.raises(ValueError, match=message):
            replace(program, operations=(replace(cell, **change),))


def test_parameters_of_zoo_models(eager):
    cell = {"name": "projected_lstm", "projection": 4}
    for changes in ({"embedding": 3}, {"tied": True}):
        config = zoo.info("zaremba_small", units=6, vocabulary=9, cell=cell, **changes)
        assert config.count_params() == config.build().count_params()
        assert "LSTM, 6 units" in str(config.diagram()) and ", 4)" in str(config.diagram())


# === Arguments ===


def test_use_bias_of_the_stack(rng):
    layer = DeepRNN(5, 2, "projected_lstm", use_bias=False)
    layer.build((None, None, D))
    assert [weight.name for weight in layer.weights[:3]] == ["kernel", "recurrent_kernel", "projection_kernel"]
    assert layer.count_params() == count_params(D, 5, 2, "projected_lstm", use_bias=False)


def test_widths_are_those_of_cells_from_a_callable():
    layer = DeepRNN(5, 2, lambda units: ProjectedLSTMCell(units, projection=2), connection="residual")
    assert layer.widths == [2, 2] and layer(np.zeros((N, T, D), "float32")).shape == (N, 2)
    with pytest.raises(ValueError, match=r"widths must be equal, got \[2, 5\]"):
        DeepRNN(5, 2, ["projected_lstm", "lstm"], connection="residual")


@dataclass(frozen=True)
class WideRecurrence(Equations):
    """h' = tanh(x W + c U) P, c' = tanh(x W + c U): the recurrent map reads the wide state."""

    def state_widths(self):
        return {"h": 1, "c": self.units}

    def maps(self, input_dim):
        return [
            AffineMap("kernel", input_dim, self.units, ("candidate",)),
            AffineMap("recurrent_kernel", self.units, self.units, ("candidate",), role="recurrent"),
            AffineMap("sum", self.units, 1, ("sum",), role="hidden"),
        ]

    def step(self, x, states, linear, f):
        c = f.activation(x["candidate"] + linear("recurrent_kernel", states[1])["candidate"])
        return [linear("sum", c)["sum"], c]


class WideRecurrenceCell(RecurrentCell):
    equations_class = WideRecurrence


def test_recurrent_dropout_has_a_mask_of_the_width_of_the_output(rng):
    layer = DeepRNN(5, cell="projected_lstm", recurrent_dropout=0.5, implementation="loop", seed=1)
    x = rng.normal(size=(N, T, D)).astype("float32")
    assert np.any(layer(x, training=True) != layer(x))
    with pytest.raises(ValueError, match=r"recurrent_dropout=0.2 drops .* of width 1, .*'recurrent_kernel' .* width 5"):
        WideRecurrenceCell(5, recurrent_dropout=0.2)


def test_gradients_of_a_recurrence_over_a_wide_state(rng):
    x, found = rng.normal(size=(N, T, D)), []
    for implementation in ("xla", "loop"):
        cell = partial(WideRecurrenceCell, dtype="float64")
        layer = DeepRNN(5, cell=cell, implementation=implementation, dtype="float64")
        layer.build((None, None, D))
        draw = np.random.default_rng(2)
        layer.set_weights([draw.normal(scale=0.6, size=weight.shape) for weight in layer.get_weights()])
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(x, training=True)))
        found.append([loss, *tape.gradient(loss, [weight.value for weight in layer.weights])])
    for actual, expected in zip(*found, strict=True):
        assert_close(actual, expected.numpy(), 1e-11)
