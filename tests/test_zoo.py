"""One walk over every model of the zoo, and the zoo's own functions."""

import math
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from deeprnn_keras import LanguageModel, Recipe, cell_spec, zoo
from deeprnn_keras.zoo import registry

COUNTS = {name: zoo.info(name).params for name in zoo.list_models()}
PUBLISHED = {  # what a Keras build of the published sizes must show
    "adding_lstm_2x77": 72_458,
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
LANGUAGE = zoo.list_models(task="language")
SMALL = [name for name, count in COUNTS.items() if count < 1_000_000]
LARGE = sorted(COUNTS.keys() - set(SMALL))
EVERY = pytest.mark.parametrize("name", zoo.list_models())


# === Counting and information, nothing built ===


@EVERY
def test_the_count_is_the_one_that_the_entry_states(name):
    assert zoo.count_params(name) == COUNTS[name]
    lines = [line.split()[-1].replace(",", "") for line in zoo.info(name).diagram().splitlines()]
    assert sum(int(word) for word in lines if word.isdigit()) == COUNTS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name):
    assert zoo.count_params(name) == PUBLISHED[name]


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
    assert isinstance(config.recipe, Recipe)


@EVERY
def test_no_row_of_a_card_is_empty(name):
    rows = zoo.info(name).card()
    assert all(what.strip() and value.strip() for what, value in rows)
    assert len(dict(rows)) == len(rows)
    for what in ("intended use", "limits", "kernels", "data", "published result"):
        assert what in dict(rows)
    for what in ("architecture", "initialization", "optimizer", "learning rate", "gradient clip", "epochs", "source"):
        assert what in dict(rows)
    assert dict(rows)["weights count"] == f"{COUNTS[name]:,}"
    printed = str(zoo.info(name))
    assert all(len(line) <= 100 for line in printed.splitlines() if "^" not in line and "(n" not in line)
    assert all(word in printed for _, value in rows for word in value.split()[:1])


@pytest.mark.parametrize("name", LANGUAGE)
def test_what_a_run_needs_is_consistent(name):
    config = zoo.info(name)
    assert config.symbols in ("characters", "words", "bytes")
    if config.letters:
        assert isinstance(config.vocabulary, str), "text reduced to letters has known symbols"
    if config.corpus == "king_james" and config.symbols == "characters":
        from deeprnn_keras import king_james

        assert config.vocabulary == king_james().vocabulary.symbols
    assert (config.recipe.train_windows is None) == (config.recipe.validation_windows is None)


def test_list_models_by_pattern_task_and_weights():
    assert zoo.list_models() == sorted(COUNTS)
    assert zoo.list_models("zaremba_*") == ["zaremba_large", "zaremba_medium", "zaremba_small"]
    assert zoo.list_models("*_2x?2") == ["d2l_gru_2x32", "d2l_rnn_2x32"]
    assert zoo.list_models("nothing*") == []
    assert zoo.list_models("d2l_r*", task="language", pretrained=False) == ["d2l_rnn_2x32"]
    having, lacking = zoo.list_models(pretrained=True), zoo.list_models(pretrained=False)
    assert sorted([*having, *lacking]) == sorted(COUNTS) and "kjv_lstm_2x256" in having


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


# === Built ===


def examples(model):
    """(x, y) of random sequences, of four steps where the model does not ask for more."""
    rng = np.random.default_rng(1)
    if isinstance(model, LanguageModel):
        ids = rng.integers(model.vocabulary_size, size=(3, 5)).astype("int32")
        return ids[:, :-1], ids[:, 1:]
    shape = [size or 4 for size in model.inputs[0].shape[1:]]
    ids = model.get_config()["embedding"] is not None
    x = rng.integers(50, size=(3, *shape)) if ids else rng.normal(size=(3, *shape)).astype("float32")
    outputs = model.output_shape[-1]
    y = {"classes": rng.integers(outputs, size=3), "binary": rng.integers(2, size=(3, 1))}
    y = y.get(model.kind, rng.integers(2, size=(3, *(shape[:1] if model.per_step else []), outputs)))
    return ([x, np.ones((3, shape[0]), bool)] if model.masks else x), y


@pytest.fixture(scope="module", params=SMALL)
def entry(request, tmp_path_factory):
    """(configuration, model as built, its first weights, the model after one update, its file)."""
    keras.utils.set_random_seed(11)
    model = zoo.create_model(request.param)
    start = {w.path: w.numpy() for w in model.weights}
    x, y = examples(model)
    model.fit(x, y, batch_size=3, verbose=0)
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
    loaded, (x, _) = keras.models.load_model(path), examples(model)
    np.testing.assert_array_equal(loaded(x), model(x))
    if isinstance(model, LanguageModel):
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
    elif rule.rule == "irnn":
        assert np.std(kernels[0]) == pytest.approx(rule.scale, rel=0.2)
        np.testing.assert_array_equal(recurrent[0], np.eye(config.units))
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
    keep = rule.forget_bias if rule.forget_bias is not None else float(rule.rule == "care" and config.cell == "lstm")
    for bias in roles(start)["bias"]:
        for gate, block in gate_blocks(bias, config).items():
            wanted = keep if gate == spec.keep_gate else 0.0
            np.testing.assert_array_equal(block, np.full_like(block, wanted), err_msg=gate)
    if rule.rule != "uniform":
        assert not np.any(roles(start)["head bias"][0])


@pytest.fixture(scope="module", params=LARGE)
def reduced(request):
    """(configuration, model) of a large entry with six units."""
    keras.utils.set_random_seed(11)
    language = request.param in LANGUAGE
    overrides = {"units": 6, **({"vocabulary": 50, "bptt": 4} if language else {})}
    return zoo.info(request.param, **overrides), zoo.create_model(request.param, **overrides)


def test_large_models_are_built_small(reduced):
    config, model = reduced
    assert model.count_params() == config.count_params()
    layers = model.get_layer("deep_rnn").recurrent_layers
    assert len(layers) == config.num_layers * (2 if config.bidirectional else 1)
    assert type(model.optimizer).__name__.lower() == f"guarded{config.recipe.optimizer}"


def test_large_models_start_as_their_entries_say(reduced):
    config, model = reduced
    weights, rule = roles({w.path: w.numpy() for w in model.weights}), config.initialization
    if rule.rule == "uniform":
        head = weights["embeddings" if config.tied else "head kernel"]
        assert_uniform([*weights["recurrent_kernel"], *head], rule.scale)
    gate = "forget" if config.cell == "lstm" else 1  # of a highway the second block, transform
    own = {"care": 1.0, "keras": 1.0}.get(rule.rule, -2.0)
    wanted = own if rule.forget_bias is None else rule.forget_bias
    for bias in weights["bias"]:
        np.testing.assert_array_equal(gate_blocks(bias, config)[gate], np.full(6, wanted, "float32"))


def test_large_models_learn_in_every_weight_and_come_back(reduced, tmp_path):
    config, model = reduced
    start, (x, y) = model.get_weights(), examples(model)
    if config.recipe.stateful:
        x = [x, np.ones(len(x), bool)]
    model.train_on_batch(x, y)
    for weight, before in zip(model.weights, start, strict=True):
        assert np.any(weight.numpy() != before), f"{weight.path} learns"
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras")(x), model(x))
