"""User-defined cells by name."""

from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from fast_implementations import FASTEST
from oracles import assert_close

from deeprnn_keras import (
    RNN,
    AffineMap,
    DeepRNN,
    Equations,
    RecurrentCell,
    count_params,
    explain_kernels,
    register_cell,
)
from deeprnn_keras.cells import RHNCell


@dataclass(frozen=True)
class Minimal(Equations):
    """Minimal gated unit (Zhou et al. 2016).

    f = s(x W_f + h U_f + b_f),  h' = (1 - f) h + f a(x W + (f h) U + b)
    """

    activations = {"activation": "tanh", "recurrent_activation": "sigmoid"}  # noqa: RUF012

    def maps(self, input_dim):
        blocks = ("forget", "candidate")
        return [
            AffineMap("kernel", input_dim, self.units, blocks, bias="bias"),
            AffineMap("recurrent_kernel", self.units, self.units, blocks, role="recurrent"),
        ]

    def step(self, x, states, linear, f):
        (h,) = states
        gate = f.recurrent_activation(x["forget"] + linear("recurrent_kernel", h, "forget")["forget"])
        new = f.activation(x["candidate"] + linear("recurrent_kernel", gate * h, "candidate")["candidate"])
        return [h + gate * (new - h)]


@register_cell("minimal_gated_for_tests")
@keras.saving.register_keras_serializable(package="tests")
class MinimalCell(RecurrentCell):
    equations_class = Minimal


def test_registered_cell_with_equations(rng, tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), DeepRNN([4, 5], cell="minimal_gated_for_tests")])
    layer = model.layers[0]
    assert {row.kernel for row in explain_kernels(model)} == {"xla"}
    assert model.count_params() == count_params(3, [4, 5], cell="minimal_gated_for_tests") == 2 * 4 * 8 + 2 * 5 * 10
    x = rng.normal(size=(2, 6, 3)).astype("float32")
    loop = DeepRNN([4, 5], cell="minimal_gated_for_tests", implementation="loop")
    loop(x)
    loop.set_weights(layer.get_weights())
    results = []
    for implementation in (layer, loop):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(implementation(x, training=True) ** 2)
        results.append(tape.gradient(loss, [w.value for w in implementation.trainable_weights]))
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected.numpy())
    model.save(tmp_path / "model.keras")
    assert_close(keras.models.load_model(tmp_path / "model.keras")(x), model(x).numpy(), 0)


def test_registered_partial_with_other_options(rng):
    register_cell("rhn_7_for_tests", partial(RHNCell, depth=7))
    layer = DeepRNN(4, cell="rhn_7_for_tests")
    layer(np.zeros((1, 2, 3), "float32"))
    assert layer.count_params() == count_params(3, 4, cell="rhn_7_for_tests") == 2 * 4 * (3 + 7 * 5)


class AddingCell(keras.layers.Layer):
    """Keras cell without equations, h' = h + x."""

    def __init__(self, units, **kwargs):
        super().__init__(dtype=kwargs.get("dtype"))
        self.units = self.state_size = self.output_size = units

    def call(self, inputs, states):
        return inputs + states[0], [inputs + states[0]]


def test_rnn_with_keras_cells_equals_keras_rnn(rng):
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    for cell in (keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell):
        ours, reference = RNN(cell(4), return_sequences=True), keras.layers.RNN(cell(4), return_sequences=True)
        ours(x), reference(x)
        reference.set_weights(ours.get_weights())
        assert_close(ours(x), reference(x).numpy(), 1e-6)
        (row,) = explain_kernels(ours)
        assert (row.kernel, row.gpu_kernel) == (FASTEST, "loop")


def test_registered_keras_cell_without_equations(rng):
    register_cell("without_equations_for_tests", AddingCell)
    layer = DeepRNN(4, cell="without_equations_for_tests")
    assert layer(np.zeros((1, 2, 4), "float32")).shape == (1, 4)
    assert explain_kernels(layer)[0].kernel == "loop"
    with pytest.raises(ValueError, match=r"'without_equations_for_tests' has no equations, .*; build the layer"):
        count_params(3, 4, cell="without_equations_for_tests")


def test_taken_name_and_non_callable_are_rejected():
    with pytest.raises(ValueError, match="constructor must be a callable"):
        register_cell("seven_for_tests", 7)
    with pytest.raises(ValueError, match="a cell named 'rhn' exists already; choose another name"):
        register_cell("rhn", RHNCell)


def test_incomplete_equations_are_rejected():
    class NoMaps(RecurrentCell):
        equations_class = Equations

    with pytest.raises(ValueError, match="Equations, the equations_class of NoMaps, must implement maps and step"):
        NoMaps(3)
    with pytest.raises(ValueError, match="RecurrentCell must set equations_class"):
        RecurrentCell(3)
