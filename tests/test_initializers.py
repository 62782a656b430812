"""Initializers of individual gates: values, seeds, precision, serialization, and unsupported arguments."""

import keras
import numpy as np
import pytest

from deeprnn_keras import DeepRNN, LanguageModel, SequenceModel
from deeprnn_keras.initializers import ChronoBias, ForgetBias, PerGate, ScaledIdentity
from deeprnn_keras.specs import CELLS

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
H = 4


def initial_value(initializer, shape, dtype=None):
    return keras.ops.convert_to_numpy(initializer(shape, dtype=dtype))


def blocks(weight, gates):
    return np.split(np.asarray(weight), gates, axis=-1)


def built_weights(layer, d=3):
    layer.build((None, None, d))
    return layer.get_weights()


def assert_orthogonal(matrix):
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(matrix.shape[1]), atol=1e-5)


def assert_all_different(arrays):
    assert len({np.asarray(a).tobytes() for a in arrays}) == len(arrays)


# === PerGate ===


@pytest.mark.parametrize("cell", GATES)
def test_per_gate_orthogonal(cell):
    gates = blocks(initial_value(PerGate("orthogonal"), (H, GATES[cell] * H)), GATES[cell])
    assert_all_different(gates)
    for gate in gates:
        assert_orthogonal(gate)


@pytest.mark.parametrize("cell", GATES)
def test_default_recurrent_kernels_are_orthogonal_per_gate(cell):
    _, recurrent, _ = built_weights(DeepRNN(H, cell=cell))
    for gate in blocks(recurrent, GATES[cell]):
        assert_orthogonal(gate)


@pytest.mark.parametrize(("keras_layer", "gates"), [(keras.layers.LSTM, 4), (keras.layers.GRU, 3)])
def test_per_gate_on_keras_layers(keras_layer, gates):
    _, recurrent, _ = built_weights(keras_layer(H, recurrent_initializer=PerGate("orthogonal")))
    assert_all_different(blocks(recurrent, gates))
    for gate in blocks(recurrent, gates):
        assert_orthogonal(gate)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_per_gate_glorot_limit_uses_fan_out_of_one_gate(cell):
    """The limit is sqrt(6 / (d + h)) for any number of gates; that of the whole matrix would be smaller."""
    d, h = 30, 20
    kernel, *_ = built_weights(DeepRNN(h, cell=cell), d)
    largest = np.max(np.abs(kernel))
    limit, limit_of_whole = np.sqrt(6 / (d + h)), np.sqrt(6 / (d + GATES[cell] * h))
    assert limit_of_whole < largest <= limit


def test_per_gate_first_gate_equals_the_inner_initializer():
    inner = keras.initializers.GlorotUniform(seed=1)
    first, second, _ = blocks(initial_value(PerGate(inner), (H, 3 * H)), 3)
    np.testing.assert_array_equal(first, initial_value(inner, (H, H)))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (
            lambda: PerGate("orthogonal", "lstm"),
            (3, 6),
            r"PerGate\(cell='lstm'\) expects shape \(d, 4 h\), got",
        ),
        (lambda: PerGate("orthogonal"), (3, 8), r"cannot infer the number of gates from shape \(3, 8\).*pass cell="),
        (lambda: PerGate("orthogonal"), (3, 6), r"cannot infer the number of gates from shape \(3, 6\)"),
        (lambda: PerGate("orthogonal"), (6,), r"rank 2, got shape \(6,\)"),
        (lambda: PerGate("orthogonal", "lstn"), (3, 3), r"unknown cell 'lstn'; did you mean 'lstm'"),
    ],
)
def test_per_gate_rejects_unsupported_shapes_and_cells(make, shape, message):
    with pytest.raises(ValueError, match=message):
        make()(shape)


# === ScaledIdentity ===


def test_scaled_identity():
    np.testing.assert_array_equal(initial_value(ScaledIdentity(0.5), (3, 3)), 0.5 * np.eye(3))
    np.testing.assert_array_equal(initial_value(PerGate(ScaledIdentity()), (2, 6)), np.tile(np.eye(2), 3))


def test_scaled_identity_is_the_default_of_a_relu_rnn_only():
    for recurrent in built_weights(DeepRNN(H, 2, "rnn", activation="relu"))[1::3]:
        np.testing.assert_array_equal(recurrent, np.eye(H))
    assert not np.array_equal(built_weights(DeepRNN(H, cell="rnn"))[1], np.eye(H))


@pytest.mark.parametrize("scale", [0.0, -1.0, "a", None, True, float("nan"), float("inf")])
def test_scaled_identity_rejects_scale(scale):
    with pytest.raises(ValueError, match=f"scale must be a positive number, got {scale!r}"):
        ScaledIdentity(scale)


@pytest.mark.parametrize("shape", [(3, 6), (3,)])
def test_scaled_identity_rejects_shape(shape):
    with pytest.raises(ValueError, match="square shape"):
        ScaledIdentity()(shape)


# === ForgetBias ===

LSTM_BIAS = np.repeat([0.0, 2.0, 0.0, 0.0], H)  # input, forget, candidate, output
GRU_BIAS = np.stack([np.repeat([2.0, 0.0, 0.0], H), np.zeros(3 * H)])  # update, reset, candidate; recurrent bias


@pytest.mark.parametrize(("cell", "bias"), [("lstm", LSTM_BIAS), ("gru", GRU_BIAS)])
def test_forget_bias_in_every_layer_and_direction(cell, bias):
    for actual in built_weights(DeepRNN(H, 2, cell, bidirectional=True, bias_initializer=ForgetBias(2.0)))[2::3]:
        np.testing.assert_array_equal(actual, bias)


def test_forget_bias_of_a_gru_with_reset_after_false():
    np.testing.assert_array_equal(initial_value(ForgetBias(2.0, cell="gru"), (3 * H,)), GRU_BIAS[0])


def test_forget_bias_on_keras_layers():
    lstm = keras.layers.LSTM(H, bias_initializer=ForgetBias(2.0), unit_forget_bias=False)
    np.testing.assert_array_equal(built_weights(lstm)[2], LSTM_BIAS)
    np.testing.assert_array_equal(built_weights(keras.layers.GRU(H, bias_initializer=ForgetBias(2.0)))[2], GRU_BIAS)


def test_default_biases():
    np.testing.assert_array_equal(built_weights(DeepRNN(H))[2], LSTM_BIAS / 2.0)
    assert not np.any(built_weights(DeepRNN(H, cell="gru"))[2])
    assert not np.any(built_weights(DeepRNN(H, cell="rnn"))[2])
    assert not np.any(built_weights(DeepRNN(H, bias_initializer="zeros"))[2])


# === ChronoBias ===


def test_chrono_bias_lstm():
    first, second = built_weights(DeepRNN(200, 2, bias_initializer=ChronoBias(50.0, seed=1)))[2::3]
    write, keep, candidate, output = blocks(first, 4)
    assert np.min(keep) >= 0.0
    assert np.log(49.0) - 0.1 < np.max(keep) <= np.log(49.0)
    # u ~ U(1, t_max - 1) has mean t_max / 2
    assert abs(np.mean(np.exp(keep)) - 25.0) < 4.0
    np.testing.assert_array_equal(write, -keep)
    assert not np.any([candidate, output])
    assert not np.array_equal(first, second)


def test_chrono_bias_gru():
    bias, recurrent_bias = built_weights(DeepRNN(200, cell="gru", bias_initializer=ChronoBias(50.0, seed=1)))[2]
    keep, reset, candidate = blocks(bias, 3)
    assert np.min(keep) >= 0.0
    assert np.log(49.0) - 0.1 < np.max(keep) <= np.log(49.0)
    assert not np.any([reset, candidate])
    assert not np.any(recurrent_bias)


def test_chrono_bias_on_a_keras_lstm():
    layer = keras.layers.LSTM(H, bias_initializer=ChronoBias(9, seed=1), unit_forget_bias=False)
    np.testing.assert_array_equal(built_weights(layer)[2], initial_value(ChronoBias(9, "lstm", seed=1), (4 * H,)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ChronoBias(2), r"t_max must be a number of steps greater than 2, got 2"),
        (lambda: ChronoBias("a"), r"t_max must be a number of steps greater than 2, got 'a'"),
        (lambda: ChronoBias(float("inf")), r"t_max must be .*got inf"),
        (lambda: ChronoBias(9, seed=0.5), r"seed must be an integer or None, got 0\.5"),
        (
            lambda: ChronoBias(9, cell="rnn"),
            r"cell 'rnn' has no gate that keeps its state .*; use 'lstm' or 'gru'",
        ),
        (lambda: ForgetBias("a"), r"value must be a finite number, got 'a'"),
        (lambda: ForgetBias(float("nan")), r"value must be a finite number, got nan"),
        (lambda: ForgetBias(cell="gur"), r"unknown cell 'gur'; did you mean .*'gru'"),
        (lambda: ForgetBias()((6,)), r"ForgetBias requires the shape of the bias of cell 'lstm', got \(6,\)"),
        (lambda: ForgetBias()((3, 6)), r"ForgetBias requires the shape of the bias of cell 'gru', got \(3, 6\)"),
        (lambda: ForgetBias(cell="lstm")((2, 8)), r"requires the shape of the bias of cell 'lstm', got \(2, 8\)"),
    ],
)
def test_gate_biases_reject_unsupported_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# === All initializers: seeds, precision, serialization ===

RANDOM_INITIALIZERS = {
    "per_gate": (lambda seed: PerGate(keras.initializers.Orthogonal(seed=seed)), (H, 4 * H)),
    "chrono": (lambda seed: ChronoBias(50.0, seed=seed), (4 * H,)),
}
INITIALIZERS = {
    "per_gate": (PerGate(keras.initializers.Orthogonal(seed=1)), (H, 4 * H)),
    "nested": (PerGate(ScaledIdentity(0.3), "gru"), (H, 3 * H)),
    "identity": (ScaledIdentity(0.3), (H, H)),
    "forget": (ForgetBias(0.3), (4 * H,)),
    "chrono": (ChronoBias(50.0, "gru", seed=1), (2, 3 * H)),
}


@pytest.mark.parametrize(("make", "shape"), RANDOM_INITIALIZERS.values(), ids=RANDOM_INITIALIZERS)
def test_seed(make, shape):
    np.testing.assert_array_equal(initial_value(make(1), shape), initial_value(make(1), shape))
    assert_all_different([initial_value(make(seed), shape) for seed in (1, 2, None, None)])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize(("initializer", "shape"), INITIALIZERS.values(), ids=INITIALIZERS)
def test_other_dtypes_equal_the_float32_values_cast(initializer, shape, dtype):
    actual = initializer(shape, dtype=dtype)
    assert keras.backend.standardize_dtype(actual.dtype) == dtype
    expected = keras.ops.cast(initializer(shape, dtype="float32"), dtype)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(actual), keras.ops.convert_to_numpy(expected))


@pytest.mark.parametrize(("initializer", "shape"), INITIALIZERS.values(), ids=INITIALIZERS)
def test_serialization(initializer, shape):
    config = keras.initializers.serialize(initializer)
    copy = keras.initializers.deserialize(config)
    assert type(copy) is type(initializer)
    assert keras.initializers.serialize(copy) == config
    np.testing.assert_array_equal(initial_value(copy, shape), initial_value(initializer, shape))


@pytest.mark.parametrize("initializer", [ForgetBias(2.0), ChronoBias(50.0, seed=1)])
def test_initializers_of_a_saved_model(tmp_path, initializer):
    """A layer built from the configuration of the loaded layer has the same initial weights."""
    kernel, recurrent = PerGate(keras.initializers.HeNormal(seed=1)), PerGate(ScaledIdentity(0.5))
    layer = DeepRNN(
        H, 2, kernel_initializer=kernel, recurrent_initializer=recurrent, bias_initializer=initializer, name="deep"
    )
    model = keras.Sequential([keras.Input((None, 3)), layer])
    start = model.get_weights()
    model.set_weights([0 * w for w in start])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not any(map(np.any, loaded.get_weights()))
    rebuilt = DeepRNN.from_config(loaded.get_layer("deep").get_config())
    for actual, expected in zip(built_weights(rebuilt), start, strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    "initializers",
    [
        {},
        {"kernel_initializer": keras.initializers.GlorotUniform(seed=1), "recurrent_initializer": "orthogonal"},
        {"kernel_initializer": PerGate(keras.initializers.HeNormal(seed=1)), "bias_initializer": ChronoBias(9, seed=1)},
    ],
    ids=["defaults", "keras", "gates"],
)
def test_layers_and_directions_sharing_an_initializer_have_different_weights(initializers):
    actual = built_weights(DeepRNN(H, 2, bidirectional=True, **initializers), d=2 * H)  # all kernels have one shape
    for index in range(3 if "bias_initializer" in initializers else 2):  # kernel, recurrent kernel, bias
        assert_all_different(actual[index::3])


@pytest.mark.parametrize("bias", [None, ChronoBias])
def test_global_seed_reproduces_a_layer(bias):
    def start(seed):
        keras.utils.set_random_seed(seed)
        return built_weights(DeepRNN(H, 2, ["gru", "lstm"], bidirectional=True, bias_initializer=bias and bias(9)))

    for actual, expected in zip(start(3), start(3), strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert not np.array_equal(start(4)[0], start(3)[0])


def seeded(seed):
    return keras.initializers.RandomNormal(seed=seed)


IN_A_STACK = {f"{role}_initializer": seeded(seed) for seed, role in enumerate(("kernel", "recurrent", "bias"))}
DIAGONAL = ("indrnn", "lru", "rg_lru")  # recurrences without a matrix
IN_A_MODEL = {f"{role}_initializer": seeded(seed + 3) for seed, role in enumerate(("head", "head_bias", "embeddings"))}


def blocks_of(weights):
    """Return the blocks of H columns of weights with at least 4 random elements."""
    blocks = [block for weight in weights for block in np.split(weight, range(H, weight.shape[-1], H), axis=-1)]
    return [np.ravel(block) for block in blocks if np.unique(block).size > 3]


def assert_independent(weights):
    """Check that the first elements of no two blocks, of any shape, are multiples of each other."""
    starts = [block[:H] for block in blocks_of(weights)]
    directions = np.stack([start / np.linalg.norm(start) for start in starts])
    cosines = np.abs(directions @ directions.T)[np.triu_indices(len(starts), 1)]
    assert len(starts) > 4 and cosines.max() < 0.99999


@pytest.mark.parametrize("per_gate", [False, True], ids=["blocks", "per gate"])
@pytest.mark.parametrize("cell", [cell.name for cell in CELLS if not cell.name.endswith("_for_tests")])
def test_weights_of_every_cell_are_independent_draws(cell, per_gate):
    roles = [role for role in ("kernel", "recurrent") if per_gate and not (role == "recurrent" and cell in DIAGONAL)]
    objects = {f"{role}_initializer": PerGate(IN_A_STACK[f"{role}_initializer"]) for role in roles}
    layer = DeepRNN(H, 3, cell, bidirectional=True, **{**IN_A_STACK, **objects})
    assert_independent(built_weights(layer, d=2 * H))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"projection": 5},
        {"head_units": [H, H]},
        {"projection": H, "head_units": [H, H]},
        {"normalization": "rms"},
        {"normalization": "rms", "cell": "min_gru"},
    ],
    ids=lambda one: " ".join(one) or "plain",
)
def test_weights_of_language_models_are_independent_draws(eager, options):
    model = LanguageModel("abcdef", H, 3, embedding=H, **IN_A_STACK, **IN_A_MODEL, **options)
    assert_independent(model.get_weights())


def test_weights_of_normalized_bidirectional_layers_are_independent_draws(eager):
    options = {"batch_normalization": True, "bidirectional": True, "head_initializer": seeded(3)}
    assert_independent(SequenceModel(2 * H, 3, H, 3, "ugrnn", **IN_A_STACK, **options).get_weights())
