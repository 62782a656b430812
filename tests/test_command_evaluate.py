"""`deeprnn evaluate` and `generate`: scores of zoo models, and unsupported models and arguments."""

import keras
import pytest
from click.testing import CliRunner

from deeprnn_keras import LanguageModel, SequenceModel, zoo
from deeprnn_keras.cli import main
from deeprnn_keras.zoo import results, table


def evaluate(directory, vocabulary, *options):
    """Evaluate an untrained model on a short text."""
    model = LanguageModel(vocabulary, units=2)
    model.save(directory / "model.keras")
    (directory / "rhyme.txt").write_text("ab ba " * 20)
    arguments = ["evaluate", str(directory), "--text", str(directory / "rhyme.txt"), *options]
    return CliRunner().invoke(main, arguments, env={"COLUMNS": "200"})


def test_score_table_names_the_text(tmp_path):
    result = evaluate(tmp_path, "ab ")
    assert result.exit_code == 0, result.output
    assert "rhyme.txt, 119 characters" in result.stdout
    assert "validation text" not in result.stdout


@pytest.mark.parametrize("options", [[], ["--skip-unknown"]], ids=["default", "skip_unknown"])
def test_model_over_ids_is_an_error(tmp_path, options):
    result = evaluate(tmp_path, 7, *options)
    assert result.exit_code == 1
    assert "text requires a vocabulary" in result.stderr


@pytest.mark.parametrize("command", ["evaluate", "generate"])
def test_model_of_no_family_is_an_error(command, tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "odd.keras")
    result = CliRunner().invoke(main, [command, str(tmp_path / "odd.keras")])
    assert result.exit_code == 1 and "is a Sequential, which no task family supports (" in result.stderr


def test_series_model_outside_the_zoo_has_no_data(tmp_path):
    SequenceModel(2, 3, units=2).save(tmp_path / "mine.keras")
    result = CliRunner().invoke(main, ["evaluate", str(tmp_path / "mine.keras")])
    assert result.exit_code == 1 and "the data of a model that is not in the zoo are unknown" in result.stderr


# === Models of the zoo ===


def test_zoo_model_reaches_its_recorded_score():
    result = CliRunner().invoke(main, ["evaluate", "digits_gru_2x64"])
    assert result.exit_code == 0, result.output
    (stored,) = (row for row in results.results_of("digits_gru_2x64") if row.metric == "accuracy")
    assert f"accuracy  {stored.value}" in result.stdout and "examples  397" in result.stdout


ELSEWHERE = {"digits_gru_2x64", "temperature_deepar"}
"""Models whose scores other tests compute: above, and in forecasting/test_pretrained.py."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long if name.startswith("kjv_lstm") else pytest.mark.slow)
        for name in sorted({*zoo.list_models(pretrained=True)} - ELSEWHERE)
    ],
)
def test_every_trained_model_reaches_its_recorded_score(name):
    result = CliRunner().invoke(main, ["evaluate", name], env={"COLUMNS": "200"})
    stored = [row for row in results.results_of(name) if row.metric != results.STEP_TIME]
    assert stored and all(f" {row.value}" in result.stdout for row in stored), result.output


@pytest.mark.slow
def test_recorded_results_are_those_of_the_model(monkeypatch):
    recorded = []
    monkeypatch.setattr(results, "record_results", recorded.extend)
    monkeypatch.setattr(table, "write_page", lambda: recorded.append("page"))
    result = CliRunner().invoke(main, ["evaluate", "digits_gru_2x64", "--record"])
    assert result.exit_code == 0, result.output
    accuracy, step_time, page = recorded
    (stored,) = (row for row in results.results_of("digits_gru_2x64") if row.metric == "accuracy")
    assert (accuracy.value, accuracy.split, accuracy.seed, accuracy.steps) == (stored.value, "test", "0", stored.steps)
    assert step_time.metric == results.STEP_TIME and 0 < float(step_time.value) < 10_000 and page == "page"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "vowels_bigru_2x6"], "unknown model 'vowels_bigru_2x6'; did you mean 'vowels_bigru_2x64'"),
        (["evaluate", "d2l_rnn_2x32"], "d2l_rnn_2x32 has no trained weights; train it, and pass the output directory"),
        (
            ["evaluate", "vowels_bigru_2x64", "--data", "a.csv"],
            "are included; leave out --data",
        ),
        (["evaluate", "kjv_lstm_2x256", "--record", "--skip-unknown"], "--record does not support --skip-unknown"),
        (["generate", "vowels_bigru_2x64", "--output", "a.mid"], "does not support generation"),
        (
            ["evaluate", "kjv_lstm_2x256", "--record", "--text", __file__],
            "requires the text that kjv_lstm_2x256 was trained on, got test_command_evaluate.py",
        ),
        (
            ["generate", "kjv_lstm_2x256"],
            "language models require --prompt, got no options",
        ),
        (
            ["generate", "kjv_lstm_2x256", "--prompt", "a", "--notes", "3", "--output", "a.mid", "--data", "a.txt"],
            "language models do not support --notes, --output, --data; leave out --notes, --output, --data",
        ),
        (["generate", "bach_lstm_2x256", "--seed", "1"], "opening of a test piece, require --output, got --seed"),
        (
            ["generate", "bach_lstm_2x256", "--output", "a.mid", "--prompt", "a", "--skip-unknown"],
            "opening of a test piece, do not support --prompt, --skip-unknown; leave out --prompt, --skip-unknown",
        ),
        (["evaluate", "digits_gru_2x64", "--skip-unknown"], "'classification' does not support --skip-unknown"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unsupported_arguments_are_errors(arguments, message):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and message in result.stderr, result.output


def test_zoo_model_generates_text():
    result = CliRunner().invoke(
        main, ["generate", "kjv_lstm_2x256", "--prompt", "And he", "--length", "9", "--seed", "1"]
    )
    assert result.stdout.startswith("And he") and len(result.stdout) == 6 + 9 + 1
