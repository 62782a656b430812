"""The geometry of a stack: widths, and numbers of weights by formula and by building."""

import pytest

from deeprnn_keras import DeepRNN, count_params
from deeprnn_keras.stack import check_connection, layer_input_dims, layer_units, output_width

# one layer: G gates of h (d + h + bias vectors)
ONE_LAYER = {
    "rnn": lambda d, h: h * (d + h + 1),
    "gru": lambda d, h: 3 * h * (d + h + 2),
    "lstm": lambda d, h: 4 * h * (d + h + 1),
}


@pytest.mark.parametrize(
    ("units", "num_layers", "wanted"),
    [(5, None, [5]), (5, 1, [5]), (5, 3, [5, 5, 5]), ([5], None, [5]), ([5, 2], None, [5, 2]), ((5, 2), 2, [5, 2])],
)
def test_layer_units(units, num_layers, wanted):
    assert layer_units(units, num_layers) == wanted


@pytest.mark.parametrize(
    ("connection", "bidirectional", "wanted"),
    [
        ("stack", False, [7, 2, 3]),
        ("stack", True, [7, 4, 6]),
        ("residual", False, [7, 2, 3]),
        ("skip", False, [7, 2 + 7, 3 + 7]),
        ("skip", True, [7, 4 + 7, 6 + 7]),
    ],
)
def test_layer_input_dims(connection, bidirectional, wanted):
    assert layer_input_dims([2, 3, 4], 7, connection, bidirectional) == wanted


@pytest.mark.parametrize(
    ("connection", "bidirectional", "wanted"),
    [("stack", False, 4), ("stack", True, 8), ("residual", False, 4), ("skip", False, 9), ("skip", True, 18)],
)
def test_output_width(connection, bidirectional, wanted):
    assert output_width([2, 3, 4], connection, bidirectional) == wanted


def test_residual_needs_equal_widths():
    assert check_connection("residual", [3, 3]) == "residual"
    assert check_connection("skip", [3, 4]) == "skip"
    with pytest.raises(ValueError, match=r"units must be equal, got \[3, 4\]"):
        check_connection("residual", [3, 4])


@pytest.mark.parametrize("cell", ONE_LAYER)
def test_count_one_layer(cell):
    assert count_params(5, 3, cell=cell) == ONE_LAYER[cell](5, 3)


@pytest.mark.parametrize("cell", ONE_LAYER)
def test_count_connections(cell):
    one = ONE_LAYER[cell]
    assert count_params(5, [2, 3], cell=cell) == one(5, 2) + one(2, 3)
    assert count_params(5, 3, 2, cell, "residual") == one(5, 3) + one(3, 3)
    assert count_params(5, [2, 3], cell=cell, connection="skip") == one(5, 2) + one(2 + 5, 3)
    assert count_params(5, [2, 3], cell=cell, bidirectional=True) == 2 * (one(5, 2) + one(2 * 2, 3))
    skip_both_ways = count_params(5, [2, 3], cell=cell, connection="skip", bidirectional=True)
    assert skip_both_ways == 2 * (one(5, 2) + one(2 * 2 + 5, 3))


def test_count_mixed_cells():
    wanted = ONE_LAYER["gru"](5, 2) + ONE_LAYER["lstm"](2, 3) + ONE_LAYER["rnn"](3, 4)
    assert count_params(5, [2, 3, 4], cell=["gru", "lstm", "rnn"]) == wanted


def test_count_of_published_networks():
    """Zaremba et al. 2014: LSTM of 2 x 200, 2 x 650 and 2 x 1500 units that read embeddings of the same width."""
    assert [count_params(h, h, 2) for h in (200, 650, 1500)] == [641_600, 6_765_200, 36_012_000]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("cell", "connection"),
    [("rnn", "stack"), ("gru", "residual"), ("lstm", "skip"), (["gru", "lstm", "rnn"], "skip"), ("lstm", "stack")],
)
def test_count_is_that_of_the_built_layer(cell, connection, bidirectional):
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
def test_count_refuses_what_the_layer_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        count_params(**{"input_dim": 4, "units": 3, **arguments})
