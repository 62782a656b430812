"""What `deeprnn evaluate` says of the text, and of models that have no characters."""

import keras
import pytest
from click.testing import CliRunner

from deeprnn_keras import LanguageModel, SequenceModel, zoo
from deeprnn_keras.cli import main
from deeprnn_keras.zoo import results, table


def evaluate(directory, vocabulary, *options):
    """The result of evaluating an untrained model on a short text."""
    model = LanguageModel(vocabulary, units=2)
    model.save(directory / "model.keras")
    (directory / "rhyme.txt").write_text("ab ba " * 20)
    arguments = ["evaluate", str(directory), "--text", str(directory / "rhyme.txt"), *options]
    return CliRunner().invoke(main, arguments, env={"COLUMNS": "200"})


def test_the_table_names_the_text(tmp_path):
    result = evaluate(tmp_path, "ab ")
    assert result.exit_code == 0, result.output
    assert "rhyme.txt, 119 characters" in result.stdout
    assert "validation text" not in result.stdout


@pytest.mark.parametrize("options", [[], ["--skip-unknown"]], ids=["as it is", "skipping"])
def test_a_model_over_numbers_is_an_answer_and_no_traceback(tmp_path, options):
    result = evaluate(tmp_path, 7, *options)
    assert result.exit_code == 1
    assert "text requires a vocabulary" in result.stderr


@pytest.mark.parametrize("command", ["evaluate", "generate"])
def test_a_model_of_no_family_is_refused(command, tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "odd.keras")
    result = CliRunner().invoke(main, [command, str(tmp_path / "odd.keras")])
    assert result.exit_code == 1 and "holds a Sequential, which belongs to no task family (" in result.stderr


def test_series_model_that_is_not_of_the_zoo_has_no_data(tmp_path):
    SequenceModel(2, 3, units=2).save(tmp_path / "mine.keras")
    result = CliRunner().invoke(main, ["evaluate", str(tmp_path / "mine.keras")])
    assert result.exit_code == 1 and "the model is not one of the zoo" in result.stderr


# === Models of the zoo ===


def test_a_name_evaluates_to_its_row_in_results():
    result = CliRunner().invoke(main, ["evaluate", "digits_gru_2x64"])
    assert result.exit_code == 0, result.output
    (row,) = (one for one in results.results_of("digits_gru_2x64") if one.metric == "accuracy")
    assert f"accuracy  {row.value}" in result.stdout and "examples  397" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*zoo.list_models(pretrained=True)} - {"digits_gru_2x64"}))
def test_every_trained_model_evaluates_to_its_row_in_results(name):
    result = CliRunner().invoke(main, ["evaluate", name], env={"COLUMNS": "200"})
    (row,) = (one for one in results.results_of(name) if one.metric != results.STEP_TIME)
    assert f" {row.value}" in result.stdout, result.output


@pytest.mark.slow
def test_recorded_figures_are_those_of_the_model(monkeypatch):
    kept = []
    monkeypatch.setattr(results, "record_results", kept.extend)
    monkeypatch.setattr(table, "write_page", lambda: kept.append("page"))
    result = CliRunner().invoke(main, ["evaluate", "digits_gru_2x64", "--record"])
    assert result.exit_code == 0, result.output
    accuracy, time, page = kept
    (known,) = (one for one in results.results_of("digits_gru_2x64") if one.metric == "accuracy")
    assert (accuracy.value, accuracy.split, accuracy.seed, accuracy.steps) == (known.value, "test", "0", known.steps)
    assert time.metric == results.STEP_TIME and 0 < float(time.value) < 10_000 and page == "page"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "vowels_bigru_2x6"], "unknown model 'vowels_bigru_2x6'; did you mean 'vowels_bigru_2x64'"),
        (["evaluate", "d2l_rnn_2x32"], "d2l_rnn_2x32 has no trained weights; train it, and pass the directory"),
        (
            ["evaluate", "vowels_bigru_2x64", "--data", "a.csv"],
            "vowels_bigru_2x64 comes with its data (Japanese vowels",
        ),
        (["evaluate", "kjv_lstm_2x256", "--record", "--skip-unknown"], "--record counts every character"),
        (["generate", "vowels_bigru_2x64", "--output", "a.mid"], "models of classification do not generate"),
        (
            ["evaluate", "kjv_lstm_2x256", "--record", "--text", __file__],
            "on its own text, got another one: test_command_evaluate.py",
        ),
        (["generate", "kjv_lstm_2x256"], "language models continue --prompt TEXT"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_commands_refuse(arguments, message):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and message in result.stderr, result.output


def test_a_model_of_the_zoo_generates_text():
    result = CliRunner().invoke(
        main, ["generate", "kjv_lstm_2x256", "--prompt", "And he", "--length", "9", "--seed", "1"]
    )
    assert result.stdout.startswith("And he") and len(result.stdout) == 6 + 9 + 1
