"""The report of `explain_kernels`: where it looks, how it reads, the zoo's cards, and the command line."""

import re

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers

import deeprnn_keras as ours
from deeprnn_keras import DeepRNN, LanguageModel, explain_kernels, zoo
from deeprnn_keras.cli import main

OBSTACLE = "recurrent_dropout=0.2 rules out cuDNN"
BEYOND = "a_layer_whose_name_alone_is_longer_than_many_a_terminal_is_wide_and_not_to_be_cut_anywhere_at_all"


def paths(model):
    return [row.path for row in explain_kernels(model)]


# === Where it looks ===


class Subclassed(keras.Model):
    """Layers in a list, a dictionary, a tuple, an attribute, and one of them twice."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [ours.LSTM(2, name="one"), layers.Dense(2)]
        self.named = {
            "x": layers.GRU(2, name="two"),
            "y": (layers.TimeDistributed(ours.GRU(2, name="three"), name="each"),),
        }
        self.again = self.blocks[0]
        self.last = layers.SimpleRNN(2, name="four")

    def call(self, x):
        return self.last(x)


class Encoder(layers.Layer):
    """A layer that is no model."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.deep_rnn = DeepRNN(2, 2, bidirectional=True, name="deep_rnn")


def nested():
    """(model, layers in order): nested models, wrappers, a shared layer."""
    shared = ours.GRU(3, name="shared", return_sequences=True)
    inner = keras.Sequential(
        [
            layers.Bidirectional(ours.LSTM(3, return_sequences=True, name="both"), name="wrapped"),
            DeepRNN(3, 2, ["lstm", layers.GRUCell], return_sequences=True, name="deep_rnn"),
            shared,
        ],
        name="inner",
    )
    x = keras.Input((4, 3))
    model = keras.Model(x, layers.LSTM(3, name="top")(shared(inner(shared(x)))), name="whole")
    first = ["shared", "inner/wrapped/forward_both", "inner/wrapped/backward_both"]
    return model, [*first, "inner/deep_rnn/forward_1", "inner/deep_rnn/forward_2", "top"]


def test_paths_of_nested_models_and_wrappers_each_layer_once():
    model, expected = nested()
    assert paths(model) == expected
    assert paths(keras.Sequential([keras.Input((4, 3)), model])) == [f"whole/{path}" for path in expected]


def test_every_layer_that_keras_knows_is_found():
    for model in (nested()[0], Subclassed(), Encoder(), zoo.create_model("d2l_gru_2x32")):
        known = [layer for layer in model._flatten_layers() if isinstance(layer, layers.RNN)]
        report = explain_kernels(model)
        assert sorted(row.path.split("/")[-1] for row in report) == sorted(layer.name for layer in known)


def test_lists_and_layers_that_are_no_models():
    assert paths(Subclassed()) == ["one", "two", "each/three", "four"]
    directions = ["forward_1", "backward_1", "forward_2", "backward_2"]
    assert paths(Encoder()) == [f"deep_rnn/{name}" for name in directions]
    assert paths(Encoder().deep_rnn) == directions
    assert paths(layers.LSTM(2, name="alone")) == ["alone"]


def test_building_changes_nothing():
    model = keras.Sequential([ours.LSTM(2, return_sequences=True, name="a"), layers.GRU(2, name="b")])
    before = explain_kernels(model)
    model(np.zeros((1, 2, 3)))
    assert explain_kernels(model) == before and len(before) == 2


def test_a_wrapped_layer_keeps_what_it_asks_for():
    for row in explain_kernels(layers.Bidirectional(ours.LSTM(2, implementation="loop", use_cudnn=False))):
        assert row.reasons[0] == "implementation='loop' requests it"


@pytest.mark.parametrize("model", [None, "kjv_lstm_2x256", 3, [layers.LSTM(2)], keras.layers.LSTM], ids=str)
def test_what_is_no_model_is_refused_by_name(model):
    with pytest.raises(ValueError, match=r"model must be a Keras model or layer, or zoo\.info"):
        explain_kernels(model)


# === How it reads ===


def various():
    return keras.Sequential(
        [
            ours.LSTM(2, return_sequences=True, name="first"),
            ours.LSTM(2, return_sequences=True, name="second"),
            ours.GRU(2, return_sequences=True, recurrent_dropout=0.2, unroll=True, activation="silu", name=BEYOND),
            layers.RNN(layers.StackedRNNCells([layers.LSTMCell(2)]), return_sequences=True, name="cells"),
            ours.LSTM(2, implementation="cudnn", name="error"),
        ]
    )


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_table_says_all_within_its_width(width):
    report = explain_kernels(various())
    text = report.text(width)
    assert all(len(line) <= width or BEYOND in line for line in text.splitlines())
    words = " ".join(text.split())
    for row in report:
        assert re.search(rf"{row.kernel} +{row.gpu_kernel} +{re.escape(row.path)}\s+{re.escape(row.type)}\s", text)
        assert all(reason in words for reason in row.reasons + row.gpu_reasons)
    assert "\x1b" not in text and not any(line != line.rstrip() for line in text.splitlines())


def test_print_and_repr_are_the_table_at_100_columns():
    report = explain_kernels(various())
    assert str(report) == repr(report) == report.text(100) != report.text(80)
    assert max(len(line) for line in str(report).splitlines() if BEYOND not in line) > 80


def test_neighbours_alike_share_their_reasons():
    model = keras.Sequential([ours.LSTM(2, return_sequences=True, name="first"), ours.LSTM(2, name="second")])
    assert str(explain_kernels(model)).splitlines() == [
        "here  on a GPU  recurrent layer",
        "",
        "xla   cudnn     first   deeprnn_keras.LSTM",
        "xla   cudnn     second  deeprnn_keras.LSTM",
        "      here      no GPU is visible to TensorFlow",
        "      on a GPU  a GPU is visible, and cuDNN supports the layer",
    ]


def test_each_reason_begins_a_line_and_the_place_is_named_once():
    assert str(explain_kernels(ours.LSTM(2, implementation="loop", unroll=True, name="a"))).splitlines()[2:] == [
        "loop  loop      a  deeprnn_keras.LSTM",
        "      both      implementation='loop' requests it",
        "                unroll=True asks for the loop written out",
    ]


def test_names_that_fit_side_by_side_take_one_line():
    lines = explain_kernels(various()).text(80).splitlines()
    assert "loop   loop      cells  keras.layers.RNN(StackedRNNCells)" in lines
    assert any(line.endswith(BEYOND) for line in lines)


def test_a_gpu_that_changes_nothing_is_said_once(monkeypatch):
    monkeypatch.setattr("deeprnn_keras.kernels.machine.has_gpu", lambda: True)
    text = str(explain_kernels(ours.LSTM(2, recurrent_dropout=0.2)))
    assert text.count(OBSTACLE) == 1 and "both" in text and "\n       here" not in text


@pytest.mark.parametrize("model", [layers.Dense(2), keras.Sequential([keras.Input((3,)), layers.Dense(2)])])
def test_no_recurrent_layer(model):
    report = explain_kernels(model)
    assert report == [] and str(report) == repr(report) == report.summary() == "no recurrent layer"


def test_rows_are_data():
    row = explain_kernels(ours.LSTM(2, name="a"))[0]
    assert (row.path, row.type, row.kernel, row.gpu_kernel) == ("a", "deeprnn_keras.LSTM", "xla", "cudnn")
    assert {row} == {explain_kernels(ours.LSTM(2, name="a"))[0]}
    with pytest.raises(AttributeError):
        row.kernel = "loop"


# === The zoo ===


@pytest.mark.parametrize("name", zoo.list_models())
def test_the_card_says_what_the_built_model_runs_on(name):
    config = zoo.info(name)
    small = {"units": 3, **({"vocabulary": 5} if config.task == "language" else {})}
    built, planned = explain_kernels(zoo.create_model(name, **small)), explain_kernels(zoo.info(name, **small))
    assert len(built) == config.num_layers * (2 if config.bidirectional else 1)
    for mine, other in zip(built, planned, strict=True):
        assert (mine.path, mine.type, mine.kernel) == (other.path, other.type, other.kernel)
        assert (mine.gpu_kernel, mine.gpu_reasons) == (other.gpu_kernel, other.gpu_reasons)
    words = {"xla": "XLA", "cudnn": "cuDNN", "loop": "Keras' loop"}
    card = dict(zoo.info(name).card())["kernels"]
    for row in built:
        assert f"on a GPU {words[row.gpu_kernel]}" in card and f"on a CPU {words[row.kernel]}" in card
        assert row.gpu_kernel == "cudnn" or all(reason in card for reason in row.gpu_reasons)


def test_a_plain_rnn_loses_cudnn_and_its_card_says_why():
    assert "Keras has no cuDNN path for a plain RNN" in dict(zoo.info("d2l_rnn_2x32").card())["kernels"]


def test_a_card_of_many_cells_names_each_layer():
    given = {
        "cell": ["rnn", "lstm", "gru"],
        "activation": ["relu", keras.activations.silu, None],
        "num_layers": 3,
        "units": 3,
    }
    config = zoo.info("kjv_lstm_2x256", **given)
    card = dict(config.card())["kernels"]
    assert "deep_rnn/forward_1: on a GPU Keras' loop (Keras has no cuDNN path" in card
    assert "deep_rnn/forward_2: on a GPU Keras' loop (activation='silu'" in card
    assert "deep_rnn/forward_3: on a GPU cuDNN; on a CPU XLA" in card
    built = explain_kernels(zoo.create_model("kjv_lstm_2x256", **given))
    assert [(r.kernel, r.gpu_kernel) for r in built] == [(r.kernel, r.gpu_kernel) for r in explain_kernels(config)]


# === The command line ===


def deeprnn(*arguments, columns=80):
    return CliRunner().invoke(main, [str(a) for a in arguments], env={"COLUMNS": str(columns)})


@pytest.fixture
def directory(tmp_path):
    """A directory like a training's."""
    LanguageModel("abc", units=2, num_layers=2, cell="gru", name="little").save(tmp_path / "model.keras")
    return tmp_path


@pytest.mark.parametrize("columns", [80, 100, 250])
def test_info_of_a_name_prints_card_and_kernels(columns):
    result = deeprnn("info", "d2l_rnn_2x32", "--kernels", columns=columns)
    assert result.exit_code == 0, result.output
    _, picture, rest = result.stdout.split("\n\n", 2)
    card, table = rest.split("\n\n", 1)
    assert "Stacked RNN of Dive into Deep Learning" in result.stdout and picture == zoo.info("d2l_rnn_2x32").diagram()
    assert "parameters" in card
    assert table.rstrip() == explain_kernels(zoo.create_model("d2l_rnn_2x32")).text(min(columns, 100))


@pytest.mark.parametrize("at", ["", "model.keras"], ids=["directory", "file"])
def test_info_of_a_file_prints_its_kernels(directory, at):
    result = deeprnn("info", directory / at, "--kernels")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("little: ") and "deep_rnn/forward_2  deeprnn_keras.GRU" in result.stdout


def test_info_of_a_file_that_is_no_language_model(tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), layers.LSTM(2, recurrent_dropout=0.2)])
    model.save(tmp_path / "stock.keras")
    result = deeprnn("info", tmp_path / "stock.keras", "--kernels", columns=250)
    assert result.stdout.endswith(f"\n\n{explain_kernels(model).text(100)}\n")


def test_info_of_a_file_with_an_unknown_class(tmp_path):
    class Odd(layers.Layer):
        def call(self, x):
            return x

    keras.Sequential([keras.Input((None, 3)), Odd(), layers.LSTM(2)]).save(tmp_path / "odd.keras")
    result = deeprnn("info", tmp_path / "odd.keras", "--kernels")
    assert result.exit_code == 1 and result.stderr.endswith(
        "could not be loaded: class 'Odd' is not registered with Keras\n"
    )


def test_what_is_no_model_is_refused_before_tensorflow_is_loaded(directory, monkeypatch):
    def load(console):
        raise AssertionError("TensorFlow is loaded before the arguments are checked")

    monkeypatch.setattr("deeprnn_keras.cli.start_tensorflow.start_tensorflow", load)
    for arguments, part in [
        ((directory,), "pass --kernels to show the"),
        ((directory / "none.keras", "--kernels"), "does not exist"),
        (("none.keras",), "does not exist"),
        (("zaremba", "--kernels"), "did you mean"),
    ]:
        result = deeprnn("info", *arguments)
        assert result.exit_code == 1 and part in result.stderr


def test_a_directory_called_like_a_model_is_meant_by_its_path(directory, monkeypatch):
    (directory / "zaremba_small").mkdir()
    monkeypatch.chdir(directory)
    assert "Penn Treebank" in deeprnn("info", "zaremba_small").stdout
    assert "model.keras' does not exist" in deeprnn("info", "./zaremba_small", "--kernels").stderr
