"""results.csv and the page made from it."""

from dataclasses import replace
from pathlib import Path

import pytest

from deeprnn_keras import zoo
from deeprnn_keras.zoo import results, table

ONE = results.Result(
    "d2l_rnn_2x32", "text", "validation", "perplexity", "7.1234", "0", "10", "1.5", "2 cores", "keras 3"
)


def test_results_are_kept_sorted_and_replaced(tmp_path):
    path = tmp_path / "results.csv"
    assert results.read_results(path) == []
    results.record_results([ONE, replace(ONE, name="a")], path)
    results.record_results([replace(ONE, value="6.0000"), replace(ONE, seed="1")], path)
    found = results.read_results(path)
    assert [(one.name, one.seed, one.value) for one in found] == [
        ("a", "0", "7.1234"),
        ("d2l_rnn_2x32", "0", "6.0000"),
        ("d2l_rnn_2x32", "1", "7.1234"),
    ]
    assert {one.name for one in tmp_path.iterdir()} == {"results.csv"}
    time = replace(ONE, metric=results.STEP_TIME, data="a")
    results.record_results([time], path)
    assert results.results_of("d2l_rnn_2x32", path)[-1] == time
    assert results.shown(ONE) == "7.1234 perplexity (text, validation, seed 0)"


def test_the_page_is_the_one_made_from_entries_and_results():
    assert table.README.read_text(encoding="utf-8") == table.build_page(), "python -m deeprnn_keras.zoo writes it"


@pytest.mark.parametrize("result", results.read_results(), ids=lambda one: f"{one.name} {one.metric}")
def test_every_result_is_complete(result):
    assert result.name in zoo.list_models()
    assert float(result.value) > 0 and int(result.seed) >= 0 and int(result.steps) > 0 and float(result.minutes) > 0
    assert result.device and "keras" in result.versions and "tensorflow" in result.versions
    assert result.split in ("train", "validation", "test")


def test_every_model_stands_in_the_page_with_its_weights_and_published_number():
    page = Path(table.README).read_text(encoding="utf-8")
    for name in zoo.list_models():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` "))
        config = zoo.info(name)
        assert f"| {config.count_params():,} |" in row and (config.published or "") in row
        for one in results.results_of(name):
            assert one.value in row


def test_a_card_shows_the_results_of_the_entry_and_not_of_a_changed_one(monkeypatch):
    monkeypatch.setattr(results, "read_results", lambda path=None: [ONE])
    assert dict(zoo.info("d2l_rnn_2x32").card())["results here"] == results.shown(ONE)
    assert "results here" not in dict(zoo.info("d2l_rnn_2x32", units=3).card())
