"""`convert`: which layers become which, equal outputs, masks, states, training, and what is kept."""

import keras
import numpy as np
import pytest

import deeprnn_keras
from deeprnn_keras import DeepRNN, LanguageModel, convert
from deeprnn_keras.interop.conversion import to_deeprnn
from deeprnn_keras.interop.conversion.chains import find_chains
from deeprnn_keras.interop.conversion.equality import ConversionError
from deeprnn_keras.interop.conversion.graph import model_graph
from deeprnn_keras.interop.keras2_layers import TimeMajor

L = keras.layers
SLOW = [pytest.mark.slow]
pytestmark = pytest.mark.usefixtures("eager")


def sequential(*layers, batch_size=None, masked=True, name="speech"):
    masking = [L.Masking(name="masking")] if masked else []
    return keras.Sequential([keras.Input((6, 3), batch_size), *masking, *layers], name=name)


def randomized(rng, model):
    """Return the model with random weights, biases included."""
    for weight in model.weights:
        weight.assign(rng.normal(scale=0.5, size=weight.shape))
    return model


def padded(rng, n=5):
    """Return inputs (n, 6, 3) whose rows end with a different number of masked steps."""
    x = rng.normal(size=(n, 6, 3)).astype("float32")
    for row in range(1, n):
        x[row, 6 - row :] = 0.0
    return x


def assert_equal_outputs(model, other, x):
    for one, expected in zip(keras.tree.flatten(other(x)), keras.tree.flatten(model(x)), strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-5)


def names_of(model):
    return [type(layer).__name__ for layer in model.layers if not isinstance(layer, L.InputLayer)]


def modules_of(model):
    """Return the package of each recurrent layer, also of those inside wrappers."""
    found = [layer for layer in deeprnn_keras._compat.flatten_layers(model) if isinstance(layer, L.RNN)]
    return {type(layer).__module__.partition(".")[0] for layer in found}


SINGLE = {
    "LSTM": lambda: L.LSTM(4, activation="relu", recurrent_activation="hard_sigmoid", use_bias=False),
    "GRU": lambda: L.GRU(4, return_sequences=True, dropout=0.1, recurrent_dropout=0.2),
    "GRU reset before": lambda: L.GRU(4, reset_after=False, go_backwards=True),
    "SimpleRNN": lambda: L.SimpleRNN(4, unroll=True),
    "zero output": lambda: L.LSTM(4, return_sequences=True, zero_output_for_mask=True),
    "RNN": lambda: L.RNN(L.GRUCell(4), return_sequences=True),
    "concat": lambda: L.Bidirectional(L.LSTM(4)),
    "sum": lambda: L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode="sum"),
    "two directions": lambda: L.Bidirectional(
        L.LSTM(4), merge_mode="ave", backward_layer=L.LSTM(4, activation="relu", go_backwards=True)
    ),
    "pair": lambda: L.Bidirectional(L.RNN(L.LSTMCell(4)), merge_mode=None),
}


def cases(table, *default):
    """Return the parameters of a test: the rows of a table, of which all but some are slow."""
    return [
        pytest.param(*(row if isinstance(row, tuple) else (row,)), id=name, marks=[] if name in default else SLOW)
        for name, row in table.items()
    ]


@pytest.mark.parametrize("make", cases(SINGLE, "LSTM", "GRU reset before", "RNN", "concat"))
def test_single_layer_becomes_the_drop_in_and_goes_back(rng, make):
    model = randomized(rng, sequential(make(), masked=True))
    weights = model.get_weights()
    ours = convert(model)
    assert names_of(ours) == names_of(model) and modules_of(ours) == {"deeprnn_keras"}
    assert modules_of(model) == {"keras"} and not ours.conversion_report.kept
    assert_equal_outputs(model, ours, padded(rng))
    back = convert(ours, to="keras")
    assert modules_of(back) == {"keras"}
    assert [one.get_config() for one in back.layers] == [one.get_config() for one in model.layers]
    for one, other, original in zip(back.get_weights(), model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(original, other)


def stacked(*cells, **options):
    return L.RNN(L.StackedRNNCells(list(cells)), **options)


SEQUENCES = {"return_sequences": True}
MERGED = {
    "three": (
        [L.LSTM(4, **SEQUENCES), L.GRU(5, "relu", **SEQUENCES), L.SimpleRNN(3)],
        {"cells": ["lstm", "gru", "rnn"]},
    ),
    "dropout": ([L.LSTM(4, **SEQUENCES), L.Dropout(0.2), L.LSTM(3, **SEQUENCES)], {"dropout": 0.2}),
    "reset before": ([L.GRU(4, **SEQUENCES), L.GRU(3, reset_after=False)], {"units": [4, 3]}),
    "bidirectional": (
        [L.Bidirectional(L.LSTM(4, **SEQUENCES)), L.Bidirectional(L.LSTM(3, **SEQUENCES))],
        {"bidirectional": True},
    ),
    "last of bidirectional": ([L.Bidirectional(L.GRU(4, **SEQUENCES)), L.Bidirectional(L.GRU(3))], {}),
    "frozen": (
        [L.LSTM(4, **SEQUENCES, trainable=False), L.LSTM(3, trainable=False)],
        {"trainable": False},
    ),
    "stacked cells": ([stacked(L.LSTMCell(4), L.LSTMCell(3), **SEQUENCES)], {"units": [4, 3]}),
    "cells and layer": ([L.RNN(L.LSTMCell(4), **SEQUENCES), stacked(L.LSTMCell(3), L.LSTMCell(2))], {"num_layers": 3}),
    "regularized": (
        [L.LSTM(4, **SEQUENCES, kernel_regularizer="l2"), L.LSTM(3, kernel_regularizer="l2", use_bias=True)],
        {"return_sequences": False},
    ),
}


@pytest.mark.parametrize(("layers", "expected"), cases(MERGED, "three", "dropout", "frozen", "stacked cells"))
def test_layers_above_each_other_become_one_stack(rng, layers, expected):
    model = randomized(rng, sequential(*layers, L.Dense(2)))
    ours = convert(model)
    assert names_of(ours) == ["Masking", "DeepRNN", "Dense"]
    stack = ours.layers[1]
    assert {name: getattr(stack, name) for name in expected} == expected
    assert stack.name == layers[-1].name
    assert_equal_outputs(model, ours, padded(rng))
    assert len(ours.losses) == len(model.losses)
    np.testing.assert_allclose(ours.losses, model.losses, rtol=1e-5)
    back = convert(ours, to="keras")
    assert modules_of(back) == {"keras"}
    assert_equal_outputs(model, back, padded(rng))
    assert [weight.trainable for weight in back.weights] == [weight.trainable for weight in model.weights]


NOT_MERGED = {
    "two rates": [L.LSTM(4, **SEQUENCES), L.Dropout(0.2), L.LSTM(4, **SEQUENCES), L.Dropout(0.3), L.LSTM(4)],
    "noise shape": [L.LSTM(4, **SEQUENCES), L.Dropout(0.2, noise_shape=(None, 1, 4)), L.LSTM(4)],
    "layer between": [L.LSTM(4, **SEQUENCES), L.Dense(4), L.LSTM(4)],
    "backwards": [L.LSTM(4, **SEQUENCES, go_backwards=True), L.LSTM(4)],
    "input dropout": [L.LSTM(4, **SEQUENCES, dropout=0.1), L.LSTM(4)],
    "other bias": [L.LSTM(4, **SEQUENCES, use_bias=False), L.LSTM(4)],
    "other regularizer": [L.LSTM(4, **SEQUENCES, kernel_regularizer="l2"), L.LSTM(4)],
    "half frozen": [L.LSTM(4, **SEQUENCES, trainable=False), L.LSTM(4)],
    "directions": [L.Bidirectional(L.LSTM(4, **SEQUENCES)), L.LSTM(4)],
    "sum": [L.Bidirectional(L.LSTM(4, **SEQUENCES), merge_mode="sum"), L.Bidirectional(L.LSTM(4), merge_mode="sum")],
}


@pytest.mark.parametrize("layers", NOT_MERGED.values(), ids=NOT_MERGED)
def test_layers_that_no_stack_is_equal_to_stay_apart(layers):
    chains = find_chains(model_graph(sequential(*layers)))
    # the first two of the layers with two rates have one rate
    assert [len(calls) for calls, _ in chains] == ([3] if len(layers) == 5 else [])


# === Functional models ===


@pytest.mark.slow
def test_branches_shared_layers_masks_and_nested_models(rng):
    """A shared layer keeps one set of weights; outputs that are read twice are not inside a stack."""
    ids, x, mask = keras.Input((6,), dtype="int32"), keras.Input((6, 3), name="x"), keras.Input((6,), dtype="bool")
    shared = L.LSTM(3, **SEQUENCES, name="shared")
    embedded = L.Embedding(9, 3, mask_zero=True)(ids)
    first, second = shared(embedded), shared(x, mask=mask)
    both = L.concatenate([L.LSTM(4, **SEQUENCES)(second, mask=mask), second])
    stack = L.GRU(2)(L.GRU(4, **SEQUENCES)(both, mask=mask), mask=mask)
    inner = keras.Sequential([keras.Input((6, 3)), L.LSTM(4, **SEQUENCES), L.LSTM(2)], name="inner")
    windows = L.TimeDistributed(inner)(x[:, :2, None] + x[:, None])
    outputs = {"a": keras.ops.tanh(inner(first)), "b": stack * 2.0, "c": windows}
    model = randomized(rng, keras.Model({"ids": ids, "x": x, "mask": mask}, outputs, name="branches"))
    ours = convert(model)
    assert names_of(ours).count("LSTM") == 2 and names_of(ours).count("DeepRNN") == 1
    assert names_of(ours.get_layer("inner")) == ["DeepRNN"]
    assert len(ours.weights) == len(model.weights)
    inputs = {"ids": rng.integers(0, 9, (5, 6)), "x": padded(rng), "mask": rng.random((5, 6)) < 0.6}
    assert_equal_outputs(model, ours, inputs)
    assert_equal_outputs(model, convert(ours, to="keras"), inputs)
    rows = {one.before: one.after for one in ours.conversion_report.replaced}
    assert [len(before) for before in rows if before[0].startswith("inner/")] == [2]
    assert rows[("shared (LSTM)",)] == ("shared (LSTM)",)


def test_layers_inside_wrappers_are_replaced(rng):
    windows = keras.Input((2, 5, 3))
    layer = L.TimeDistributed(L.GRU(4), name="windows")
    time_major = TimeMajor(L.LSTM(3, **SEQUENCES), name="time_major")
    model = randomized(rng, keras.Model(windows, time_major(layer(windows))))
    ours = convert(model)
    assert modules_of(ours) == {"deeprnn_keras"} and names_of(ours) == ["TimeDistributed", "TimeMajor"]
    assert [one.before[0].partition("/")[0] for one in ours.conversion_report.replaced] == ["windows", "time_major"]
    x = rng.normal(size=(4, 2, 5, 3)).astype("float32")
    assert_equal_outputs(model, ours, x)
    assert modules_of(convert(ours, to="keras")) == {"keras"}


def test_mask_of_an_embedding_reaches_the_stack(rng):
    ids = keras.Input((6,), dtype="int32")
    x = L.Dropout(0.2)(L.LSTM(4, **SEQUENCES)(L.Embedding(9, 3, mask_zero=True)(ids)))
    model = randomized(rng, keras.Model(ids, L.Dense(2)(L.LSTM(3)(x))))
    ours = convert(model)
    assert names_of(ours).count("DeepRNN") == 1 and "LSTM" not in names_of(ours)
    assert_equal_outputs(model, ours, np.array([[1, 2, 3, 0, 0, 0], [4, 0, 5, 6, 0, 7]]))


def test_encoder_and_decoder_pass_states(rng):
    source, target = keras.Input((None, 3)), keras.Input((None, 2))
    cells = [L.LSTMCell(4), L.LSTMCell(3)]
    _, *state = stacked(*cells, return_state=True, name="encoder")(source)
    decoder = stacked(L.LSTMCell(4), L.LSTMCell(3), **SEQUENCES, name="decoder")
    model = randomized(rng, keras.Model([source, target], decoder(target, initial_state=state)))
    ours = convert(model)
    assert names_of(ours) == ["DeepRNN", "DeepRNN"]
    inputs = [rng.normal(size=(2, 5, size)).astype("float32") for size in (3, 2)]
    assert_equal_outputs(model, ours, inputs)
    back = convert(ours, to="keras")
    assert names_of(back) == ["LSTM"] * 4
    assert_equal_outputs(model, back, inputs)


# === Training, states ===


def test_training_continues_with_the_state_of_the_optimizer(rng):
    model = randomized(rng, sequential(L.LSTM(4, **SEQUENCES), L.LSTM(3), L.Dense(1)))
    model.compile(keras.optimizers.Adam(0.01, global_clipnorm=1.0), "mse", metrics=["mae"])
    x, y = padded(rng), rng.normal(size=(5, 1))
    for _ in range(2):
        model.train_on_batch(x, y)
    ours = convert(model)
    assert ours.conversion_report.notes == ("The model is compiled, with the state of the optimizer.",)
    assert int(ours.optimizer.iterations) == 2
    losses = [[one.train_on_batch(x, y)[0] for _ in range(3)] for one in (model, ours)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    for one, other in zip(ours.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_model_without_a_state_of_the_optimizer_and_with_an_unknown_loss(rng):
    model = sequential(L.LSTM(3))
    model.compile("sgd", "mse")
    assert convert(model).compiled
    model.compile("sgd", type("Loss", (keras.losses.Loss,), {"call": lambda self, y, p: y - p})())
    ours = convert(model)
    assert not ours.compiled and "The model is not compiled" in ours.conversion_report.notes[0]


def test_carried_states_are_copied_and_those_of_the_original_stay(rng):
    model = randomized(rng, sequential(L.LSTM(4, **SEQUENCES, stateful=True), L.GRU(3, stateful=True), batch_size=5))
    x = padded(rng)
    model(x)
    ours = convert(model)
    assert names_of(ours) == ["Masking", "LSTM", "GRU"]
    assert_equal_outputs(model, ours, x)
    assert_equal_outputs(model, convert(ours, to="keras"), x)


def test_stateful_stack_goes_back_with_a_known_batch_size(rng):
    stack = DeepRNN([4, 3], cell="gru", stateful=True)
    model = randomized(rng, sequential(stack, batch_size=5))
    back = convert(model, to="keras")
    assert names_of(back) == ["Masking", "GRU", "GRU"] and back.layers[-1].stateful
    open_ended = sequential(DeepRNN(4, stateful=True, name="stack"))
    assert "without a known batch size" in convert(open_ended, to="keras").conversion_report.kept["stack"]


def test_language_model_goes_to_keras(rng):
    """The one-hot layer and the tied head have no counterpart; the head keeps its embedding."""
    model = randomized(rng, LanguageModel("abcde", 4, 2, embedding=4, tied=True, dropout=0.1, name="letters"))
    back = convert(model, to="keras")
    assert names_of(back)[:1] == ["Embedding"] and "TiedHead" in names_of(back) and modules_of(back) == {"keras"}
    assert len(back.weights) == len(model.weights)
    assert set(back.conversion_report.kept) == {"head"}
    assert "no longer a LanguageModel" in back.conversion_report.notes[0]
    again = convert(model)
    assert isinstance(again, LanguageModel) and not again.conversion_report.replaced


# === What is kept, and errors ===


@keras.saving.register_keras_serializable(package="test_convert")
class OwnCell(L.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.state_size = self.output_size = self.units = units

    def call(self, inputs, states):
        return inputs[:, : self.units] + states[0], [states[0] * 0.5]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="test_convert")
class OwnLSTM(L.LSTM):
    pass


@keras.saving.register_keras_serializable(package="test_convert")
class Encoder(L.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.units, self.lstm = units, L.LSTM(units, return_sequences=True)

    def build(self, shape):
        self.lstm.build(shape)

    def call(self, x):
        return self.lstm(x) + 1.0

    def compute_output_shape(self, shape):
        return (*shape[:-1], self.units)


KEPT = {
    "own cell": (lambda: L.RNN(OwnCell(2), **SEQUENCES, name="kept"), "its cell OwnCell has no equations"),
    "own class": (lambda: OwnLSTM(2, **SEQUENCES, name="kept"), "computes what its class OwnLSTM does"),
    "in Python": (lambda: Encoder(2, name="kept"), "its class Encoder calls recurrent layers in Python code"),
    "stacked own cells": (lambda: stacked(OwnCell(2), OwnCell(2), name="kept"), "its cell OwnCell is not one of keras"),
    "dropout of cells": (lambda: stacked(L.LSTMCell(2, dropout=0.1), L.LSTMCell(2), name="kept"), "dropout=0.1"),
    "own class in both directions": (
        lambda: L.Bidirectional(OwnLSTM(2, **SEQUENCES), name="kept"),
        "computes what its class OwnLSTM does",
    ),
}


@pytest.mark.parametrize(("make", "reason"), cases(KEPT, "own cell", "own class", "in Python"))
def test_kept_layers_are_named_with_the_reason(rng, make, reason):
    model = randomized(rng, sequential(L.GRU(3, **SEQUENCES), make()))
    ours = convert(model)
    assert list(ours.conversion_report.kept) == ["kept"]
    assert reason in ours.conversion_report.kept["kept"]
    assert ours.get_layer("kept") is not model.get_layer("kept")
    assert_equal_outputs(model, ours, padded(rng))
    assert "gru" in str(ours.conversion_report) and "Not replaced:" in str(ours.conversion_report)


def test_python_code_is_shared_with_the_original():
    code = L.Lambda(lambda x: x * 2.0, name="double")
    ours = convert(sequential(code, L.LSTM(2), masked=False))
    assert ours.get_layer("double") is code
    assert "Layer 'double' is shared with the original model" in ours.conversion_report.notes[0]


def test_half_precision_is_kept(rng):
    policy = keras.DTypePolicy("mixed_bfloat16")
    ours = convert(randomized(rng, sequential(L.LSTM(4, **SEQUENCES, dtype=policy), L.LSTM(3, dtype=policy))))
    assert ours.layers[1].compute_dtype == "bfloat16" and ours.layers[1].variable_dtype == "float32"


def test_unequal_replacement_is_an_error(monkeypatch):
    class Wrong(deeprnn_keras.LSTM):
        def call(self, sequences, initial_state=None, mask=None, training=False):
            return super().call(sequences, initial_state, mask, training) + 1e-3

    monkeypatch.setitem(to_deeprnn.DROP_INS, L.LSTM, Wrong)
    with pytest.raises(ConversionError, match=r"outputs of the replacement of layer 'lstm.*' differ by 0\.001"):
        convert(sequential(L.LSTM(2)))


class Subclassed(keras.Model):
    def call(self, x):
        return x


BAD = {
    "subclass": (Subclassed, {}, "got Subclassed, whose `call` is Python code; use deeprnn_keras.LSTM in it"),
    "layer": (lambda: L.LSTM(2), {}, "got LSTM; use interop.to_keras for a layer"),
    "None": (lambda: None, {}, "model must be a Keras model, got NoneType"),
    "unbuilt": (lambda: keras.Sequential([L.LSTM(2)]), {}, "must be built before it is converted"),
    "to": (lambda: sequential(L.LSTM(2)), {"to": "Keras"}, "unknown to 'Keras'; did you mean 'keras'"),
    "text": (
        lambda: keras.Sequential([keras.Input((), dtype="string"), L.TextVectorization(vocabulary=["a"])]),
        {},
        "has dtype string; pass x=, a batch of the inputs",
    ),
    "one stacked cell": (  # Keras itself does not run it
        lambda: sequential(stacked(L.GRUCell(4))),
        {},
        "does not run on random inputs",
    ),
    "inputs": (
        lambda: keras.Sequential([keras.Input((6,)), L.Rescaling(2.0), L.Embedding(3, 2), L.LSTM(2)]),
        {},
        "does not run on random inputs .*; pass x=",
    ),
}


@pytest.mark.parametrize(("make", "options", "message"), BAD.values(), ids=BAD)
def test_unsupported_arguments_are_named(make, options, message):
    with pytest.raises(ValueError, match=message):
        convert(make(), **options)


def test_text_is_compared_on_given_inputs():
    layers = [L.TextVectorization(vocabulary=["a", "b"], output_sequence_length=4), L.Embedding(4, 2), L.LSTM(2)]
    model = keras.Sequential([keras.Input((), dtype="string"), *layers])
    ours = convert(model, x=keras.ops.convert_to_tensor(["a b", "b c a"]))
    assert modules_of(ours) == {"deeprnn_keras"}


# === Random models ===


def random_layer(generator, width):
    """Return a recurrent layer of Keras that returns sequences, with random options."""
    kind = generator.choice(["LSTM", "GRU", "SimpleRNN", "RNN", "stacked"])
    options = {"return_sequences": True, "zero_output_for_mask": bool(generator.random() < 0.1)}
    if kind in ("RNN", "stacked"):
        cells = [
            getattr(L, f"{name}Cell")(width, use_bias=bool(generator.random() < 0.9))
            for name in generator.choice(["LSTM", "GRU", "SimpleRNN"], 1 if kind == "RNN" else 2)
        ]
        return L.RNN(cells[0] if kind == "RNN" else cells, **options)
    options["activation"] = str(generator.choice(["tanh", "tanh", "relu", "softsign"]))
    options["go_backwards"] = bool(generator.random() < 0.1)
    options["dropout"] = float(generator.choice([0.0, 0.0, 0.0, 0.2]))
    if kind == "GRU":
        options["reset_after"] = bool(generator.random() < 0.7)
    layer = getattr(L, str(kind))(width, **options)
    if generator.random() < 0.3 and not layer.go_backwards:
        return L.Bidirectional(layer, merge_mode=str(generator.choice(["concat", "concat", "sum", "mul"])))
    return layer


def random_model(seed):
    generator = np.random.default_rng(seed)
    inputs = keras.Input((6, 3))
    values = [L.Masking()(inputs) if generator.random() < 0.5 else inputs]
    for _ in range(generator.integers(2, 6)):
        x = values[-1] if generator.random() < 0.8 else values[generator.integers(len(values))]
        x = L.Dropout(float(generator.choice([0.1, 0.2])))(x) if generator.random() < 0.3 else x
        values.append(random_layer(generator, int(generator.integers(2, 5)))(x))
    outputs = [values[-1]] if generator.random() < 0.7 else values[-2:]
    return randomized(generator, keras.Model(inputs, outputs))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_random_models_are_converted_both_ways(rng, seed):
    model = random_model(seed)
    ours = convert(model)
    back = convert(ours, to="keras")
    reports = [one.conversion_report for one in (ours, back)]
    reasons = {reason for report in reports for reason in report.kept.values()}
    expected = ("zero_output_for_mask", "different arguments that all levels")
    assert all(any(part in reason for part in expected) for reason in reasons), reasons
    for converted in (ours, back):
        assert_equal_outputs(model, converted, padded(rng))
