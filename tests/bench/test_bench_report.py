"""The figures of the benchmark, and its tables, plots, and files."""

import csv

import pytest
from bench_fakes import ABOUT, made_up, took

from benchmarks import kernels
from deeprnn_keras import zoo
from deeprnn_keras.bench import epoch, report, tables
from deeprnn_keras.bench.case import Case, grid
from deeprnn_keras.bench.goals import MEAN, WORST, Goal, outcomes
from deeprnn_keras.bench.plot import plot_steps
from deeprnn_keras.bench.results import new_results
from deeprnn_keras.bench.summary import geometric_mean, milliseconds, ratio, spread
from deeprnn_keras.bench.watch import line

# === Figures ===


def test_medians_ratios_and_means():
    found = made_up()["cases"]["lstm 2x256x32x35 train"]
    assert milliseconds(found["DeepRNN"]) == 20 and spread(found["DeepRNN"]) == (10, 90)
    assert ratio(found, "DeepRNN", "keras") == 0.5 and ratio(found, "DeepRNN", "drop-ins") is None
    assert geometric_mean([2, 8]) == pytest.approx(4) and geometric_mean([]) is None


def test_goals_select_their_cases():
    train = {"cells": ("lstm",), "modes": ("train",), "least_units": 128}
    goals = [Goal("torch", MEAN, 1.0, **train), Goal("torch", WORST, 1.2, **train), Goal("keras", WORST, 1.05)]
    goals += [Goal("keras", MEAN, None, modes=("infer",)), Goal("drop-ins", MEAN, 1.0)]
    mean, worst, everywhere, infer = outcomes(made_up(), goals)  # nobody has run the drop-ins
    assert (mean.value, mean.count, mean.met) == (pytest.approx(1.0), 2, True)  # 20 / 10 and 8 / 16
    assert (worst.value, worst.worst, worst.met) == (2.0, "lstm 2x256x32x35 train", False)
    assert (everywhere.value, everywhere.count, everywhere.worst) == (12.34, 4, "gru 2x256x8x8 infer")
    assert (infer.value, infer.met) == (pytest.approx(12.34), None)


def test_grid_contains_each_case_once():
    assert len({case.key for case in grid()}) == 10 * 3 * 2
    assert [case.key for case in grid(["1x2x3x4", "1x2x3x4"], ["gru"], ["infer"])] == ["gru 1x2x3x4 infer"]


def test_partial_epoch_is_extrapolated():
    assert epoch.whole_epochs(made_up()["epoch"]["DeepRNN"]) == [30 + 30 * 2, 20 + 30 * 2]
    assert epoch.recipe_of(epoch.epoch_of(zoo.info("kjv_lstm_2x256"))) == zoo.info("kjv_lstm_2x256").recipe


# === Tables, pictures, files ===


def test_report_shows_figures_and_failures(tmp_path):
    results = made_up()
    paths = report.write_report(results, tmp_path)
    words = paths[0].read_text()
    assert "| lstm 2x256x32x35 | 40.0 ±25% | 10.0 ±0% | 20.0 ±350% | 0.50 | 2.00 |" in words
    assert "| lstm 2x64x8x8 | 1.00 ±0% | failed | 7.00 ±0% | 7.00 | - |" in words
    assert "| lstm 2x64x8x8 train | torch | it died |" in words and "| memory | keras | no memory |" in words
    assert "| DeepRNN | 10 of 40 | 30.0 | 20.0 | ≈ 90 | ≈ 80 |" in words and "| torch | 1,234 |" in words
    assert "missed: lstm 2x256x32x35 train" in words and "a device; keras 3.15; Python 3.12" in words
    assert all(
        len({row.count(" | ") for row in part.splitlines()}) == 1 for part in words.split("\n\n") if part[0] == "|"
    )
    rows = list(csv.DictReader(paths[1].open()))
    assert len(rows) == 12 and rows[0]["milliseconds"] == "40" and rows[7]["milliseconds"] == ""
    assert paths[2].read_bytes()[:4] == b"\x89PNG"


def test_plot_shows_trained_lstms_of_keras_and_ours_only(tmp_path):
    results = new_results(ABOUT)
    results["cases"] = {key: value for key, value in made_up()["cases"].items() if "infer" in key}
    results["cases"]["lstm 2x64x8x8 train"] = {"keras": took(3.0), "DeepRNN": {"error": "it died"}}
    assert not plot_steps(results, tmp_path / "a.png") and not list(tmp_path.iterdir())


def test_line_and_group_of_ratios():
    results = made_up()
    words = line(Case.of("2x64x8x8"), results["cases"]["lstm 2x64x8x8 train"])
    assert "keras 1.00 · torch failed · DeepRNN 7.00 · DeepRNN/keras 7.00" in words
    (train, infer) = tables.group_table(results).rows
    assert train == ["train, lstm", "1.41 (0.50 to 7.00)", "1.00 (0.50 to 2.00)", "-"] and infer[0] == "infer, gru"


def test_readme_section_is_replaced_between_its_markers():
    text = kernels.section(made_up())
    assert "takes `DeepRNN` **0.63 of the time" in text and "1.00 of that of `torch.nn.LSTM`" in text
    assert "In the worst of all 4 cases, gru 2x256x8x8 infer, it takes 12.34" in text
    assert "40 updates, reckoned from 10 updates, in seconds: DeepRNN 80" in text and "torch 1,234." in text
    readme = "a\n<!-- kernels -->\nold\n<!-- end of kernels -->\nb"
    assert kernels.with_section(readme, "new\n") == readme.replace("old", "new")
