"""Arguments that `DeepRNN` shares with Keras' layers, compared with stacks of `keras.layers`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import assert_close

from deeprnn_keras import LSTM, DeepRNN, count_params

N, T, D, H, SEED = 3, 5, 3, 4, 11
LAYERS = {"rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
ARGUMENTS = {
    "recurrent_activation": {"recurrent_activation": "hard_sigmoid"},
    "use_bias": {"use_bias": False},
    "reset_after": {"reset_after": False},
    "recurrent_dropout": {"recurrent_dropout": 0.4},
    "all": {
        "recurrent_activation": "relu",
        "use_bias": False,
        "reset_after": False,
        "recurrent_dropout": 0.3,
        "activation": "softsign",
    },
}
REGULARIZED = {
    "kernel_regularizer": "l2",
    "recurrent_regularizer": keras.regularizers.L1(0.02),
    "bias_regularizer": keras.regularizers.L1L2(0.01, 0.03),
}
CONSTRAINED = {
    "kernel_constraint": "non_neg",
    "recurrent_constraint": keras.constraints.MaxNorm(0.5),
    "bias_constraint": "unit_norm",
}


def supported(cell, options):
    """Return the options that the Keras layer supports."""
    absent = {"rnn": {"recurrent_activation", "reset_after"}, "lstm": {"reset_after"}, "gru": set()}[cell]
    return {name: value for name, value in options.items() if name not in absent}


SUPPORTED = [(cell, name) for cell in LAYERS for name, options in ARGUMENTS.items() if supported(cell, options)]


def keras_stack(cell, num_layers, dropout=0.0, bidirectional=False, seed=SEED, **options):
    """Return stacked `keras.layers` with dropout in between, and the recurrent layers; layer l has seed `seed + l`."""
    x = hidden = keras.Input((None, D), dtype=options.get("dtype"))
    layers = []
    for level in range(1, num_layers + 1):
        if level > 1:
            hidden = keras.layers.Dropout(dropout, seed=seed + level)(hidden)
        # not keras.layers.Bidirectional, which copies its layers: the copy of a SimpleRNN loses its seed
        directions = [
            LAYERS[cell](H, return_sequences=True, seed=seed + level, go_backwards=backwards, **options)
            for backwards in (False, True)[: 2 if bidirectional else 1]
        ]
        layers += directions
        outputs = [layer(hidden) for layer in directions]
        hidden = keras.ops.concatenate([outputs[0], keras.ops.flip(outputs[1], 1)], -1) if bidirectional else outputs[0]
    return keras.Model(x, hidden), layers


def equal_stacks(rng, cell, num_layers=2, dropout=0.0, bidirectional=False, **options):
    ours = DeepRNN(
        H, num_layers, cell, dropout=dropout, bidirectional=bidirectional, seed=SEED, return_sequences=True, **options
    )
    ours.build((None, None, D))
    stock, layers = keras_stack(cell, num_layers, dropout, bidirectional, **options)
    weights = [rng.normal(scale=0.6, size=weight.shape) for weight in ours.get_weights()]
    ours.set_weights(weights)
    for layer in layers:
        layer.set_weights([weights.pop(0) for _ in layer.weights])
    return ours, stock


def with_gradients(layer, x, training):
    with tf.GradientTape() as tape:
        output = layer(x, training=training)
        loss = tf.reduce_sum(tf.sin(output)) + sum(layer.losses)
    return output, tape.gradient(loss, [weight.value for weight in layer.trainable_weights])


@pytest.mark.parametrize(
    "training", [pytest.param(False, id="inference", marks=pytest.mark.slow), pytest.param(True, id="training")]
)
@pytest.mark.parametrize(("cell", "argument"), SUPPORTED)
def test_stack_equals_keras_layers(rng, cell, argument, training):
    """Use dropout between layers only with recurrent dropout: then layers run one by one and draw Keras' numbers."""
    options = supported(cell, ARGUMENTS[argument])
    dropout = 0.25 if "recurrent_dropout" in options else 0.0
    ours, stock = equal_stacks(rng, cell, dropout=dropout, **options)
    x = tf.constant(rng.normal(size=(N, T, D)), "float32")
    for _ in range(2):  # each call draws new numbers
        (output, gradients), (expected, expected_gradients) = (
            with_gradients(one, x, training) for one in (ours, stock)
        )
        assert_close(output, expected.numpy(), 1e-5)
        assert_close(gradients, [gradient.numpy() for gradient in expected_gradients], 1e-4)


@pytest.mark.parametrize("cell", LAYERS)
def test_dropout_of_both_directions_equals_keras(rng, cell):
    ours, stock = equal_stacks(rng, cell, dropout=0.25, bidirectional=True, recurrent_dropout=0.4)
    x = tf.constant(rng.normal(size=(N, T, D)), "float32")
    for _ in range(2):
        assert_close(ours(x, training=True), stock(x, training=True).numpy(), 1e-5)


def test_recurrent_dropout_without_seed(rng):
    layer = DeepRNN(H, 2, recurrent_dropout=0.5)
    x = tf.constant(rng.normal(size=(N, T, D)), "float32")
    assert np.any(layer(x, training=True) != layer(x, training=True))
    assert_close(layer(x), layer(x).numpy(), 0)


@pytest.mark.parametrize("cell", LAYERS)
def test_regularizers_and_constraints_equal_those_of_keras_layers(rng, cell):
    ours, stock = equal_stacks(rng, cell, **REGULARIZED, **CONSTRAINED)
    x = tf.constant(rng.normal(size=(N, T, D)), "float32")
    assert len(ours.losses) == len(stock.losses) == 6
    (_, gradients), (_, expected) = (with_gradients(one, x, False) for one in (ours, stock))
    assert_close(gradients, [gradient.numpy() for gradient in expected], 1e-4)
    for layer in (ours, stock):
        keras.optimizers.SGD(0.1).apply(expected, layer.trainable_weights)
    assert_close(ours.get_weights(), stock.get_weights(), 1e-6)
    assert all(np.min(weight) >= 0 for weight in ours.get_weights() if weight.shape[0] == D)


@pytest.mark.parametrize("options", [{}, {"return_state": True}], ids=["output", "states"])
def test_activity_regularizer_equals_keras(rng, options):
    ours = DeepRNN(H, 1, return_sequences=True, activity_regularizer="l2", **options)
    stock = keras.layers.LSTM(H, return_sequences=True, activity_regularizer="l2", **options)
    x = tf.constant(rng.normal(size=(N, T, D)), "float32")
    ours(x), stock(x)  # builds the layers
    stock.set_weights(ours.get_weights())
    ours(x), stock(x)
    assert_close(float(sum(ours.losses)), float(sum(stock.losses)), 1e-5)


def test_regularizers_and_constraints_of_cells_with_equations(rng):
    layer = DeepRNN(
        H, 2, "mlp_gate_lstm", kernel_regularizer="l2", bias_regularizer="l1", recurrent_constraint="non_neg"
    )
    layer.build((None, None, D))
    weights = {weight.path: weight for weight in layer.trainable_weights}
    kernels = [weight for path, weight in weights.items() if "kernel" in path and "recurrent" not in path]
    assert {weight.name for weight in kernels} == {"kernel", "gate_kernel_1"}
    assert all(weight.regularizer is not None for weight in kernels)
    for weight in weights.values():
        assert (weight.constraint is not None) == (weight.name == "recurrent_kernel")
        assert (weight.regularizer is None) == (weight.name == "recurrent_kernel")
    again = DeepRNN.from_config(layer.get_config())
    again.build((None, None, D))
    assert len(again.losses) == len(layer.losses) == 8


def test_cell_options_of_one_layer(rng):
    layer = DeepRNN(H, 2, ["gru", {"name": "gru", "reset_after": False}], return_sequences=True)
    layer.build((None, None, D))
    assert [one.reset_after for one in layer.recurrent_layers] == [True, False]
    assert [weight.shape for weight in layer.get_weights()][2::3] == [(2, 3 * H), (3 * H,)]
    again = DeepRNN.from_config(layer.get_config())
    assert again.cells == layer.cells == ["gru", {"name": "gru", "reset_after": False}]


@pytest.mark.parametrize(
    ("cell", "options"),
    [*((cell, options) for cell in LAYERS for options in ({}, {"use_bias": False})), ("gru", {"reset_after": False})],
    ids=str,
)
def test_count_params_follows_the_arguments(cell, options):
    layer = DeepRNN([H, 3], cell=cell, **options)
    layer.build((None, None, D))
    assert count_params(D, [H, 3], cell=cell, **options) == layer.count_params()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"cell": "rnn", "recurrent_activation": "relu"},
            "recurrent_activation has no effect: no layer has a cell that supports it",
        ),
        ({"cell": "lstm", "reset_after": False}, "reset_after has no effect: no layer has a cell that supports it"),
        ({"cell": "rhn", "use_bias": False}, "use_bias has no effect: no layer has a cell that supports it"),
        ({"recurrent_activation": "sigmoind"}, "unknown recurrent_activation 'sigmoind'; did you mean 'sigmoid'"),
        ({"recurrent_dropout": 1.0}, r"recurrent_dropout must be a number in \[0, 1\), got 1.0"),
        ({"kernel_regularizer": "l3"}, "unknown kernel_regularizer 'l3'"),
        ({"bias_constraint": "positive"}, "unknown bias_constraint 'positive'"),
        (
            {"cell": keras.layers.GRUCell, "kernel_regularizer": "l2"},
            "kernel_regularizer has no effect on cells created by",
        ),
        (
            {"recurrent_dropout": 0.2, "implementation": "cudnn"},
            "implementation='cudnn' is not supported for this layer: recurrent_dropout=0.2 rules out cuDNN",
        ),
        (
            {"recurrent_dropout": 0.2, "implementation": "xla"},
            "implementation='xla' is not supported for this layer: recurrent_dropout=0.2 rules out XLA",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(sorted(value)),
)
def test_arguments_without_effect_or_out_of_range_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        DeepRNN(H, 2, **arguments)


@pytest.mark.parametrize(("old", "new"), [("kernel", "implementation"), ("memory", "remat")])
def test_former_argument_names_are_rejected(old, new):
    for layer in (DeepRNN, LSTM):
        with pytest.raises(
            TypeError, match=f"{layer.__name__} got an unexpected keyword argument '{old}'; it is now '{new}'"
        ):
            layer(H, **{old: "auto"})
    with pytest.raises(TypeError, match="starts"):
        DeepRNN(H, stateful=True)(np.zeros((1, 2, D), "float32"), starts=np.ones(1, bool))
