"""Overrides of the fields of the zoo's configurations."""

import pytest

from deeprnn_keras import zoo


def test_overrides_change_model_and_recipe():
    config = zoo.info("kjv_lstm_2x256", units=16, num_layers=3, dropout=0.25, learning_rate=0.5, bptt=9)
    assert (config.units, config.num_layers, config.dropout) == (16, 3, 0.25)
    assert (config.recipe.learning_rate, config.recipe.bptt, config.recipe.global_clipnorm) == (0.5, 9, 1.0)
    assert config.count_params() == 66 * 64 + 4 * 16 * (64 + 16 + 1) + 2 * 4 * 16 * 33 + 17 * 66
    assert zoo.info("kjv_lstm_2x256").units == 256, "the entry itself is unchanged"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"unit": 3}, "unknown override 'unit'; did you mean 'units'"),
        ({"learning_rat": 3}, "did you mean 'learning_rate'"),
        ({"weights": "mine"}, "unknown override 'weights'"),
        ({"recipe": None}, "unknown override 'recipe'"),
        ({"learning_rate": -1}, "learning_rate must"),
        ({"bptt": 0}, "bptt must"),
        ({"units": 0}, "units must"),
        ({"num_layers": 0}, "num_layers must"),
        ({"cell": "lstn"}, "did you mean 'lstm'"),
        ({"cell": ["lstm", "gru", "rnn"]}, "one entry per layer"),
        ({"units": [8, 8, 8]}, "one entry per layer"),
        ({"connection": "residual", "units": [8, 4]}, "must be equal"),
        ({"dropout": 1.0}, "dropout must"),
        ({"input_dropout": -0.5}, "input_dropout must"),
        ({"embedding": 0}, "embedding must"),
    ],
    ids=str,
)
def test_invalid_override_is_rejected_without_building(overrides, message):
    with pytest.raises(ValueError, match=message):
        zoo.count_params("kjv_lstm_2x256", **overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        {"cell": "rnn", "units": 5},
        {"cell": ["gru", "lstm"], "units": [4, 3], "connection": "skip"},
        {"cell": "gru", "units": 4, "num_layers": 3, "connection": "residual", "embedding": 2, "vocabulary": "abc"},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["char_rnn_2x128", "zaremba_small", "kjv_lstm_2x256"])
def test_overridden_model_matches_counted_params(name, overrides):
    overrides = {"vocabulary": 30, **overrides}
    model = zoo.create_model(name, **overrides)
    assert model.count_params() == zoo.count_params(name, **overrides)


def test_global_and_value_clipping_replace_each_other():
    """char-rnn clips by value; a Keras optimizer supports only one kind of clipping."""
    recipe = zoo.info("char_rnn_2x128", global_clipnorm=1.0).recipe
    assert (recipe.global_clipnorm, recipe.clipvalue) == (1.0, None)
    recipe = zoo.info("kjv_lstm_2x256", clipvalue=2.0).recipe
    assert (recipe.global_clipnorm, recipe.clipvalue) == (None, 2.0)


def test_error_lists_models_with_trained_weights():
    with pytest.raises(
        ValueError, match=r"d2l_rnn_2x32 has no trained weights; models with trained weights: .*kjv_lstm_2x256"
    ):
        zoo.create_model("d2l_rnn_2x32", pretrained=True)
