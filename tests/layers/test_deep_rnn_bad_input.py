"""What `DeepRNN` refuses: a ValueError that names the argument, what came and what would be right."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras import DeepRNN
from deeprnn_keras.initializers import ChronoBias, ForgetBias, PerGate, ScaledIdentity


def zeros(*shape):
    return np.zeros(shape, "float32")


def gru_cell(units):
    return keras.layers.GRUCell(units)


def stacked_cells(units):
    return keras.layers.StackedRNNCells([keras.layers.GRUCell(units), keras.layers.LSTMCell(units)])


class UnregisteredCell(keras.layers.GRUCell):
    pass


# === Arguments ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 0}, r"num_layers must be a positive integer, got 0"),
        ({"num_layers": -1}, r"num_layers .*at least 1, got -1"),
        ({"num_layers": 1.5}, r"num_layers must be a positive integer .*got 1\.5"),
        ({"num_layers": True}, r"num_layers must be a positive integer .*got True"),
        ({"units": 0}, r"units must be a positive integer, got 0"),
        ({"units": -3}, r"units .*got -3"),
        ({"units": 2.5}, r"units must be a positive integer .*got 2\.5"),
        ({"units": "8"}, r"units must be a positive integer .*got '8'"),
        ({"units": None}, r"units must be a positive integer .*got None"),
        ({"units": True}, r"units must be a positive integer .*got True"),
        ({"units": [4, 0]}, r"units .*at least 1, got 0"),
        ({"units": []}, r"units must be a number or a list with one entry per layer, got an empty list"),
        ({"units": [2, 3], "num_layers": 3}, r"units must be .*one entry per layer \(3\), got a list of 2: \[2, 3\]"),
        ({"cell": ["gru"]}, r"cell must be .*one entry per layer \(2\), got a list of 1: \['gru'\]"),
        ({"cell": []}, r"cell must be .*one entry per layer \(2\), got a list of 0"),
        ({"activation": ["relu"] * 3}, r"activation must be .*one entry per layer \(2\), got a list of 3"),
        ({"cell": "lstn"}, r"unknown cell 'lstn'; did you mean 'lstm'\?"),
        ({"cell": "LSTM"}, r"unknown cell 'LSTM'; did you mean 'lstm'\?"),
        ({"cell": "?"}, r"unknown cell '\?'; choose from .*'gru', .*'lstm', .*'rhn', .*'rnn'"),
        ({"cell": 7}, r"unknown cell 7; choose from .*'gru', .*'lstm', .*'rhn', .*'rnn'"),
        ({"cell": ["gru", None]}, r"unknown cell None; "),
        ({"connection": "residul"}, r"unknown connection 'residul'; did you mean 'residual'\?"),
        ({"connection": None}, r"unknown connection None; choose from 'residual', 'skip', 'stack'"),
        ({"activation": "rellu"}, r"unknown activation 'rellu'; did you mean .*'relu'"),
        (
            {"kernel_initializer": "glorot_unifrom"},
            r"unknown kernel_initializer .*did you mean .*'glorot_uniform'",
        ),
        ({"recurrent_initializer": "orthgonal"}, r"unknown recurrent_initializer .*did you mean .*'orthogonal'"),
        ({"bias_initializer": "zeroes"}, r"unknown bias_initializer 'zeroes'; did you mean .*'zeros'"),
        (
            {"units": [2, 3], "connection": "residual"},
            r"connection='residual' .*units must be equal, got \[2, 3\]; use equal units, or connection='skip'",
        ),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), got 1\.0"),
        ({"dropout": -0.1}, r"dropout must be a rate .*got -0\.1"),
        ({"dropout": "a"}, r"dropout must be a rate .*got 'a'"),
        ({"dropout": None}, r"dropout must be a rate .*got None"),
        ({"dropout": float("nan")}, r"dropout must be a rate .*got nan"),
        ({"dropout": True}, r"dropout must be a rate .*got True"),
        ({"seed": "a"}, r"seed must be an integer.*, got 'a'"),
        ({"seed": 1.5}, r"seed must be an integer.*, got 1\.5"),
    ],
)
def test_argument(arguments, message):
    arguments = {"units": 4, **arguments}
    if not isinstance(arguments["units"], list):
        arguments = {"num_layers": 2, **arguments}
    with pytest.raises(ValueError, match=message):
        DeepRNN(**arguments)


# === Cells made by a callable ===


def test_activation_of_a_callable_cell():
    with pytest.raises(ValueError, match=r"activation: layer 2 .*gru_cell.* brings its own activation"):
        DeepRNN(3, cell=["gru", gru_cell], num_layers=2, activation="relu")


def test_activation_of_the_named_cells_beside_a_callable_one():
    layer = DeepRNN(3, cell=["gru", gru_cell], num_layers=2, activation=["relu", None])
    assert layer.activations == [keras.activations.relu, None]


@pytest.mark.parametrize("name", ["kernel_initializer", "recurrent_initializer", "bias_initializer"])
def test_initializer_without_a_named_cell(name):
    with pytest.raises(ValueError, match=rf"{name} has no effect on cells made by a callable"):
        DeepRNN(3, 2, cell=gru_cell, **{name: "zeros"})


@pytest.mark.parametrize(
    ("make_cell", "message"),
    [
        (lambda units: units, r"cell must be .*callable\(units\) that returns a Keras cell, .*returned int"),
        (lambda units: None, r"cell must be .*returned NoneType"),
        (keras.layers.Dense, r"cell must be .*returned Dense without state_size"),
        (stacked_cells, r"cell: state_size must be a number or a flat list .*num_layers instead of StackedRNNCells"),
    ],
)
def test_callable_that_makes_no_cell(make_cell, message):
    with pytest.raises(ValueError, match=message):
        DeepRNN(3, cell=make_cell)


def test_configuration_with_a_cell_class_that_is_not_registered():
    """Keras' `from_config` makes a TypeError of any error, with the message inside."""
    config = DeepRNN(3, cell=UnregisteredCell).get_config()
    with pytest.raises(TypeError, match=r"cell 'UnregisteredCell' is not known here; .*register"):
        DeepRNN.from_config(config)


# === Initializers that do not fit ===


def test_scaled_identity_for_a_cell_with_gates():
    with pytest.raises(ValueError, match=r"ScaledIdentity requires a square shape \(h, h\), got .*use PerGate"):
        DeepRNN(4, cell="lstm", recurrent_initializer=ScaledIdentity()).build((2, 3, 5))


def test_forget_bias_for_a_cell_without_gates():
    with pytest.raises(ValueError, match=r"cell 'rnn' has no gate that keeps its state .*; use 'lstm' or 'gru'"):
        DeepRNN(4, cell=["lstm", "rnn"], num_layers=2, bias_initializer=ForgetBias())


@pytest.mark.parametrize("initializer", [PerGate("zeros", cell="gru"), ForgetBias(cell="gru"), ChronoBias(9, "gru")])
def test_initializer_told_another_cell(initializer):
    """3 units: the 12 columns of an LSTM would also make the blocks of a GRU of 4 units."""
    role = "kernel_initializer" if isinstance(initializer, PerGate) else "bias_initializer"
    with pytest.raises(ValueError, match=r"'gru'.*'lstm'|'lstm'.*'gru'"):
        DeepRNN(3, cell="lstm", **{role: initializer}).build((2, 3, 3))


# === Sequences ===


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3), r"x must have rank 3, \(n, T, d\), got shape \(2, 3\); token ids .*Embedding"),
        ((2, 3, 4, 5), r"x must have rank 3, \(n, T, d\), got shape \(2, 3, 4, 5\)"),
        ((2, 0, 3), r"x must have at least one time step, got shape \(2, 0, 3\)"),
    ],
)
@pytest.mark.parametrize("built", [False, True])
def test_shape(built, shape, message):
    layer = DeepRNN(2, 2, "gru")
    if built:
        layer.build((None, None, 3))
    with pytest.raises(ValueError, match=message):
        layer(zeros(*shape))


def test_unknown_number_of_features():
    with pytest.raises(ValueError, match=r"x must have a known number of features d, got shape \(None, 3, None\)"):
        DeepRNN(2)(keras.Input((3, None)))


def test_other_number_of_features_on_the_second_call():
    layer = DeepRNN(2, 2, "gru")
    layer.build((None, None, 3))
    with pytest.raises(ValueError, match=r"x must have d = 3 features, got shape \(2, 4, 5\)"):
        layer(zeros(2, 4, 5))


def test_other_number_of_features_in_a_second_model():
    layer = DeepRNN(2, 2, "gru")
    layer(keras.Input((None, 3)))
    with pytest.raises(ValueError, match=r"x must have d = 3 features, got shape \(None, None, 5\)"):
        layer(keras.Input((None, 5)))


def test_stateful_without_batch_size_on_another_backend(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(ValueError, match=r"on the numpy backend .*known batch size, got .*\(None, 4, 3\).*batch_shape"):
        DeepRNN(2, stateful=True).build((None, 4, 3))
    layer = DeepRNN(2, 2, "gru", stateful=True)
    layer.build((2, 4, 3))
    with pytest.raises(ValueError, match=r"must have the batch size 2 it was built with, got shape \(3, 4, 3\)"):
        layer(zeros(3, 4, 3))


def test_stateful_with_another_number_of_rows_before_the_state_begins_anew():
    layer = DeepRNN(2, 2, "gru", stateful=True, name="lanes")
    layer(zeros(2, 4, 3))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"lanes: stateful=True carries .* before and now:(.|\n)*2(.|\n)*3"
    ):
        layer(zeros(3, 4, 3))
    layer.reset_state()
    assert layer(zeros(3, 4, 3)).shape == (3, 2)


@pytest.mark.parametrize(
    ("stateful", "reset_mask", "message"),
    [
        (False, np.ones(2, bool), "only stateful=True carries states"),
        (True, np.ones(2, "int32"), r"reset_mask must be bool of shape \(n,\), got int32 of shape \(2,\)"),
        (True, np.ones((2, 1), bool), r"reset_mask must be bool of shape \(n,\), got bool of shape \(2, 1\)"),
    ],
)
def test_reset_mask_that_tell_nothing(stateful, reset_mask, message):
    with pytest.raises(ValueError, match=message):
        DeepRNN(2, stateful=stateful)(zeros(2, 4, 3), reset_mask=reset_mask)


@pytest.mark.parametrize("penalty", ["ar", "tar"])
def test_penalties(penalty):
    with pytest.raises(ValueError, match=f"{penalty} must be a non-negative number, got -1"):
        DeepRNN(2, return_sequences=True, **{penalty: -1})
    with pytest.raises(ValueError, match=f"{penalty}=2 .*need return_sequences=True"):
        DeepRNN(2, **{penalty: 2})


# === Initial states ===

H = zeros(2, 3)


@pytest.mark.parametrize(
    ("cell", "state", "got"),
    [
        ("gru", H, r"of shape \(2, 3\)"),
        ("gru", [H], r"\[.*of shape \(2, 3\)\]"),
        ("gru", [H] * 3, r"\[.*of shape \(2, 3\), .*of shape \(2, 3\), .*of shape \(2, 3\)\]"),
        ("gru", [[H, H], [H, H]], r"\[\[.*of shape \(2, 3\), "),
        ("gru", [H, zeros(2, 4)], r"of shape \(2, 4\)"),
        ("gru", [H, zeros(5, 3)], r"of shape \(5, 3\)"),
        ("gru", [H, zeros(3)], r"of shape \(3,\)"),
        ("gru", [H, None], r"None"),
        ("lstm", [H, H], r"\[.*of shape \(2, 3\), .*of shape \(2, 3\)\]"),
        ("lstm", [H, H, H, H], r"of shape \(2, 3\)"),
        ("lstm", [[H, H], [H]], r"\], \[.*of shape \(2, 3\)\]\]"),
        ("lstm", [[H, H], [H, zeros(2, 4)]], r"of shape \(2, 4\)"),
    ],
)
def test_initial_state(cell, state, got):
    layer = DeepRNN(3, 2, cell)
    layer.build((None, None, 1))
    right = r"\[\(n, 3\), \(n, 3\)\]" if cell == "gru" else r"\[\[\(n, 3\), \(n, 3\)\], \[\(n, 3\), \(n, 3\)\]\]"
    with pytest.raises(
        ValueError, match=rf"initial_state must be a list with one entry per layer, of shapes {right}, got .*{got}"
    ):
        layer(zeros(2, 2, 1), initial_state=state)


def test_initial_state_of_one_layer_is_a_list_too():
    with pytest.raises(ValueError, match=r"initial_state must be a list .*\[\[\(n, 3\), \(n, 3\)\]\], got"):
        DeepRNN(3)(zeros(2, 2, 1), initial_state=[H, H])


def test_initial_state_of_a_bidirectional_layer_without_its_backward_half():
    with pytest.raises(ValueError, match=r"initial_state must be .*\[\[\(n, 3\), \(n, 3\)\]\], got"):
        DeepRNN(3, cell="gru", bidirectional=True)(zeros(2, 2, 1), initial_state=[H])


def test_symbolic_initial_state_of_another_width():
    with pytest.raises(ValueError, match=r"initial_state must be .*\[\(n, 3\)\], got .*\(None, 4\)"):
        DeepRNN(3, cell="gru")(keras.Input((None, 1)), initial_state=[keras.Input((4,))])
