"""The hyper-parameters of a search: ranges, conditional scopes, complete records, errors."""

import keras_tuner
import pytest

from deeprnn_keras import zoo
from deeprnn_keras.tuning import HyperDeepRNN
from deeprnn_keras.tuning.ranges import KINDS, Between, Choices, Fixed, as_range, cell_of, cell_text
from deeprnn_keras.tuning.space import DEFAULTS, Space

OWN = {"inputs": 8, "outputs": 1, "loss": "mse"}


def declared(space, **values):
    """-> (the active values, all that was entered) with some values given."""
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    return space.declare(hp), hp


# === Ranges ===


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("units", (32, 512), Between(32, 512, log=True)),
        ("units", (64, 64), Fixed(64)),
        ("units", [128, 64, 128], Choices((128, 64))),
        ("units", 7, Fixed(7)),
        ("num_layers", (1, 4), Between(1, 4)),
        ("learning_rate", (1e-4, 1e-2), Between(1e-4, 1e-2, log=True)),
        ("dropout", (0, 0.5), Between(0.0, 0.5)),
        ("cell", ("lstm", "gru"), Choices(("lstm", "gru"))),
        ("cell", {"name": "rhn", "depth": 3}, Fixed("rhn depth=3")),
        ("global_clipnorm", [1, 5], Choices((1.0, 5.0))),
    ],
)
def test_ranges_and_choices(name, given, wanted):
    assert as_range(name, given, KINDS[name]) == wanted


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("units", (512, 32), r"units = \(512, 32\) is an empty range: 512 is above 32"),
        ("units", [], "units must have at least one value"),
        ("units", (0, 4), "units must be a positive integer, got 0"),
        ("units", (1, 2, 3), r"units must be a value, a list of values or \(low, high\)"),
        ("num_layers", 1.5, "num_layers must be a positive integer"),
        ("dropout", (0.0, 1.0), r"dropout must be a number in \[0, 1\), got 1.0"),
        ("learning_rate", 0, "learning_rate must be a positive number, got 0"),
        ("cell", ["lstm", "gruu"], "unknown cell 'gruu'; did you mean 'gru'"),
        ("connection", "residuel", "unknown connection 'residuel'; did you mean 'residual'"),
    ],
)
def test_bad_ranges_are_refused(name, given, message):
    with pytest.raises(ValueError, match=message):
        HyperDeepRNN(**OWN, **{name: given})


def test_cell_with_options_round_trips_as_text():
    cell = {"name": "rhn", "depth": 5, "coupled": False}
    assert cell_of(cell_text(cell)) == cell
    assert cell_of("lstm") == "lstm"


# === Scopes ===


def test_only_effective_hyperparameters_are_active():
    space = Space(DEFAULTS)
    values, hp = declared(space, num_layers=1, cell="rnn")
    assert values.keys() == {"num_layers", "units", "cell", "learning_rate", "global_clipnorm"}
    values, _ = declared(space, num_layers=2, cell="gru")
    assert values.keys() == {
        "num_layers",
        "units",
        "cell",
        "learning_rate",
        "global_clipnorm",
        "dropout",
        "forget_bias",
    }
    values, _ = declared(space, num_layers=3, cell="lstm")
    assert "connection" in values and "dropout" in values
    wanted = {"num_layers", "units", "cell", "connection", "dropout", "learning_rate", "global_clipnorm", "forget_bias"}
    assert {entry.name for entry in hp.space} == wanted  # the inactive ones too: every record is complete


def test_units_of_each_layer():
    space = Space(DEFAULTS, tied=False)
    values, hp = declared(space, num_layers=2)
    assert {"units_1", "units_2"} <= values.keys() and "units_3" not in values
    assert {entry.name for entry in hp.space} >= {"units_1", "units_2", "units_3", "units_4"}
    values = {"num_layers": 2, "units_1": 8, "units_2": 16, "units_3": 99}
    assert space.overrides(values)["units"] == (8, 16)
    assert space.ranges["connection"] == Fixed("stack")


def test_never_active_hyperparameters_are_not_declared():
    _, hp = declared(Space({**DEFAULTS, "num_layers": 1, "cell": "rnn"}))
    assert {entry.name for entry in hp.space} == {"num_layers", "units", "cell", "learning_rate", "global_clipnorm"}


def test_fixed_and_omitted_hyperparameters():
    hyper = HyperDeepRNN(zoo.info("char_rnn_2x512"), num_layers=None, units=64, cell=None, dropout=None)
    found = hyper.resolve(
        {"num_layers": 2, "units": 64, "learning_rate": 0.01, "global_clipnorm": 1.0, "forget_bias": 5.0}
    )
    config = found.config
    assert (config.num_layers, config.units, config.cell, config.dropout) == (2, 64, "lstm", 0.5)
    assert (config.recipe.learning_rate, config.recipe.global_clipnorm, config.recipe.clipvalue) == (0.01, 1.0, None)
    assert config.initialization.forget_bias == 5.0


def test_draw_reaches_the_model():
    hyper = HyperDeepRNN(**OWN, units=(4, 16))
    hp = keras_tuner.HyperParameters()
    hp.values = {
        "num_layers": 3,
        "units": 6,
        "cell": "gru",
        "connection": "residual",
        "dropout": 0.25,
        "learning_rate": 0.00123456,
        "global_clipnorm": 5.0,
        "forget_bias": 1.0,
    }
    model = hyper.build(hp)
    layer = model.get_layer("deep_rnn")
    assert (layer.units, layer.cells, layer.connection, layer.dropout) == ([6] * 3, ["gru"] * 3, "residual", 0.25)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001235, rel=1e-6)
    assert model.count_params() == hyper.resolve(hp.values).weights


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match="params solves one h for all layers"):
        HyperDeepRNN(**OWN, params=1000, tie_units=False)
    with pytest.raises(ValueError, match="'residual' needs equal units"):
        HyperDeepRNN(**OWN, tie_units=False, connection=["stack", "residual"])
    with pytest.raises(ValueError, match="tie_units=False searches one h per layer"):
        HyperDeepRNN(**OWN, tie_units=False, units=None)
    with pytest.raises(ValueError, match="outputs, loss is missing"):
        HyperDeepRNN(inputs=8)
    with pytest.raises(ValueError, match="got both"):
        HyperDeepRNN(zoo.info("d2l_rnn_2x32"), inputs=8)
    with pytest.raises(ValueError, match=r"inputs must be d or \(T, d\)"):
        HyperDeepRNN(inputs=(1, 2, 3), outputs=1, loss="mse")
