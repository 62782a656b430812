"""Checks of every model of the zoo: parameter counts and cards without building, then models built with 6 units."""

import math
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
from zoo_models import BUILDABLE, small_model

from deeprnn_keras import AudioEffect, LanguageModel, Recipe, zoo
from deeprnn_keras.audit.find_layers import recurrent_layers
from deeprnn_keras.forecasting.combination import COLUMNS
from deeprnn_keras.specs import registered_cell
from deeprnn_keras.tasks import families
from deeprnn_keras.zoo import Initialization, registry

NAMES = zoo.list_models()
EVERY_MODEL = pytest.mark.parametrize("name", NAMES)
PUBLISHED_PARAMS = {  # parameter counts of Keras models of the published sizes
    "adding_indrnn_2x128": 17_281,
    "adding_lstm_2x77": 72_458,
    "indrnn_seq_mnist": 86_410 + 6 * 2 * 128,  # trainable, and the moments of 6 batch normalizations
    "graves_timit_3l": 3_787_562,  # 3.8M
    "graves_timit_5l": 6_794_562,  # 6.8M
    "graves_handwriting": 3_368_121,  # 3.4M
    "mlstm_amazon": 86_319_360,  # 86.3M
    "big_lstm_lm1b": 1_776_882_559,  # 1.8B
    "seq2seq_4x1000": 384_032_000 + 80_000,  # 384M, and the biases of the output layer
    "awd_lstm_wt2": 33_545_278,  # 33M
    "awd_lstm_ptb_char": 13_778_850,  # 13.8M
    "awd_lstm_enwik8": 47_253_725,  # 47M
    "darts_rnn": 701,
    "deepar": 21_563,
    "nixtla_gru": 388_857,
    "nixtla_lstm": 214_785,
    "awd_lstm_ptb": 24_210_800,
    "melis_lstm_ptb_10m": 9_997_280,
    "char_rnn_2x128": 239_297,
    "char_rnn_2x512": 3_316_289,
    "char_rnn_3x700": 10_035_965,
    "d2l_gru_2x32": 13_212,
    "d2l_lstm_2x256": 824_348,
    "d2l_rnn_2x32": 4_956,
    "imdb_bilstm_2x64": 2_757_761,
    "lstm_seq_mnist": 69_950,
    "music_lstm_jsb": 569_688,
    "music_lstm_nottingham": 1_694_648,
    "zaremba_large": 66_022_000,
    "zaremba_medium": 19_775_200,
    "zaremba_small": 4_651_600,
}
ONE_PER_FAMILY = ["kjv_lstm_2x256", "vowels_bigru_2x64", "adding_lstm_2x77", "music_lstm_jsb", "deepar"]
ONE_PER_FAMILY += ["graves_timit_3l", "graves_handwriting", "recurrent_forecaster_150k", "amp_lstm_1x16"]


# === Parameter counts and cards, without building ===


@EVERY_MODEL
def test_entry_is_complete(name):
    config = zoo.info(name)
    assert config.name == name and config.task in families() and isinstance(config.recipe, Recipe)
    for field in ("title", "paper", "data"):
        assert getattr(config, field).strip(), field
    assert config.url.startswith("https://") or config.paper.startswith("none: a configuration of this project")
    assert zoo.count_params(name) == config.params == PUBLISHED_PARAMS.get(name, config.params)
    last_words = [line.split()[-1].replace(",", "") for line in config.diagram().splitlines()]
    assert sum(int(word) for word in last_words if word.isdigit()) == config.params


@EVERY_MODEL
def test_card_is_complete(name):
    rows = zoo.info(name).card()
    assert all(label.strip() and value.strip() for label, value in rows)
    assert len(dict(rows)) == len(rows)
    for label in ("intended use", "limits", "kernels", "data", "published result"):
        assert label in dict(rows)
    for label in (
        "architecture",
        "initialization",
        "optimizer",
        "learning rate",
        "gradient clipping",
        "epochs",
        "source",
    ):
        assert label in dict(rows)
    assert dict(rows)["parameters"] == f"{zoo.info(name).params:,}"
    printed = zoo.card(name)
    assert printed == str(zoo.info(name))
    assert all(len(line) <= 100 for line in printed.splitlines() if "^" not in line and "(n" not in line)
    assert all(word in printed for _, value in rows for word in value.split()[:1])


def test_counting_and_cards_do_not_import_keras_or_tensorflow():
    code = (
        "import sys; from deeprnn_keras import zoo\n"
        "total = sum(zoo.count_params(name) for name in zoo.list_models())\n"
        "for name in zoo.list_models(): zoo.card(name, units=3)\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules); print(total)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.strip() == str(sum(zoo.info(name).params for name in NAMES)), process.stderr


@pytest.mark.parametrize("name", zoo.list_models(task="language"))
def test_vocabulary_and_windows_of_language_models_are_consistent(name):
    config = zoo.info(name)
    assert config.symbols in ("characters", "words", "bytes")
    if getattr(config, "letters", False):
        assert isinstance(config.vocabulary, str), "a model with letters=True must list its symbols"
    if config.corpus == "king_james" and config.symbols == "characters":
        from deeprnn_keras import king_james

        assert config.vocabulary == king_james().vocabulary.symbols
    assert (config.recipe.train_windows is None) == (config.recipe.validation_windows is None)


def test_list_models_by_pattern_task_and_weights():
    assert zoo.list_models("zaremba_*") == ["zaremba_large", "zaremba_medium", "zaremba_small"]
    assert zoo.list_models("*_2x?2") == ["d2l_gru_2x32", "d2l_rnn_2x32"]
    assert zoo.list_models("nothing*") == []
    assert zoo.list_models("d2l_r*", task="language", pretrained=False) == ["d2l_rnn_2x32"]
    pretrained, untrained = zoo.list_models(pretrained=True), zoo.list_models(pretrained=False)
    assert sorted([*pretrained, *untrained]) == NAMES and "kjv_lstm_2x256" in pretrained


def test_unknown_task_is_an_error():
    with pytest.raises(ValueError, match="unknown task 'langage'; did you mean 'language'"):
        zoo.list_models(task="langage")


@pytest.mark.parametrize("function", [zoo.info, zoo.card, zoo.count_params, zoo.create_model], ids=lambda f: f.__name__)
def test_unknown_name_suggests_similar_names(function):
    with pytest.raises(ValueError, match=r"unknown model 'kjv_lstm'; did you mean .*'kjv_lstm_2x256'"):
        function("kjv_lstm")


def test_duplicate_name_is_rejected(monkeypatch):
    monkeypatch.setattr(registry.MODELS, "_entries", dict(registry.MODELS._entries))
    config = zoo.info("d2l_rnn_2x32")
    with pytest.raises(ValueError, match="a model named 'd2l_rnn_2x32' exists already"):
        registry.register(config)
    registry.register(replace(config, name="mine", units=5))
    assert "mine" in zoo.list_models() and zoo.count_params("mine") == 5 * (28 + 5 + 1) + 5 * 11 + 6 * 28


def test_counted_models_are_never_built():
    counted = [name for name in NAMES if name not in BUILDABLE]
    assert counted == ["big_lstm_lm1b", "mlstm_amazon", "seq2seq_4x1000"]
    for name in counted:
        message = rf"{name} is listed for its parameter count only .* {zoo.count_params(name):,} parameters .* GiB"
        with pytest.raises(ValueError, match=message):
            zoo.create_model(name)
    assert zoo.count_params("mlstm_amazon", units=8, embedding=2) == 256 * 2 + 5 * 8 * (2 + 8) + 4 * 8 + 80 + 9 * 256


# === Models built with 6 units ===


def examples(model):
    """Return (x, y) of random sequences with 2 time steps, or the fixed length of the model."""
    rng = np.random.default_rng(1)
    if isinstance(model, LanguageModel):
        ids = rng.integers(model.vocabulary_size, size=(3, 3)).astype("int32")
        stateful = len(model.inputs) == 2
        return ([ids[:, :-1], np.ones(3, bool)] if stateful else ids[:, :-1]), ids[:, 1:]
    if isinstance(model, AudioEffect):
        return [rng.normal(size=(3, 4, 1)).astype("float32"), np.ones(3, bool)], rng.normal(size=(3, 4, 1))
    shape = [size or 2 for size in model.inputs[0].shape[1:]]
    ids = model.get_config()["embedding"] is not None
    x = rng.integers(50, size=(3, *shape)) if ids else rng.normal(size=(3, *shape)).astype("float32")
    outputs = COLUMNS if model.name == "recurrent_forecaster_150k" else model.output_shape[-1]
    y = {"classes": rng.integers(outputs, size=3), "binary": rng.integers(2, size=(3, 1))}
    y |= {"ctc": np.array([[1, 0], [2, 1], [1, 0]]), "strokes": rng.integers(2, size=(3, shape[0], 3))}
    y = y.get(model.kind, rng.integers(2, size=(3, *(shape[:1] if model.per_step else []), outputs)))
    return ([x, np.ones((3, shape[0]), bool)] if model.masks else x), y


def assert_trains_and_reloads(config, model, path):
    """Assert that one update changes every weight and that the reloaded model computes the same outputs."""
    initial_weights, (x, y) = model.get_weights(), examples(model)
    model.train_on_batch(x, y)
    for weight, before in zip(model.weights, initial_weights, strict=True):
        assert np.any(weight.numpy() != before), f"{weight.path} is not trained"
        assert np.all(np.isfinite(weight.numpy())), weight.path
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert model.name == loaded.name == config.name
    if isinstance(model, LanguageModel):
        assert loaded.vocabulary == model.vocabulary


@pytest.fixture(scope="module", params=BUILDABLE)
def entry(request):
    return small_model(request.param)


def test_built_model_matches_counted_params_and_recipe_optimizer(entry):
    config, model = entry
    assert model.count_params() == config.count_params()
    assert len(recurrent_layers(model)) == config.num_layers * (2 if config.bidirectional else 1)
    assert type(model.optimizer).__name__.lower() == f"guarded{config.recipe.optimizer}"


def weights_by_role(model):
    """Return {role: arrays} with the roles kernel, recurrent_kernel, bias, head kernel, head bias, and embeddings."""
    arrays = {}
    for weight in model.weights:
        *layers, role = weight.path.split("/")
        arrays.setdefault(f"head {role}" if "head" in layers else role, []).append(weight.numpy())
    return arrays


def first_cell(config):
    return registered_cell(config.cell[0] if isinstance(config.cell, tuple) else config.cell)


def gate_blocks(array, config):
    """Return {gate: block}, with block numbers as keys for cells whose blocks are not all gates."""
    gates = first_cell(config).gates or range(array.shape[-1] // config.units)
    return dict(zip(gates, np.split(array, len(gates), axis=-1), strict=True))


def assert_uniform(arrays, limit):
    values = np.concatenate([array.ravel() for array in arrays])
    assert np.max(np.abs(values)) <= limit * (1 + 1e-6)
    assert np.std(values) == pytest.approx(limit / math.sqrt(3), rel=0.3 if values.size < 200 else 0.15)


def assert_orthogonal(matrix):
    if matrix.ndim == 1:  # an elementwise recurrence that neither vanishes nor explodes
        assert np.all((matrix >= 0) & (matrix <= 2 ** (1 / 200)))
        return
    product = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-4)


def glorot(array):
    return math.sqrt(6 / sum(array.shape))


def check_uniform(weights, rule, config):
    head = weights["embeddings"] if config.tied else weights["head kernel"]
    assert_uniform(
        [*weights["kernel"], *weights["recurrent_kernel"], *head, *weights.get("embeddings", [])], rule.scale
    )
    assert 0 < np.max(np.abs(weights["head bias"][0])) <= rule.scale * (1 + 1e-6)


def check_normal(weights, rule, config):
    values = np.concatenate([a.ravel() for a in [*weights["kernel"], *weights["recurrent_kernel"]]])
    assert np.std(values) == pytest.approx(rule.scale, rel=0.1)
    assert abs(np.mean(values)) < 4 * rule.scale / math.sqrt(values.size)


def check_irnn(weights, rule, config):
    assert np.std(weights["kernel"][0]) == pytest.approx(rule.scale, rel=0.7)  # 6 values
    np.testing.assert_array_equal(weights["recurrent_kernel"][0], np.eye(config.units))


def check_keras(weights, rule, config):
    for kernel, matrix in zip(weights["kernel"], weights["recurrent_kernel"], strict=True):
        assert np.max(np.abs(kernel)) <= glorot(kernel)
        assert_orthogonal(matrix)


def check_care(weights, rule, config):
    for kernel in [*weights["kernel"], *weights.get("gate_kernel", [])]:
        for block in gate_blocks(kernel, config).values():
            assert np.max(np.abs(block)) <= glorot(block)
    for decay in weights.get("decay", []):
        assert np.all((decay >= 0.001) & (decay <= config.cell["max_decay"]))
    recurrent = weights.get("recurrent_kernel", [])
    assert len(recurrent or weights["decay"]) == len(weights["kernel"])
    for matrix in recurrent:
        for block in gate_blocks(matrix, config).values():
            assert_orthogonal(block)
    for embeddings in weights.get("embeddings", []):
        assert np.std(embeddings) == pytest.approx(1.0, rel=0.15)


CHECKS = {
    "uniform": check_uniform,
    "normal": check_normal,
    "irnn": check_irnn,
    "keras": check_keras,
    "care": check_care,
}


def test_weights_follow_the_initialization_rule(entry):
    config, model = entry
    CHECKS[config.initialization.rule](weights_by_role(model), config.initialization, config)


def nonzero_biases(config):
    """Return {gate: bias} of the gates with a nonzero initial bias."""
    rule, cell = config.initialization, first_cell(config)
    keep_gate = cell.keep_gate if cell.gates else 1  # in a peephole LSTM, the second block
    if isinstance(config.cell, dict) and "transform_bias" in config.cell:
        return {1: config.cell["transform_bias"]}  # second block of a highway layer
    if rule.forget_bias is not None:
        return {keep_gate: rule.forget_bias}
    gated = config.cell in ("lstm", "peephole_lstm")
    return {keep_gate: 1.0} if gated and rule.rule in ("care", "keras") else {}


def test_initial_biases_match_the_entry(entry):
    config, model = entry
    weights, expected = weights_by_role(model), nonzero_biases(config)
    for bias in weights["bias"]:
        for gate, block in gate_blocks(bias, config).items():
            np.testing.assert_array_equal(block, np.full_like(block, expected.get(gate, 0.0)), err_msg=str(gate))
    if config.initialization.rule != "uniform":
        assert not np.any(weights["head bias"][0])


def with_effect(recipe):
    """Return a recipe with a learning rate at which one update of SGD is not lost to rounding."""
    return recipe.replace(learning_rate=max(recipe.learning_rate, 1.0 if recipe.optimizer == "sgd" else 0.0))


def test_update_changes_every_weight_and_model_reloads(entry, tmp_path):
    config, model = entry
    loop = type(model).from_config({**model.get_config(), "implementation": "loop"})  # no compilation
    with_effect(config.recipe).compile(loop, config.family.loss(loop))
    loop.run_eagerly = True
    assert_trains_and_reloads(config, loop, tmp_path / "m.keras")


# === Models of published size ===


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_PER_FAMILY)
def test_model_of_published_size(name, tmp_path):
    """Use the default implementation, as a graph."""
    keras.utils.set_random_seed(11)
    config = zoo.info(name)
    model = zoo.create_model(name, learning_rate=with_effect(config.recipe).learning_rate)
    assert model.count_params() == config.params
    weights, rule = weights_by_role(model), config.initialization
    if rule.rule == "uniform":
        check_uniform(weights, rule, config)
        weights = {"kernel": [], "recurrent_kernel": []}
    for kernel, matrix in zip(weights["kernel"], weights["recurrent_kernel"], strict=True):
        for block in gate_blocks(kernel, config).values() if rule.rule == "care" else [kernel]:
            assert_uniform([block], glorot(block))
        for block in gate_blocks(matrix, config).values() if rule.rule == "care" else [matrix]:
            assert_orthogonal(block)
    assert_trains_and_reloads(config, model, tmp_path / "m.keras")


def test_every_family_has_a_model_of_published_size():
    assert {zoo.info(name).task for name in ONE_PER_FAMILY} == {zoo.info(name).task for name in NAMES}


# === Regularization and data of single entries ===


def test_awd_models_apply_every_dropout_of_their_recipes():
    for name, between, recurrent, symbols in (
        ("awd_lstm_ptb", 0.25, 0.5, 0.1),
        ("awd_lstm_wt2", 0.2, 0.5, 0.1),
        ("awd_lstm_ptb_char", 0.25, 0.5, 0.0),
        ("awd_lstm_enwik8", 0.1, 0.2, 0.0),
    ):
        config, model = small_model(name)
        stack = model.get_layer("deep_rnn")
        assert stack.variational_dropout == [0.0, between, between] and stack.dropout == 0, name
        assert stack.weight_dropout == recurrent and model.get_config()["embedding_dropout"] == symbols, name
        for place in ("input_dropout", "output_dropout"):
            layer = model.get_layer(place)
            assert isinstance(layer, keras.layers.SpatialDropout1D) and layer.rate == getattr(config, place), place
        assert (stack.ar, stack.tar) == ((2, 1) if config.symbols == "words" else (0, 0)) and config.recipe.random_bptt
        assert f"recurrent matrices {recurrent:g}" in dict(config.card())["dropout"]
    assert small_model("melis_lstm_ptb_10m")[1].get_layer("deep_rnn").cells[0]["recurrent_dropout"] == 0.215


def test_adding_problem_has_as_many_steps_as_the_model_reads():
    config = zoo.info("adding_indrnn_2x128", length=7)
    data = config.family.load_data(config)
    assert data.test.series[0].shape == (7, 2) and len(data.validation) == 1_000
    batches = config.family.batches(small_model("adding_indrnn_2x128")[1], data.train, 50, seed=0)
    assert len(batches) == 1_000 and next(iter(batches))[0].shape == (50, 7, 2)


# === Initialization on the card ===


@EVERY_MODEL
def test_card_names_only_the_initialization_that_the_model_has(name):
    config = zoo.info(name)
    text = dict(config.card())["initialization"]
    gated = first_cell(config).keep_gate is not None
    assert config.embedding is not None or "embedding" not in text
    assert gated or ("per gate" not in text and "forget bias" not in text)


@pytest.mark.parametrize(
    "rule, cell, embedding, text",
    [
        ("care", "lstm", True, "Glorot kernels and orthogonal recurrent matrices per gate; embedding N(0, 1)"),
        ("care", "gru", False, "Glorot kernels and orthogonal recurrent matrices per gate"),
        ("care", "rnn", False, "Glorot kernels and orthogonal recurrent matrices"),
        ("care", ("rnn", "lstm"), False, "Glorot kernels and orthogonal recurrent matrices per gate"),
        ("uniform", "lstm", False, "U(-0.1, 0.1)"),
    ],
)
def test_description_of_an_initialization(rule, cell, embedding, text):
    assert Initialization(rule, 0.1).describe(cell, embedding=embedding) == text
    bias = "forget bias 1" if cell in ("lstm", "gru") else "zero biases"
    assert Initialization(rule, 0.1, 1.0).describe(cell, embedding=embedding) == f"{text}, {bias}"
