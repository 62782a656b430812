"""What `deeprnn evaluate` says of the text, and of models that have no characters."""

import pytest
from click.testing import CliRunner

from deeprnn_keras import LanguageModel
from deeprnn_keras.cli import main


def evaluate(folder, vocabulary, *options):
    """The result of evaluating an untrained model on a short text."""
    model = LanguageModel(vocabulary, units=2)
    model.save(folder / "model.keras")
    (folder / "rhyme.txt").write_text("ab ba " * 20)
    arguments = ["evaluate", str(folder), "--text", str(folder / "rhyme.txt"), *options]
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
    assert "knows ids below 7, not characters" in result.stderr
