"""Search space: ranges, hyperparameters that are active only under a condition, sampled values, and errors."""

import keras_tuner
import pytest

from deeprnn_keras import zoo
from deeprnn_keras.tuning import HyperDeepRNN
from deeprnn_keras.tuning.hyperparameters import (
    TYPES,
    Choice,
    Fixed,
    Range,
    as_hyperparameter,
    cell_from_text,
    cell_to_text,
)
from deeprnn_keras.tuning.search_space import DEFAULTS, SearchSpace

CUSTOM_MODEL = {"inputs": 8, "outputs": 1, "loss": "mse"}


def declared(space, **values):
    """Declare the hyperparameters of a space; return {name: value} of those active for `values`, and all of them."""
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    return space.declare(hp), hp


# === Ranges ===


@pytest.mark.parametrize("sampling", ["log", "linear"])
def test_integers_stay_within_their_range(sampling):
    """keras-tuner returns high + 1 for the highest probability, which a Gaussian process proposes."""

    class Highest(keras_tuner.HyperParameters):
        def Int(self, name, min_value, max_value, **options):
            return keras_tuner.engine.hyperparameters.Int(name, min_value, max_value, **options).prob_to_value(1.0)

    assert Range(8, 64, sampling == "log").declare(Highest(), "units") == 64


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("units", (32, 512), Range(32, 512, log=True)),
        ("units", (64, 64), Fixed(64)),
        ("units", [128, 64, 128], Choice((128, 64))),
        ("units", 7, Fixed(7)),
        ("num_layers", (1, 4), Range(1, 4)),
        ("dropout", (0.123421, 0.987654), Range(0.1235, 0.9876)),
        ("learning_rate", (1e-4, 1e-2), Range(1e-4, 1e-2, log=True)),
        ("dropout", (0, 0.5), Range(0.0, 0.5)),
        ("cell", ("lstm", "gru"), Choice(("lstm", "gru"))),
        ("cell", {"name": "rhn", "depth": 3}, Fixed("rhn depth=3")),
        ("global_clipnorm", [1, 5], Choice((1.0, 5.0))),
    ],
)
def test_ranges_and_choices(name, spec, expected):
    assert as_hyperparameter(name, spec, TYPES[name]) == expected


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("units", (512, 32), r"units must be \(low, high\) with low <= high, got \(512, 32\)"),
        ("units", [], "units must have at least one value"),
        ("units", (0, 4), "units must be a positive integer, got 0"),
        ("units", (1, 2, 3), r"units must be a value, a list of values, or \(low, high\)"),
        ("num_layers", 1.5, "num_layers must be a positive integer"),
        ("dropout", (0.0, 1.0), r"dropout must be a number in \[0, 1\), got 1.0"),
        ("learning_rate", 0, "learning_rate must be a positive number, got 0"),
        ("cell", ["lstm", "gruu"], "unknown cell 'gruu'; did you mean 'gru'"),
        ("connection", "residuel", "unknown connection 'residuel'; did you mean 'residual'"),
    ],
)
def test_unsupported_ranges_are_rejected(name, spec, message):
    with pytest.raises(ValueError, match=message):
        HyperDeepRNN(**CUSTOM_MODEL, **{name: spec})


def test_cell_with_options_round_trips_as_text():
    cell = {"name": "rhn", "depth": 5, "coupled": False}
    assert cell_from_text(cell_to_text(cell)) == cell
    assert cell_from_text("lstm") == "lstm"


# === Active hyperparameters ===


def test_only_effective_hyperparameters_are_active():
    space = SearchSpace(DEFAULTS)
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
    expected = {
        "num_layers",
        "units",
        "cell",
        "connection",
        "dropout",
        "learning_rate",
        "global_clipnorm",
        "forget_bias",
    }
    assert {entry.name for entry in hp.space} == expected  # inactive ones are declared, too


def test_units_of_each_layer():
    space = SearchSpace(DEFAULTS, tie_units=False)
    values, hp = declared(space, num_layers=2)
    assert {"units_1", "units_2"} <= values.keys() and "units_3" not in values
    assert {entry.name for entry in hp.space} >= {"units_1", "units_2", "units_3", "units_4"}
    values = {"num_layers": 2, "units_1": 8, "units_2": 16, "units_3": 99}
    assert space.overrides(values)["units"] == (8, 16)
    assert space.hyperparameters["connection"] == Fixed("stack")


def test_never_active_hyperparameters_are_not_declared():
    _, hp = declared(SearchSpace({**DEFAULTS, "num_layers": 1, "cell": "rnn"}))
    assert {entry.name for entry in hp.space} == {"num_layers", "units", "cell", "learning_rate", "global_clipnorm"}


def test_fixed_and_omitted_hyperparameters():
    hyper = HyperDeepRNN(zoo.info("char_rnn_2x512"), num_layers=None, units=64, cell=None, dropout=None)
    candidate = hyper.resolve(
        {"num_layers": 2, "units": 64, "learning_rate": 0.01, "global_clipnorm": 1.0, "forget_bias": 5.0}
    )
    config = candidate.config
    assert (config.num_layers, config.units, config.cell, config.dropout) == (2, 64, "lstm", 0.5)
    assert (config.recipe.learning_rate, config.recipe.global_clipnorm, config.recipe.clipvalue) == (0.01, 1.0, None)
    assert config.initialization.forget_bias == 5.0


def test_sampled_values_reach_the_model():
    hyper = HyperDeepRNN(**CUSTOM_MODEL, units=(4, 16))
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
    assert model.count_params() == hyper.resolve(hp.values).num_params


def test_contradictory_arguments_are_rejected():
    with pytest.raises(ValueError, match="params is not supported with tie_units=False"):
        HyperDeepRNN(**CUSTOM_MODEL, params=1000, tie_units=False)
    with pytest.raises(ValueError, match="'residual' is not supported with tie_units=False"):
        HyperDeepRNN(**CUSTOM_MODEL, tie_units=False, connection=["stack", "residual"])


def test_normalized_layers_have_no_other_connection():
    hyper = HyperDeepRNN(zoo.info("griffin_kjv", units=4), cell=None, units=(4, 8))
    assert "connection" not in hyper.space.hyperparameters
    config = hyper.resolve({"num_layers": 2, "units": 8}).config
    assert (config.embedding, config.connection, config.normalization) == (8, "stack", "rms")
    for options in ({"connection": ["stack", "residual"]}, {"tie_units": False}):
        with pytest.raises(ValueError, match="griffin_kjv has normalization='rms', whose residual layers require"):
            HyperDeepRNN(zoo.info("griffin_kjv"), **options)
    with pytest.raises(ValueError, match="tie_units=False searches one h per layer"):
        HyperDeepRNN(**CUSTOM_MODEL, tie_units=False, units=None)
    with pytest.raises(ValueError, match="missing: outputs, loss"):
        HyperDeepRNN(inputs=8)
    with pytest.raises(ValueError, match="got config and inputs"):
        HyperDeepRNN(zoo.info("d2l_rnn_2x32"), inputs=8)
    with pytest.raises(ValueError, match=r"inputs must be d or \(T, d\)"):
        HyperDeepRNN(inputs=(1, 2, 3), outputs=1, loss="mse")
