"""results.csv and the page generated from it."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from deeprnn_keras import zoo
from deeprnn_keras.zoo import results, table

RESULT = results.Result(
    "d2l_rnn_2x32", "text", "validation", "perplexity", "7.1234", "0", "10", "1.5", "2 cores", "keras 3"
)


def test_recorded_results_are_sorted_and_replaced(tmp_path):
    path = tmp_path / "results.csv"
    assert results.read_results(path) == []
    results.record_results([RESULT, replace(RESULT, name="a")], path)
    results.record_results([replace(RESULT, value="6.0000"), replace(RESULT, seed="1")], path)
    recorded = results.read_results(path)
    assert [(result.name, result.seed, result.value) for result in recorded] == [
        ("a", "0", "7.1234"),
        ("d2l_rnn_2x32", "0", "6.0000"),
        ("d2l_rnn_2x32", "1", "7.1234"),
    ]
    assert {file.name for file in tmp_path.iterdir()} == {"results.csv"}
    step_time = replace(RESULT, metric=results.STEP_TIME, data="a")
    results.record_results([step_time], path)
    assert results.results_of("d2l_rnn_2x32", path)[-1] == step_time
    assert results.format_result(RESULT) == "7.1234 perplexity (text, validation, seed 0)"


def test_import_of_the_command_writes_no_page(monkeypatch):
    """Tests that import all modules would otherwise bring the page up to date before `test_page_is_up_to_date`."""
    written = []
    monkeypatch.setattr(table, "write_page", lambda: written.append("page"))
    importlib.reload(importlib.import_module("deeprnn_keras.zoo.__main__"))
    assert not written


def test_page_is_up_to_date():
    assert table.README.read_text(encoding="utf-8") == table.build_page(), "run python -m deeprnn_keras.zoo"


@pytest.mark.parametrize("result", results.read_results(), ids=lambda result: f"{result.name} {result.metric}")
def test_result_is_complete(result):
    assert result.name in zoo.list_models()
    assert float(result.value) > 0 and int(result.seed) >= 0 and int(result.steps) > 0 and float(result.minutes) > 0
    assert result.device and "keras" in result.versions and "tensorflow" in result.versions
    assert result.split in ("train", "validation", "test")


def test_page_lists_every_model_with_params_and_results():
    page = Path(table.README).read_text(encoding="utf-8")
    for name in zoo.list_models():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` "))
        config = zoo.info(name)
        assert f"| {config.count_params():,} |" in row and (config.published or "") in row
        for result in results.results_of(name):
            assert result.value in row


def test_card_shows_measured_results_of_unmodified_entry_only(monkeypatch):
    monkeypatch.setattr(results, "read_results", lambda path=None: [RESULT])
    assert dict(zoo.info("d2l_rnn_2x32").card())["measured results"] == results.format_result(RESULT)
    assert "measured results" not in dict(zoo.info("d2l_rnn_2x32", units=3).card())


# === One training time per model ===


@pytest.mark.parametrize("name", sorted({result.name for result in results.read_results()}))
def test_training_time_is_that_of_one_run(name):
    rows = results.results_of(name)
    (minutes,), (steps,) = {row.minutes for row in rows}, {row.steps for row in rows}
    page = table.README.read_text(encoding="utf-8")
    (line,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` "))
    assert f"| {int(steps):,} updates, {minutes} min |" in line
    record = zoo.info(name).weights
    if record is not None:
        assert (f"{record.minutes:.1f}", str(record.updates)) == (minutes, steps)
        assert {row.device for row in rows if row.metric != results.STEP_TIME} == {record.device}
        assert (
            f"{int(steps):,} updates in {minutes} min on {record.device}"
            in dict(zoo.info(name).card())["trained weights"]
        )


def test_training_time_in_the_readme_is_that_of_the_record():
    record = zoo.info("kjv_lstm_2x256").weights
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"took {record.minutes:.1f} minutes of wall-clock time on {record.device}" in readme
