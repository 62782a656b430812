"""One walk over every model of the zoo, and the zoo's own functions."""

import math
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from deeprnn_keras import Recipe, cell_spec, zoo
from deeprnn_keras.zoo import registry

COUNTS = {
    "char_rnn_2x128": 239_297,
    "char_rnn_2x512": 3_316_289,
    "char_rnn_3x700": 10_035_965,
    "d2l_gru_2x32": 13_212,
    "d2l_lstm_2x256": 824_348,
    "d2l_rnn_2x32": 4_956,
    "kjv_lstm_2x256": 875_202,
    "pascanu_dots_ptb_char": 791_450,
    "pascanu_dts_ptb_char": 540_850,
    "pascanu_srnn_ptb_char": 520_850,
    "rhn_ptb": 23_482_400,
    "zaremba_large": 66_022_000,
    "zaremba_medium": 19_775_200,
    "zaremba_small": 4_651_600,
}
SMALL = [name for name, count in COUNTS.items() if count < 1_000_000]
LARGE = sorted(set(COUNTS) - set(SMALL))
EVERY = pytest.mark.parametrize("name", zoo.list_models())


# === Counting and information, nothing built ===


def test_every_model_has_its_count_pinned():
    assert {name: zoo.count_params(name) for name in zoo.list_models()} == COUNTS


def test_counting_and_information_load_neither_keras_nor_tensorflow():
    code = (
        "import sys; from deeprnn_keras import zoo\n"
        "total = sum(zoo.count_params(name) for name in zoo.list_models())\n"
        "for name in zoo.list_models(): zoo.info(name, units=3).card()\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules); print(total)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == str(sum(COUNTS.values())), done.stderr


@EVERY
def test_information_is_complete(name):
    config = zoo.info(name)
    assert config.name == name
    for field in ("title", "paper", "data", "task"):
        assert getattr(config, field).strip(), field
    assert config.url.startswith("https://") or config.paper.startswith("none: a configuration of this project")
    assert isinstance(config.recipe, Recipe) and config.weights is None


@EVERY
def test_no_row_of_a_card_is_empty(name):
    rows = zoo.info(name).card()
    assert all(what.strip() and value.strip() for what, value in rows)
    assert len(dict(rows)) == len(rows)
    for what in ("architecture", "initialization", "optimizer", "learning rate", "gradient clip", "epochs", "source"):
        assert what in dict(rows)
    assert dict(rows)["weights count"] == f"{COUNTS[name]:,}"


@EVERY
def test_what_a_run_needs_is_consistent(name):
    config = zoo.info(name)
    assert config.symbols in ("characters", "words")
    if config.letters:
        assert isinstance(config.vocabulary, str), "text reduced to letters has known symbols"
    if config.corpus == "king_james":
        from deeprnn_keras import king_james

        assert config.vocabulary == king_james().vocabulary.symbols
    assert (config.recipe.train_windows is None) == (config.recipe.validation_windows is None)


def test_list_models_by_pattern_task_and_weights():
    assert zoo.list_models() == sorted(COUNTS)
    assert zoo.list_models("zaremba_*") == ["zaremba_large", "zaremba_medium", "zaremba_small"]
    assert zoo.list_models("*_2x?2") == ["d2l_gru_2x32", "d2l_rnn_2x32"]
    assert zoo.list_models("nothing*") == []
    assert zoo.list_models("d2l_r*", task="language", pretrained=False) == ["d2l_rnn_2x32"]
    assert zoo.list_models(pretrained=False) == sorted(COUNTS) and zoo.list_models(pretrained=True) == []


def test_unknown_task_is_an_error():
    with pytest.raises(ValueError, match="unknown task 'langage'; did you mean 'language'"):
        zoo.list_models(task="langage")


@pytest.mark.parametrize("use", [zoo.info, zoo.count_params, zoo.create_model], ids=lambda f: f.__name__)
def test_unknown_names_suggest_near_ones(use):
    with pytest.raises(ValueError, match=r"unknown model 'kjv_lstm'; did you mean .*'kjv_lstm_2x256'"):
        use("kjv_lstm")


def test_a_name_can_be_taken_once(monkeypatch):
    monkeypatch.setattr(registry.MODELS, "_entries", dict(registry.MODELS._entries))
    config = zoo.info("d2l_rnn_2x32")
    with pytest.raises(ValueError, match="a model named 'd2l_rnn_2x32' already"):
        registry.register(config)
    registry.register(replace(config, name="mine", units=5))
    assert "mine" in zoo.list_models() and zoo.count_params("mine") == 5 * (28 + 5 + 1) + 5 * 11 + 6 * 28


# === Overrides ===


def test_overrides_change_model_and_recipe():
    config = zoo.info("kjv_lstm_2x256", units=16, num_layers=3, dropout=0.25, learning_rate=0.5, bptt=9)
    assert (config.units, config.num_layers, config.dropout) == (16, 3, 0.25)
    assert (config.recipe.learning_rate, config.recipe.bptt, config.recipe.clip_norm) == (0.5, 9, 1.0)
    assert config.count_params() == 66 * 64 + 4 * 16 * (64 + 16 + 1) + 2 * 4 * 16 * 33 + 17 * 66
    assert zoo.info("kjv_lstm_2x256").units == 256, "the entry itself stays as it is"


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
def test_wrong_overrides_are_refused_without_building(overrides, message):
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
def test_overridden_models_have_the_weights_that_are_counted(name, overrides):
    overrides = {"vocabulary": 30, **overrides}
    model = zoo.create_model(name, **overrides)
    assert model.count_params() == zoo.count_params(name, **overrides)


def test_one_way_of_clipping_replaces_the_other():
    """char-rnn clips values; a Keras optimizer cannot clip by norm as well."""
    recipe = zoo.info("char_rnn_2x128", clip_norm=1.0).recipe
    assert (recipe.clip_norm, recipe.clip_value) == (1.0, None)
    recipe = zoo.info("kjv_lstm_2x256", clip_value=2.0).recipe
    assert (recipe.clip_norm, recipe.clip_value) == (None, 2.0)


def test_there_are_no_trained_weights_yet():
    with pytest.raises(ValueError, match="d2l_rnn_2x32 has no trained weights; models that have: none yet"):
        zoo.create_model("d2l_rnn_2x32", pretrained=True)


# === Built ===


@pytest.fixture(scope="module", params=SMALL)
def entry(request, tmp_path_factory):
    """(configuration, model as built, its first weights, the model after one update, its file)."""
    keras.utils.set_random_seed(11)
    model = zoo.create_model(request.param)
    start = {w.path: w.numpy() for w in model.weights}
    ids = np.random.default_rng(1).integers(model.vocabulary_size, size=(3, 5)).astype("int32")
    model.fit(ids[:, :-1], ids[:, 1:], batch_size=3, verbose=0)
    path = tmp_path_factory.mktemp("zoo") / "m.keras"
    model.save(path)
    return zoo.info(request.param), model, start, path


def test_model_has_its_name_and_count(entry):
    config, model, start, _ = entry
    assert model.name == config.name
    assert model.count_params() == sum(w.size for w in start.values()) == COUNTS[config.name]


def test_every_weight_learns(entry):
    _, model, start, _ = entry
    for weight in model.trainable_weights:
        assert np.any(weight.numpy() != start[weight.path]), weight.path
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())


def test_saved_model_gives_equal_outputs(entry):
    _, model, _, path = entry
    loaded, ids = keras.models.load_model(path), np.arange(12).reshape(2, 6) % model.vocabulary_size
    np.testing.assert_array_equal(loaded(ids), model(ids))
    assert loaded.vocabulary == model.vocabulary


def roles(start):
    """{role: arrays}: kernel, recurrent_kernel and bias of the recurrent layers; head kernel, head bias, embedding."""
    found = {}
    for path, weight in start.items():
        *layers, role = path.split("/")
        found.setdefault(f"head {role}" if "head" in layers else role, []).append(weight)
    return found


def gate_blocks(array, config):
    """{gate: its block}, or by number where a cell's blocks are not all gates."""
    gates = cell_spec(config.cell).gates or range(array.shape[-1] // config.units)
    return dict(zip(gates, np.split(array, len(gates), axis=-1), strict=True))


def assert_uniform(arrays, limit):
    for array in arrays:
        assert np.max(np.abs(array)) <= limit * (1 + 1e-6)
        assert np.std(array) == pytest.approx(limit / math.sqrt(3), rel=0.15)


def assert_orthogonal(matrix):
    product = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-4)


def glorot(array):
    return math.sqrt(6 / sum(array.shape))


def test_initialization_is_the_one_of_the_entry(entry):
    config, _, start, _ = entry
    weights, rule = roles(start), config.initialization
    kernels, recurrent, head = weights["kernel"], weights["recurrent_kernel"], weights["head kernel"]
    if rule.rule == "uniform":
        assert_uniform([*kernels, *recurrent, *head, *weights.get("embeddings", [])], rule.scale)
        assert np.max(np.abs(weights["head bias"][0])) <= rule.scale and np.std(weights["head bias"][0]) > 0
    elif rule.rule == "normal":
        for array in [*kernels, *recurrent, *head]:
            assert np.std(array) == pytest.approx(rule.scale, rel=0.1)
            assert abs(np.mean(array)) < 4 * rule.scale / math.sqrt(array.size)
    elif rule.rule == "keras":
        for kernel, matrix in zip(kernels, recurrent, strict=True):
            assert_uniform([kernel], glorot(kernel))
            assert_orthogonal(matrix)
    else:
        for kernel, matrix in zip(kernels, recurrent, strict=True):
            for block in gate_blocks(kernel, config).values():
                assert_uniform([block], glorot(block))
            for block in gate_blocks(matrix, config).values():
                assert_orthogonal(block)
        for embeddings in weights.get("embeddings", []):
            assert np.std(embeddings) == pytest.approx(1.0, rel=0.05)


def test_biases_start_as_the_entry_says(entry):
    config, _, start, _ = entry
    rule, spec = config.initialization, cell_spec(config.cell)
    keep = rule.forget_bias if rule.forget_bias is not None else float(rule.rule == "care")
    for bias in roles(start)["bias"]:
        for gate, block in gate_blocks(bias, config).items():
            wanted = keep if gate == spec.keep_gate else 0.0
            np.testing.assert_array_equal(block, np.full_like(block, wanted), err_msg=gate)
    if rule.rule != "uniform":
        assert not np.any(roles(start)["head bias"][0])


@pytest.mark.parametrize("name", LARGE)
def test_large_models_are_built_small(name):
    keras.utils.set_random_seed(11)
    overrides = {"units": 6, "vocabulary": 50, "bptt": 4}
    model, config = zoo.create_model(name, **overrides), zoo.info(name, **overrides)
    assert model.count_params() == zoo.count_params(name, **overrides)
    assert len(model.get_layer("deep_rnn").recurrent_layers) == config.num_layers
    assert type(model.optimizer).__name__.lower() == f"guarded{config.recipe.optimizer}"
    weights = roles({w.path: w.numpy() for w in model.weights})
    head = weights["embeddings" if config.tied else "head kernel"]
    assert_uniform([*weights["recurrent_kernel"], *head], config.initialization.scale)
    gate = "forget" if config.cell == "lstm" else 1  # of a highway the second block, transform
    wanted = -2.0 if config.initialization.forget_bias is None else config.initialization.forget_bias
    for bias in weights["bias"]:
        np.testing.assert_array_equal(gate_blocks(bias, config)[gate], np.full(6, wanted, "float32"))
