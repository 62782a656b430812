"""Report of `explain_kernels`: search for layers, text, cards of the zoo, and the command line."""

import re

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers
from zoo_models import BUILDABLE, small_model

import deeprnn_keras
from deeprnn_keras import DeepRNN, LanguageModel, explain_kernels, zoo
from deeprnn_keras.cli import main
from deeprnn_keras.kernels.native import library

MISSING = "the native library was not built: no C compiler was found"
REASON = "recurrent_dropout=0.2 rules out cuDNN"
LONG_NAME = "a_layer_name_that_exceeds_the_width_of_a_terminal_and_is_nevertheless_printed_in_one_piece_unbroken"


@pytest.fixture(autouse=True)
def library_is_available(monkeypatch):
    monkeypatch.setattr(library, "unavailable_reason", lambda: None)


def paths(model):
    return [row.path for row in explain_kernels(model)]


# === Search for layers ===


class Subclassed(keras.Model):
    """Model with layers in a list, a dictionary, a tuple, and an attribute, and one layer twice."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [deeprnn_keras.LSTM(2, name="one"), layers.Dense(2)]
        self.by_name = {
            "x": layers.GRU(2, name="two"),
            "y": (layers.TimeDistributed(deeprnn_keras.GRU(2, name="three"), name="wrapper"),),
        }
        self.again = self.blocks[0]
        self.last = layers.SimpleRNN(2, name="four")

    def call(self, x):
        return self.last(x)


class Encoder(layers.Layer):
    """Layer that is not a model."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.deep_rnn = DeepRNN(2, 2, bidirectional=True, name="deep_rnn")


def nested_model():
    """Return a model with nested models, wrappers, and a shared layer, and the paths of its layers in order."""
    shared = deeprnn_keras.GRU(3, name="shared", return_sequences=True)
    inner = keras.Sequential(
        [
            layers.Bidirectional(deeprnn_keras.LSTM(3, return_sequences=True, name="both"), name="wrapped"),
            DeepRNN(3, 2, ["lstm", layers.GRUCell], return_sequences=True, name="deep_rnn"),
            shared,
        ],
        name="inner",
    )
    x = keras.Input((4, 3))
    model = keras.Model(x, layers.LSTM(3, name="top")(shared(inner(shared(x)))), name="whole")
    first_paths = ["shared", "inner/wrapped/forward_both", "inner/wrapped/backward_both"]
    return model, [*first_paths, "inner/deep_rnn/forward_1", "inner/deep_rnn/forward_2", "top"]


def test_nested_and_wrapped_layers_are_listed_once():
    model, expected = nested_model()
    assert paths(model) == expected
    assert paths(keras.Sequential([keras.Input((4, 3)), model])) == [f"whole/{path}" for path in expected]


def test_every_recurrent_layer_is_found():
    for model in (nested_model()[0], Subclassed(), Encoder(), zoo.create_model("d2l_gru_2x32")):
        expected = [layer for layer in model._flatten_layers() if isinstance(layer, layers.RNN)]
        report = explain_kernels(model)
        assert sorted(row.path.split("/")[-1] for row in report) == sorted(layer.name for layer in expected)


def test_layers_in_containers_and_plain_layers_are_found():
    assert paths(Subclassed()) == ["one", "two", "wrapper/three", "four"]
    directions = ["forward_1", "backward_1", "forward_2", "backward_2"]
    assert paths(Encoder()) == [f"deep_rnn/{name}" for name in directions]
    assert paths(Encoder().deep_rnn) == directions
    assert paths(layers.LSTM(2, name="alone")) == ["alone"]


def test_report_is_the_same_before_and_after_build():
    first = deeprnn_keras.LSTM(2, implementation="xla", return_sequences=True, name="a")
    model = keras.Sequential([first, layers.GRU(2, name="b")])
    before = explain_kernels(model)
    model(np.zeros((1, 2, 3)))
    assert explain_kernels(model) == before and len(before) == 2


def test_wrapped_layer_keeps_its_implementation():
    for row in explain_kernels(layers.Bidirectional(deeprnn_keras.LSTM(2, implementation="loop", use_cudnn=False))):
        assert row.reasons[0] == "requested by implementation='loop'"


@pytest.mark.parametrize("model", [None, "kjv_lstm_2x256", 3, [layers.LSTM(2)], keras.layers.LSTM], ids=str)
def test_object_that_is_not_a_model_is_rejected(model):
    with pytest.raises(ValueError, match=r"model must be a Keras model or layer, or zoo\.info"):
        explain_kernels(model)


# === Text ===


def various_layers():
    return keras.Sequential(
        [
            deeprnn_keras.LSTM(2, return_sequences=True, name="first"),
            deeprnn_keras.LSTM(2, return_sequences=True, name="second"),
            deeprnn_keras.GRU(
                2, return_sequences=True, recurrent_dropout=0.2, unroll=True, activation="silu", name=LONG_NAME
            ),
            layers.RNN(layers.StackedRNNCells([layers.LSTMCell(2)]), return_sequences=True, name="cells"),
            deeprnn_keras.LSTM(2, implementation="cudnn", name="error"),
        ]
    )


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_table_is_complete_within_its_width(width):
    report = explain_kernels(various_layers())
    text = report.text(width)
    assert all(len(line) <= width or LONG_NAME in line for line in text.splitlines())
    joined = " ".join(text.split())
    for row in report:
        assert re.search(rf"{row.kernel} +{row.gpu_kernel} +{re.escape(row.path)}\s+{re.escape(row.type)}\s", text)
        assert all(reason in joined for reason in row.reasons + row.gpu_reasons)
    assert "\x1b" not in text and not any(line != line.rstrip() for line in text.splitlines())


def test_str_and_repr_are_the_table_at_100_columns():
    report = explain_kernels(various_layers())
    assert str(report) == repr(report) == report.text(100) != report.text(80)
    assert max(len(line) for line in str(report).splitlines() if LONG_NAME not in line) > 80


def test_equal_neighbors_share_their_reasons():
    model = keras.Sequential(
        [deeprnn_keras.LSTM(2, return_sequences=True, name="first"), deeprnn_keras.LSTM(2, name="second")]
    )
    assert str(explain_kernels(model)).splitlines() == [
        "here    on a GPU  recurrent layer",
        "",
        "native  cudnn     first   deeprnn_keras.LSTM",
        "native  cudnn     second  deeprnn_keras.LSTM",
        "        here      no GPU is visible to TensorFlow",
        "        on a GPU  a GPU is visible, and cuDNN supports the layer",
    ]


def test_each_reason_starts_a_line_and_label_is_printed_once():
    assert str(explain_kernels(deeprnn_keras.LSTM(2, implementation="loop", unroll=True, name="a"))).splitlines()[
        2:
    ] == [
        "loop  loop      a  deeprnn_keras.LSTM",
        "      both      requested by implementation='loop'",
        "                unroll=True requires the loop",
    ]


def test_path_and_type_that_fit_are_on_one_line():
    lines = explain_kernels(various_layers()).text(80).splitlines()
    assert "loop    loop      cells  keras.layers.RNN(StackedRNNCells)" in lines
    assert any(line.endswith(LONG_NAME) for line in lines)


def test_equal_reasons_on_gpu_and_here_are_printed_once(monkeypatch):
    monkeypatch.setattr("deeprnn_keras.kernels.machine.has_gpu", lambda: True)
    text = str(explain_kernels(deeprnn_keras.LSTM(2, recurrent_dropout=0.2)))
    assert text.count(REASON) == 1 and "both" in text and "\n       here" not in text


@pytest.mark.parametrize("model", [layers.Dense(2), keras.Sequential([keras.Input((3,)), layers.Dense(2)])])
def test_model_without_recurrent_layer(model):
    report = explain_kernels(model)
    assert report == [] and str(report) == repr(report) == report.summary() == "no recurrent layer"


def test_rows_are_hashable_and_frozen():
    row = explain_kernels(deeprnn_keras.LSTM(2, name="a"))[0]
    assert (row.path, row.type, row.kernel, row.gpu_kernel) == ("a", "deeprnn_keras.LSTM", "native", "cudnn")
    assert {row} == {explain_kernels(deeprnn_keras.LSTM(2, name="a"))[0]}
    with pytest.raises(AttributeError):
        row.kernel = "loop"


# === The zoo ===


@pytest.mark.parametrize("name", BUILDABLE)
def test_card_equals_report_of_built_model(name):
    config, model = small_model(name)
    built, planned = explain_kernels(model), explain_kernels(config)
    assert len(built) == config.num_layers * (2 if config.bidirectional else 1)
    for row, other in zip(built, planned, strict=True):
        assert (row.path, row.type, row.kernel) == (other.path, other.type, other.kernel)
        assert (row.gpu_kernel, row.gpu_reasons) == (other.gpu_kernel, other.gpu_reasons)
    names = {"native": "native", "xla": "XLA", "cudnn": "cuDNN", "loop": "Keras' loop", "scan": "scan"}
    names |= {"linear_scan": "linear scan"}
    card = dict(zoo.info(name).card())["kernels"]
    for row in built:
        assert f"on a GPU {names[row.gpu_kernel]}" in card and f"on a CPU {names[row.kernel]}" in card
        assert row.gpu_kernel == "cudnn" or all(reason in card for reason in row.gpu_reasons)


def test_card_of_plain_rnn_explains_why_not_cudnn():
    assert "Keras has no cuDNN path for a plain RNN" in dict(zoo.info("d2l_rnn_2x32").card())["kernels"]


def test_card_of_mixed_cells_lists_each_layer():
    overrides = {
        "cell": ["rnn", "lstm", "gru"],
        "activation": ["relu", keras.activations.silu, None],
        "num_layers": 3,
        "units": 3,
    }
    config = zoo.info("kjv_lstm_2x256", **overrides)
    card = dict(config.card())["kernels"]
    assert "deep_rnn/forward_1: on a GPU Keras' loop (Keras has no cuDNN path" in card
    assert "deep_rnn/forward_2: on a GPU Keras' loop (activation='silu'" in card
    assert "deep_rnn/forward_3: on a GPU cuDNN; on a CPU native" in card
    built = explain_kernels(zoo.create_model("kjv_lstm_2x256", **overrides))
    assert [(r.kernel, r.gpu_kernel) for r in built] == [(r.kernel, r.gpu_kernel) for r in explain_kernels(config)]


@pytest.mark.parametrize(
    ("reason", "activation", "on_cpu"),
    [
        (None, None, "on a CPU native"),
        (MISSING, None, f"on a CPU XLA ({MISSING})"),
        (None, [None, "elu"], "deep_rnn/forward_1: on a GPU cuDNN; on a CPU XLA (another layer of the stack: activ"),
    ],
)
def test_card_explains_why_not_native(monkeypatch, reason, activation, on_cpu):
    monkeypatch.setattr(library, "unavailable_reason", lambda: reason)
    overrides = {"units": 3, "activation": activation}
    config = zoo.info("kjv_lstm_2x256", **overrides)
    assert on_cpu in dict(config.card())["kernels"]
    built = explain_kernels(zoo.create_model("kjv_lstm_2x256", **overrides))
    assert [row.kernel for row in built] == [row.kernel for row in explain_kernels(config)]


# === The command line ===


def run_deeprnn(*arguments, columns=80):
    return CliRunner().invoke(main, [str(a) for a in arguments], env={"COLUMNS": str(columns)})


@pytest.fixture
def directory(tmp_path):
    """Directory with a saved model, as the output directory of a run."""
    LanguageModel("abc", units=2, num_layers=2, cell="gru", name="little").save(tmp_path / "model.keras")
    return tmp_path


@pytest.mark.parametrize("columns", [80, 100, 250])
def test_info_of_zoo_model_prints_card_and_kernels(columns):
    result = run_deeprnn("info", "d2l_rnn_2x32", "--kernels", columns=columns)
    assert result.exit_code == 0, result.output
    _, diagram, rest = result.stdout.split("\n\n", 2)
    card, table = rest.split("\n\n", 1)
    assert "Stacked RNN of Dive into Deep Learning" in result.stdout and diagram == zoo.info("d2l_rnn_2x32").diagram()
    assert "parameters" in card
    assert table.rstrip() == explain_kernels(zoo.create_model("d2l_rnn_2x32")).text(min(columns, 100))


@pytest.mark.parametrize("name", ["", "model.keras"], ids=["directory", "file"])
def test_info_of_file_prints_its_kernels(directory, name):
    result = run_deeprnn("info", directory / name, "--kernels")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("little: ") and "deep_rnn/forward_2  deeprnn_keras.GRU" in result.stdout


def test_info_of_file_of_another_model(tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), layers.LSTM(2, recurrent_dropout=0.2)])
    model.save(tmp_path / "stock.keras")
    result = run_deeprnn("info", tmp_path / "stock.keras", "--kernels", columns=250)
    assert result.stdout.endswith(f"\n\n{explain_kernels(model).text(100)}\n")


def test_info_of_file_with_unknown_class(tmp_path):
    class Unknown(layers.Layer):
        def call(self, x):
            return x

    keras.Sequential([keras.Input((None, 3)), Unknown(), layers.LSTM(2)]).save(tmp_path / "unknown.keras")
    result = run_deeprnn("info", tmp_path / "unknown.keras", "--kernels")
    assert result.exit_code == 1
    assert re.search(r"unknown\.keras: config\['config'\]\['layers'\]\[1\] names '.*Unknown', which", result.stderr)


def test_invalid_argument_is_rejected_before_tensorflow_is_loaded(directory, monkeypatch):
    def load(console):
        raise AssertionError("TensorFlow was loaded before the arguments were checked")

    monkeypatch.setattr("deeprnn_keras.cli.start_tensorflow.start_tensorflow", load)
    for arguments, part in [
        ((directory,), "pass --kernels to show the"),
        ((directory / "none.keras", "--kernels"), "does not exist"),
        (("none.keras",), "does not exist"),
        (("zaremba", "--kernels"), "did you mean"),
    ]:
        result = run_deeprnn("info", *arguments)
        assert result.exit_code == 1 and part in result.stderr


def test_directory_with_name_of_zoo_model_needs_a_path(directory, monkeypatch):
    (directory / "zaremba_small").mkdir()
    monkeypatch.chdir(directory)
    assert "Penn Treebank" in run_deeprnn("info", "zaremba_small").stdout
    assert "model.keras' does not exist" in run_deeprnn("info", "./zaremba_small", "--kernels").stderr
