"""Widths of a stack, and weight counts compared with formulas and with built layers."""

import pytest

from deeprnn_keras import DeepRNN, count_params
from deeprnn_keras.stack import check_connection, layer_input_dims, layer_units, output_width

# weights of one layer: G gates of h (d + h + number of bias vectors)
ONE_LAYER = {
    "rnn": lambda d, h: h * (d + h + 1),
    "gru": lambda d, h: 3 * h * (d + h + 2),
    "lstm": lambda d, h: 4 * h * (d + h + 1),
}


@pytest.mark.parametrize(
    ("units", "num_layers", "expected"),
    [(5, None, [5]), (5, 1, [5]), (5, 3, [5, 5, 5]), ([5], None, [5]), ([5, 2], None, [5, 2]), ((5, 2), 2, [5, 2])],
)
def test_layer_units(units, num_layers, expected):
    assert layer_units(units, num_layers) == expected


@pytest.mark.parametrize(
    ("connection", "bidirectional", "expected"),
    [
        ("stack", False, [7, 2, 3]),
        ("stack", True, [7, 4, 6]),
        ("residual", False, [7, 2, 3]),
        ("skip", False, [7, 2 + 7, 3 + 7]),
        ("skip", True, [7, 4 + 7, 6 + 7]),
    ],
)
def test_layer_input_dims(connection, bidirectional, expected):
    assert layer_input_dims([2, 3, 4], 7, connection, bidirectional) == expected


@pytest.mark.parametrize(
    ("connection", "bidirectional", "expected"),
    [("stack", False, 4), ("stack", True, 8), ("residual", False, 4), ("skip", False, 9), ("skip", True, 18)],
)
def test_output_width(connection, bidirectional, expected):
    assert output_width([2, 3, 4], connection, bidirectional) == expected


def test_residual_requires_equal_widths():
    assert check_connection("residual", [3, 3]) == "residual"
    assert check_connection("skip", [3, 4]) == "skip"
    with pytest.raises(ValueError, match=r"widths must be equal, got \[3, 4\]"):
        check_connection("residual", [3, 4])


@pytest.mark.parametrize("cell", ONE_LAYER)
def test_count_params_of_one_layer(cell):
    assert count_params(5, 3, cell=cell) == ONE_LAYER[cell](5, 3)


@pytest.mark.parametrize("cell", ONE_LAYER)
def test_count_params_with_connections(cell):
    layer_params = ONE_LAYER[cell]
    assert count_params(5, [2, 3], cell=cell) == layer_params(5, 2) + layer_params(2, 3)
    assert count_params(5, 3, 2, cell, "residual") == layer_params(5, 3) + layer_params(3, 3)
    assert count_params(5, [2, 3], cell=cell, connection="skip") == layer_params(5, 2) + layer_params(2 + 5, 3)
    assert count_params(5, [2, 3], cell=cell, bidirectional=True) == 2 * (layer_params(5, 2) + layer_params(2 * 2, 3))
    skip_bidirectional = count_params(5, [2, 3], cell=cell, connection="skip", bidirectional=True)
    assert skip_bidirectional == 2 * (layer_params(5, 2) + layer_params(2 * 2 + 5, 3))


def test_count_params_of_mixed_cells():
    expected = ONE_LAYER["gru"](5, 2) + ONE_LAYER["lstm"](2, 3) + ONE_LAYER["rnn"](3, 4)
    assert count_params(5, [2, 3, 4], cell=["gru", "lstm", "rnn"]) == expected


def test_count_params_of_published_networks():
    """Zaremba et al. 2014: LSTMs of 2 x 200, 2 x 650, and 2 x 1500 units on embeddings of the same width."""
    assert [count_params(h, h, 2) for h in (200, 650, 1500)] == [641_600, 6_765_200, 36_012_000]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("cell", "connection"),
    [("rnn", "stack"), ("gru", "residual"), ("lstm", "skip"), (["gru", "lstm", "rnn"], "skip"), ("lstm", "stack")],
)
def test_count_params_equals_the_built_layer(cell, connection, bidirectional):
    units = 3 if connection == "residual" else [2, 4, 3]
    layer = DeepRNN(units, 3, cell, connection=connection, bidirectional=bidirectional)
    layer.build((None, None, 5))
    assert count_params(5, units, 3, cell, connection, bidirectional) == layer.count_params()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_dim": 0}, r"input_dim must be a positive integer, got 0"),
        ({"units": -1}, r"units .*got -1"),
        ({"num_layers": 0}, r"num_layers .*got 0"),
        ({"units": [2], "num_layers": 2}, r"units .*\(2\), got a list of 1"),
        ({"cell": "lstn"}, r"unknown cell 'lstn'; did you mean 'lstm'"),
        ({"cell": ["gru", "gru"]}, r"cell .*\(1\), got a list of 2"),
        ({"cell": int}, r"unknown cell <class 'int'>"),
        ({"connection": "skp"}, r"unknown connection 'skp'; did you mean 'skip'"),
        ({"units": [2, 3], "connection": "residual"}, r"equal, got \[2, 3\]"),
    ],
)
def test_unsupported_arguments_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        count_params(**{"input_dim": 4, "units": 3, **arguments})
