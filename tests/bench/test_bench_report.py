"""Statistics of the benchmark, its tables, its plot, and its files."""

import csv

import pytest
from bench_fakes import ABOUT, figures, synthetic_results

from benchmarks import kernels
from deeprnn_keras import zoo
from deeprnn_keras.bench import epoch, report, tables
from deeprnn_keras.bench.case import Case, grid
from deeprnn_keras.bench.goals import MAXIMUM, MEAN, Goal, evaluate_goals
from deeprnn_keras.bench.plot import plot_step_times
from deeprnn_keras.bench.progress import format_case
from deeprnn_keras.bench.results import new_results
from deeprnn_keras.bench.summary import geometric_mean, median_ms, ratio, round_range

# === Statistics ===


def test_medians_ratios_and_means():
    case = synthetic_results()["cases"]["lstm 2x256x32x35 train"]
    assert median_ms(case["DeepRNN"]) == 20 and round_range(case["DeepRNN"]) == (10, 90)
    assert ratio(case, "DeepRNN", "keras") == 0.5 and ratio(case, "DeepRNN", "drop-ins") is None
    assert geometric_mean([2, 8]) == pytest.approx(4)


def test_goals_select_their_cases():
    train = {"cells": ("lstm",), "modes": ("train",), "min_units": 128}
    goals = [Goal("torch", MEAN, 1.0, **train), Goal("torch", MAXIMUM, 1.2, **train), Goal("keras", MAXIMUM, 1.05)]
    goals += [Goal("keras", MEAN, None, modes=("infer",)), Goal("drop-ins", MEAN, 1.0)]
    mean, maximum, all_cases, infer = evaluate_goals(synthetic_results(), goals)  # the drop-ins were not measured
    assert (mean.value, mean.count, mean.met) == (pytest.approx(1.0), 2, True)  # 20 / 10 and 8 / 16
    assert (maximum.value, maximum.slowest, maximum.met) == (2.0, "lstm 2x256x32x35 train", False)
    assert (all_cases.value, all_cases.count, all_cases.slowest) == (12.34, 4, "gru 2x256x8x8 infer")
    assert (infer.value, infer.met) == (pytest.approx(12.34), None)


def test_grid_contains_each_case_once():
    assert len({case.key for case in grid()}) == 10 * 3 * 2
    assert [case.key for case in grid(["1x2x3x4", "1x2x3x4"], ["gru"], ["infer"])] == ["gru 1x2x3x4 infer"]


def test_partial_epoch_is_extrapolated():
    assert epoch.full_epoch_seconds(synthetic_results()["epoch"]["DeepRNN"]) == [30 + 30 * 2, 20 + 30 * 2]
    config = zoo.info("kjv_lstm_2x256")
    assert epoch.recipe_from_config(epoch.epoch_config(config)) == config.recipe


# === Tables, plot, and files ===


def test_report_contains_figures_and_failures(tmp_path):
    results = synthetic_results()
    paths = report.write_report(results, tmp_path)
    text = paths[0].read_text()
    assert "| lstm 2x256x32x35 | 40.0 ±25% | 10.0 ±0% | 20.0 ±350% | 0.50 | 2.00 |" in text
    assert "| lstm 2x64x8x8 | 1.00 ±0% | failed | 7.00 ±0% | 7.00 | - |" in text
    assert "| lstm 2x64x8x8 train | torch | out of memory |" in text and "| memory | keras | no memory |" in text
    assert "| DeepRNN | 10 of 40 | 30.0 | 20.0 | ≈ 90 | ≈ 80 |" in text and "| torch | 1,234 |" in text
    assert "missed: lstm 2x256x32x35 train" in text and "a device; keras 3.15; Python 3.12" in text
    assert all(
        len({row.count(" | ") for row in part.splitlines()}) == 1 for part in text.split("\n\n") if part[0] == "|"
    )
    rows = list(csv.DictReader(paths[1].open()))
    assert len(rows) == 12 and rows[0]["milliseconds"] == "40" and rows[7]["milliseconds"] == ""
    assert paths[2].read_bytes()[:4] == b"\x89PNG"


def test_plot_needs_lstm_training_of_keras_and_deep_rnn(tmp_path):
    results = new_results(ABOUT)
    results["cases"] = {key: value for key, value in synthetic_results()["cases"].items() if "infer" in key}
    results["cases"]["lstm 2x64x8x8 train"] = {"keras": figures(3.0), "DeepRNN": {"error": "out of memory"}}
    assert not plot_step_times(results, tmp_path / "a.png") and not list(tmp_path.iterdir())


def test_case_line_and_ratios_of_groups():
    results = synthetic_results()
    text = format_case(Case.from_size("2x64x8x8"), results["cases"]["lstm 2x64x8x8 train"])
    assert "keras 1.00 · torch failed · DeepRNN 7.00 · DeepRNN/keras 7.00" in text
    (train, infer) = tables.group_table(results).rows
    assert train == ["train, lstm", "1.41 (0.50 to 7.00)", "1.00 (0.50 to 2.00)", "-"] and infer[0] == "infer, gru"


def test_sections_of_pages_state_the_results():
    text = kernels.summary(synthetic_results())
    assert "`DeepRNN` takes **0.63 times as long as" in text and "1.00 times as long as one of `torch.nn.LSTM`." in text
    assert "The largest ratio to Keras in all 4 cases is 12.34 (gru 2x256x8x8 infer)." in text
    text = kernels.details(synthetic_results())
    assert "40 updates, extrapolated from 10 updates): DeepRNN 80 s." in text and "torch 1,234 MB." in text
