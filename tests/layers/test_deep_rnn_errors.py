"""Error messages of `DeepRNN`: they name the argument, the value received, and what is supported."""

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


def nested_cells(units):
    return keras.layers.StackedRNNCells([keras.layers.GRUCell(units), keras.layers.LSTMCell(units)])


class UnregisteredCell(keras.layers.GRUCell):
    pass


# === Arguments ===


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 0}, r"num_layers must be a positive integer, got 0"),
        ({"num_layers": -1}, r"num_layers must be a positive integer, got -1"),
        ({"num_layers": 1.5}, r"num_layers must be a positive integer, got 1\.5"),
        ({"num_layers": True}, r"num_layers must be a positive integer, got True"),
        ({"units": 0}, r"units must be a positive integer, got 0"),
        ({"units": -3}, r"units must be a positive integer, got -3"),
        ({"units": 2.5}, r"units must be a positive integer, got 2\.5"),
        ({"units": "8"}, r"units must be a positive integer, got '8'"),
        ({"units": None}, r"units must be a positive integer, got None"),
        ({"units": True}, r"units must be a positive integer, got True"),
        ({"units": [4, 0]}, r"units must be a positive integer, got 0"),
        ({"units": []}, r"units must be a positive integer or a list of them, one per layer, got an empty list"),
        ({"units": [2, 3], "num_layers": 3}, r"units must be .*one entry per layer \(3\), got a list of 2: \[2, 3\]"),
        ({"cell": ["gru"]}, r"cell must be .*one entry per layer \(2\), got a list of 1: \['gru'\]"),
        ({"cell": []}, r"cell must be .*one entry per layer \(2\), got a list of 0"),
        ({"activation": ["relu"] * 3}, r"activation must be .*one entry per layer \(2\), got a list of 3"),
        ({"cell": "lstn"}, r"unknown cell 'lstn'; did you mean 'lstm' or 'min_lstm'\?"),
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
            r"connection='residual' .*widths must be equal, got \[2, 3\]; use equal units, or connection='skip'",
        ),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), got 1\.0"),
        ({"dropout": -0.1}, r"dropout must be a number in \[0, 1\), got -0\.1"),
        ({"dropout": "a"}, r"dropout must be a number in \[0, 1\), got 'a'"),
        ({"dropout": None}, r"dropout must be a number in \[0, 1\), got None"),
        ({"dropout": float("nan")}, r"dropout must be a number in \[0, 1\), got nan"),
        ({"dropout": True}, r"dropout must be a number in \[0, 1\), got True"),
        ({"seed": "a"}, r"seed must be an integer.*, got 'a'"),
        ({"seed": 1.5}, r"seed must be an integer.*, got 1\.5"),
    ],
)
def test_unsupported_argument(arguments, message):
    arguments = {"units": 4, **arguments}
    if not isinstance(arguments["units"], list):
        arguments = {"num_layers": 2, **arguments}
    with pytest.raises(ValueError, match=message):
        DeepRNN(**arguments)


# === Cells created by a callable ===


def test_activation_for_callable_cell_is_rejected():
    with pytest.raises(
        ValueError, match=r"activation is not supported for layer 2, .*gru_cell.*; pass None for this layer"
    ):
        DeepRNN(3, cell=["gru", gru_cell], num_layers=2, activation="relu")


def test_activation_for_named_cell_next_to_callable_cell():
    layer = DeepRNN(3, cell=["gru", gru_cell], num_layers=2, activation=["relu", None])
    assert layer.activations == [keras.activations.relu, None]


@pytest.mark.parametrize("name", ["kernel_initializer", "recurrent_initializer", "bias_initializer"])
def test_initializer_for_callable_cells_is_rejected(name):
    with pytest.raises(ValueError, match=rf"{name} has no effect on cells created by a callable"):
        DeepRNN(3, 2, cell=gru_cell, **{name: "zeros"})


@pytest.mark.parametrize(
    ("make_cell", "message"),
    [
        (lambda units: units, r"cell must be .*callable\(units\) that returns a Keras cell, .*returned int"),
        (lambda units: None, r"cell must be .*returned NoneType"),
        (keras.layers.Dense, r"cell must be .*returned Dense without state_size"),
        (lambda units: gru_cell(units + 1), r"must return a cell with 3 units, got 4"),
        (
            nested_cells,
            r"cell: state_size must be an integer or a flat list .*use num_layers instead of StackedRNNCells",
        ),
    ],
)
def test_callable_that_returns_unsupported_cell(make_cell, message):
    with pytest.raises(ValueError, match=message):
        DeepRNN(3, cell=make_cell)


def test_config_with_unregistered_cell_class():
    """Keras' `from_config` turns any error into a TypeError that contains its message."""
    config = DeepRNN(3, cell=UnregisteredCell).get_config()
    with pytest.raises(TypeError, match=r"cell 'UnregisteredCell' is not registered; .*register_keras_serializable"):
        DeepRNN.from_config(config)


# === Initializers for another cell ===


def test_scaled_identity_for_gated_cell_is_rejected():
    with pytest.raises(ValueError, match=r"ScaledIdentity requires a square shape \(h, h\), got .*use PerGate"):
        DeepRNN(4, cell="lstm", recurrent_initializer=ScaledIdentity()).build((2, 3, 5))


def test_forget_bias_for_cell_without_gates_is_rejected():
    with pytest.raises(ValueError, match=r"cell 'rnn' has no gate that keeps its state .*; use 'lstm' or 'gru'"):
        DeepRNN(4, cell=["lstm", "rnn"], num_layers=2, bias_initializer=ForgetBias())


@pytest.mark.parametrize("initializer", [PerGate("zeros", cell="gru"), ForgetBias(cell="gru"), ChronoBias(9, "gru")])
def test_initializer_for_another_cell_is_rejected(initializer):
    """The shape does not reveal the mismatch: an LSTM with 3 units has 12 columns, as does a GRU with 4 units."""
    role = "kernel_initializer" if isinstance(initializer, PerGate) else "bias_initializer"
    with pytest.raises(ValueError, match=r"'gru'.*'lstm'|'lstm'.*'gru'"):
        DeepRNN(3, cell="lstm", **{role: initializer}).build((2, 3, 3))


# === Inputs ===


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3), r"x must have rank 3, \(n, T, d\), got shape \(2, 3\); token ids .*Embedding"),
        ((2, 3, 4, 5), r"x must have rank 3, \(n, T, d\), got shape \(2, 3, 4, 5\)"),
        ((2, 0, 3), r"x must have at least one time step, got shape \(2, 0, 3\)"),
    ],
)
@pytest.mark.parametrize("built", [False, True])
def test_unsupported_shape(built, shape, message):
    layer = DeepRNN(2, 2, "gru")
    if built:
        layer.build((None, None, 3))
    with pytest.raises(ValueError, match=message):
        layer(zeros(*shape))


def test_unknown_number_of_features_is_rejected():
    with pytest.raises(ValueError, match=r"x must have a known number of features d, got shape \(None, 3, None\)"):
        DeepRNN(2)(keras.Input((3, None)))


def test_changed_number_of_features_is_rejected():
    layer = DeepRNN(2, 2, "gru")
    layer.build((None, None, 3))
    with pytest.raises(ValueError, match=r"x must have d = 3 features, got shape \(2, 4, 5\)"):
        layer(zeros(2, 4, 5))


def test_changed_number_of_features_in_second_model_is_rejected():
    layer = DeepRNN(2, 2, "gru")
    layer(keras.Input((None, 3)))
    with pytest.raises(ValueError, match=r"x must have d = 3 features, got shape \(None, None, 5\)"):
        layer(keras.Input((None, 5)))


def test_stateful_on_another_backend_requires_fixed_batch_size(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "numpy")
    with pytest.raises(
        ValueError, match=r"on the numpy backend, .*known batch size, got .*\(None, 4, 3\).*batch_shape"
    ):
        DeepRNN(2, stateful=True).build((None, 4, 3))
    layer = DeepRNN(2, 2, "gru", stateful=True)
    layer.build((2, 4, 3))
    with pytest.raises(
        ValueError, match=r"must have batch size 2, with which the layer was built, got shape \(3, 4, 3\)"
    ):
        layer(zeros(3, 4, 3))


def test_stateful_batch_size_changes_only_after_reset():
    layer = DeepRNN(2, 2, "gru", stateful=True, name="streams")
    layer(zeros(2, 4, 3))
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"streams: stateful=True carries .*Previous and current batch size:(.|\n)*2(.|\n)*3",
    ):
        layer(zeros(3, 4, 3))
    layer.reset_state()
    assert layer(zeros(3, 4, 3)).shape == (3, 2)


@pytest.mark.parametrize(
    ("stateful", "reset_mask", "message"),
    [
        (False, np.ones(2, bool), r"reset_mask of shape \(n,\) requires stateful=True"),
        (True, np.ones(2, "int32"), r"reset_mask must be bool of shape \(n, T\) or \(n,\), got int32 of shape \(2,\)"),
        (
            True,
            np.ones((2, 1), bool),
            r"reset_mask must have shape \(n, T\), the first axes of x, \(2, 4\), got shape \(2, 1\)",
        ),
    ],
)
def test_unsupported_reset_mask(stateful, reset_mask, message):
    with pytest.raises(ValueError, match=message):
        DeepRNN(2, stateful=stateful)(zeros(2, 4, 3), reset_mask=reset_mask)


@pytest.mark.parametrize("penalty", ["ar", "tar"])
def test_unsupported_activation_regularization(penalty):
    with pytest.raises(ValueError, match=f"{penalty} must be a non-negative number, got -1"):
        DeepRNN(2, return_sequences=True, **{penalty: -1})
    with pytest.raises(ValueError, match=f"{penalty}=2 .*require return_sequences=True"):
        DeepRNN(2, **{penalty: 2})


# === Initial states ===

H = zeros(2, 3)


@pytest.mark.parametrize(
    ("cell", "state", "received"),
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
def test_unsupported_initial_state(cell, state, received):
    layer = DeepRNN(3, 2, cell)
    layer.build((None, None, 1))
    supported = r"\[\(n, 3\), \(n, 3\)\]" if cell == "gru" else r"\[\[\(n, 3\), \(n, 3\)\], \[\(n, 3\), \(n, 3\)\]\]"
    with pytest.raises(
        ValueError,
        match=rf"initial_state must be a list with one entry per layer, of shapes {supported}, got .*{received}",
    ):
        layer(zeros(2, 2, 1), initial_state=state)


def test_initial_state_of_one_layer_must_be_a_list():
    with pytest.raises(ValueError, match=r"initial_state must be a list .*\[\[\(n, 3\), \(n, 3\)\]\], got"):
        DeepRNN(3)(zeros(2, 2, 1), initial_state=[H, H])


def test_initial_state_without_backward_states_is_rejected():
    with pytest.raises(ValueError, match=r"initial_state must be .*\[\[\(n, 3\), \(n, 3\)\]\], got"):
        DeepRNN(3, cell="gru", bidirectional=True)(zeros(2, 2, 1), initial_state=[H])


def test_symbolic_initial_state_of_another_width_is_rejected():
    with pytest.raises(ValueError, match=r"initial_state must be .*\[\(n, 3\)\], got .*\(None, 4\)"):
        DeepRNN(3, cell="gru")(keras.Input((None, 1)), initial_state=[keras.Input((4,))])
