"""Models beyond the memory limit are refused before anything is allocated."""

import re

import pytest
from click.testing import CliRunner

from deeprnn_keras import DeepRNN, LanguageModel, SequenceModel, limits, zoo
from deeprnn_keras.cli import main
from deeprnn_keras.stack import layer_units

HUGE = 10**18


@pytest.fixture(autouse=True)
def default_limit(monkeypatch):
    monkeypatch.delenv(limits.VARIABLE, raising=False)
    yield
    limits.set_memory_limit(None)


MODELS = {
    "DeepRNN": lambda **sizes: DeepRNN(**{"units": 2, **sizes}).build((None, None, 3)),
    "LanguageModel": lambda **sizes: LanguageModel("abc", **{"units": 2, **sizes}),
    "SequenceModel": lambda **sizes: SequenceModel(3, 1, **{"units": 2, **sizes}, kind="numbers"),
    "create_model": lambda **sizes: zoo.create_model("kjv_lstm_2x256", vocabulary="ab", **sizes),
    "classifier": lambda **sizes: zoo.create_model("vowels_bigru_2x64", **sizes),
}


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("sizes", [{"units": 10**7}, {"units": HUGE}, {"num_layers": HUGE}], ids=str)
def test_large_models_are_refused_by_argument(sizes, make):
    with pytest.raises(ValueError, match=rf"{next(iter(sizes))}=.* more than the limit of .*{limits.VARIABLE}"):
        MODELS[make](**sizes)


@pytest.mark.parametrize("options", [["--units", "1000000"], ["--units", "9" * 18], ["--layers", "9" * 18]], ids=str)
@pytest.mark.parametrize("command", ["train", "tune"])
def test_commands_refuse_large_models(command, options, tmp_path):
    (tmp_path / "text.txt").write_text("the cat saw the dog " * 3000)
    arguments = [command, "kjv_lstm_2x256", "--text", tmp_path / "text.txt", "--output", tmp_path / "run", *options]
    result = CliRunner().invoke(main, list(map(str, arguments)), env={"COLUMNS": "250"})
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.exception
    assert options[0].strip("-") in result.stderr and "more than the limit of" in result.stderr
    assert not (tmp_path / "run").exists()


def test_number_of_parameters_is_exact():
    with pytest.raises(ValueError) as error:
        LanguageModel("abcd", units=[10**6, 10], cell=["gru", "rnn"], embedding=8, head_units=[5])
    message = str(error.value)
    limits.set_memory_limit("1000T")
    number = int(re.search("has ([0-9,]+) parameters", message)[1].replace(",", ""))
    gru = 3 * (8 * 10**6 + 10**12 + 2 * 10**6)
    assert number == 4 * 8 + gru + 10 * (10**6 + 10 + 1) + (10 + 1) * 5 + (5 + 1) * 4


@pytest.mark.parametrize("change", ["variable", "function"])
def test_limit_can_be_changed(change, monkeypatch):
    if change == "variable":
        monkeypatch.setenv(limits.VARIABLE, "1K")
    else:
        limits.set_memory_limit(1024)
    assert limits.memory_limit() == 1024
    with pytest.raises(ValueError, match=r"units=\[20\] has 1,920 parameters, which take 7.7 KB, more than .* 1.0 KB"):
        DeepRNN(20).build((None, None, 3))


@pytest.mark.parametrize("sizes", [{"units": 2, "num_layers": 10_001}, {"units": [2] * 10_001}], ids=list)
def test_limit_of_the_number_of_layers_can_be_raised(sizes):
    limits.set_memory_limit("1G")
    with pytest.raises(ValueError, match=rf"num_layers=10,001 takes 2.0 GB, more than .*{limits.VARIABLE}"):
        layer_units(**sizes)
    limits.set_memory_limit("4G")
    assert layer_units(**sizes) == [2] * 10_001


def test_file_has_weights_for_every_layer():
    with limits.limited_by_file(50), pytest.raises(ValueError, match="num_layers=51 has more layers than the file has"):
        layer_units(2, 51)


@pytest.mark.parametrize(
    ("text", "expected"), [("5", 5), (7, 7), ("2K", 2048), ("1.5 GB", 3 * 2**29), ("64GiB", 2**36), ("1t", 2**40)]
)
def test_sizes(text, expected):
    limits.set_memory_limit(text)
    assert limits.memory_limit() == expected


@pytest.mark.parametrize("text", ["", "0", "-5", "5 cats", "nan", 0, -1, True, "a"])
def test_other_sizes_are_refused(text, monkeypatch):
    with pytest.raises(ValueError, match="limit must be a positive number of bytes"):
        limits.set_memory_limit(text)
    monkeypatch.setenv(limits.VARIABLE, str(text) or "x")
    with pytest.raises(ValueError, match=rf"{limits.VARIABLE} must be a positive number of bytes"):
        limits.memory_limit()


def test_default_is_the_memory_of_the_machine():
    assert 2**30 < limits.memory_limit() < 2**50
