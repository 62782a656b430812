"""Benchmarks that train models for an hour or more: settings, tables, and what is left to train."""

import json
import subprocess

import numpy as np
import pytest

from benchmarks import awd_parts, king_james_cells, single_thread
from benchmarks.result_rows import append_row, read_rows
from deeprnn_keras import zoo


def test_only_what_is_missing_is_trained_with_one_thread(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(subprocess, "run", lambda command, **options: calls.append((command, options)))
    append_row(tmp_path / "results.csv", {"name": "a", "seed": 0, "bits": 1.5})
    jobs = [("a", 0), ("b", 0), ("a", 1)]
    single_thread.train_missing("benchmarks.some", tmp_path / "results.csv", jobs, workers=1)
    assert [command[2:] for command, _ in calls] == [
        ["benchmarks.some", "--train", "b", "0"],
        ["benchmarks.some", "--train", "a", "1"],
    ]
    for _, options in calls:
        environment = options["env"]
        assert options["check"] and environment["OMP_NUM_THREADS"] == environment["TF_NUM_INTRAOP_THREADS"] == "1"
        assert environment["XLA_FLAGS"].endswith(single_thread.SINGLE_THREAD_XLA)


def test_result_is_appended(tmp_path):
    path = tmp_path / "new" / "results.csv"
    for seed in "01":
        single_thread.append_result(path, lambda name, seed: {"bits": seed / 2}, "a", seed)
    assert read_rows(path) == [
        {"name": "a", "seed": "0", "bits": "0.0"},
        {"name": "a", "seed": "1", "bits": "0.5"},
    ]


@pytest.mark.parametrize("name", king_james_cells.CELLS)
def test_cells_have_equal_size(name):
    count = zoo.count_params(king_james_cells.ENTRY, **king_james_cells.with_units(name))
    assert count == pytest.approx(zoo.count_params(king_james_cells.ENTRY), rel=0.01)


def test_updates_take_equal_time(tmp_path, monkeypatch):
    file = tmp_path / "step_times.json"
    monkeypatch.setattr(king_james_cells, "STEP_TIMES", file)
    file.write_text(json.dumps({"milliseconds": {"lstm": 150.0, "gru": 100.0}}))
    assert [king_james_cells.num_updates(name) for name in ("lstm", "gru")] == [1200, 1800]


def test_learning_rate_rises_and_decays(eager):
    schedule = king_james_cells.build_model("gru", "ab", 1000).optimizer._learning_rate
    rates = [float(schedule(update)) for update in (0, 5, 10, 505, 1000, 1500)]
    np.testing.assert_allclose(rates, [0, 2e-3, 4e-3, 2.1e-3, 2e-4, 2e-4], atol=2e-6)


def row(name, seed, **values):
    return {"name": name, "seed": str(seed), **{key: str(value) for key, value in values.items()}}


def test_table_of_cells_starts_with_the_best():
    shape = {"layers": 2, "units": 8, "parameters": 1234}
    rows = [
        row("lstm", 0, **shape, updates=100, bits_per_character=1.6),
        row("lstm", 1, **shape, updates=100, bits_per_character=1.8),
        row("gru", 0, **shape, updates=120, bits_per_character=1.5),
    ]
    assert king_james_cells.table(rows).splitlines()[2:] == [
        "| `gru` | 2 x 8 | 1,234 | 120 | 1.500 | 1 |",
        "| `lstm` | 2 x 8 | 1,234 | 100 | 1.700 ± 0.141 | 2 |",
    ]


def test_table_of_parts_shows_differences():
    rows = [
        row("all", 0, validation_bits=2.0, training_bits=1.9),
        row("without tied", 0, validation_bits=2.125, training_bits=1.8),
        row("none", 0, validation_bits=2.5, training_bits=1.0),
    ]
    assert awd_parts.table(rows).splitlines()[2:] == [
        "| all | 2.000 |  | 1.900 | 1 |",
        "| without tied | 2.125 | +0.125 | 1.800 | 1 |",
        "| none | 2.500 | +0.500 | 1.000 | 1 |",
    ]


@pytest.mark.slow
def test_every_part_is_trained(monkeypatch):
    monkeypatch.setattr(awd_parts, "CHARACTERS", 24_000)
    monkeypatch.setattr(awd_parts, "UNITS", 4)
    monkeypatch.setattr(awd_parts, "UPDATES", 10)
    results = {name: awd_parts.train(name, 0) for name in ("all", "none")}
    assert results["all"]["parameters"] < results["none"]["parameters"]  # tied
    assert all(0 < result["validation_bits"] < 7 for result in results.values())
