"""The benchmark of the kernels: what it asks of its workers, what it makes of their answers. No timings."""

import csv

import pytest
from click.testing import CliRunner

from benchmarks import kernels
from deeprnn_keras import zoo
from deeprnn_keras.bench import environment, epoch, implementations, report, run, tables
from deeprnn_keras.bench.case import Case, grid
from deeprnn_keras.bench.goals import MEAN, WORST, Goal, outcomes
from deeprnn_keras.bench.plot import plot_steps
from deeprnn_keras.bench.process import WorkerError
from deeprnn_keras.bench.results import load_results, new_results, resumed
from deeprnn_keras.bench.settings import Settings
from deeprnn_keras.bench.summary import geometric_mean, milliseconds, ratio, spread
from deeprnn_keras.bench.watch import Watcher, line
from deeprnn_keras.cli import main

ABOUT = {"device": "a device", "versions": {"keras": "3.15"}, "python": "3.12", "seed": 0, "rounds": 3}
ABOUT |= {"seconds": 0.1, "epoch_updates": 7, "date": "2026-01-01"}
TINY = Case.of("1x4x2x3")
TEXT_MODEL = {"name": "tiny", "vocabulary": "abcd", "embedding": 3, "units": 4, "num_layers": 2, "cell": "gru"}
TEXT_MODEL["recipe"] = epoch.epoch_of(zoo.info("kjv_lstm_2x256"))["recipe"] | {"bptt": 5, "batch_size": 2}


def took(*rounds):
    return {"rounds_ms": list(rounds), "steps": [3] * len(rounds), "first_call_s": 1.5}


def made_up():
    """Results whose every ratio can be worked out in the head."""
    results = new_results(ABOUT)
    results["cases"] = {
        "lstm 2x256x32x35 train": {"keras": took(40, 44, 30), "torch": took(10.0), "DeepRNN": took(20, 10, 90)},
        "lstm 1x128x8x8 train": {"keras": took(10.0), "torch": took(16.0), "DeepRNN": took(8.0)},
        "lstm 2x64x8x8 train": {"keras": took(1.0), "torch": {"error": "it died\nof this"}, "DeepRNN": took(7.0)},
        "gru 2x256x8x8 infer": {"keras": took(100.0), "DeepRNN": took(1234.0), "products": took(3.0)},
    }
    results["memory"] = {"torch": {"case": "lstm 2x8x8x8 train", "growth_mb": 1234.4}, "keras": {"error": "no memory"}}
    results["epoch"] = {"DeepRNN": {"epochs_s": [30.0, 20.0], "updates": 10, "updates_per_epoch": 40, "loss": [2, 1]}}
    return results


class Worker:
    """Stands for a process: writes down what it is asked; fails where `failing` says so."""

    asked, failing, alive = [], {}, set()

    def __init__(self, name):
        self.name = name
        Worker.alive.add(self)

    def ask(self, operation, **arguments):
        Worker.asked.append((self.name, operation))
        error = Worker.failing.get((self.name, operation))
        if error is not None:
            raise error
        return {"prepare": {"first_call_s": 2.0}, "measure": {"median_ms": 5.0, "least_ms": 4.0, "steps": 3}}.get(
            operation, {"growth_mb": 3.0} if operation == "memory" else dict(made_up()["epoch"]["DeepRNN"])
        )

    def close(self):
        Worker.alive.remove(self)

    __enter__ = lambda self: self  # noqa: E731
    __exit__ = lambda self, *_: self.close()  # noqa: E731


@pytest.fixture
def workers():
    Worker.asked, Worker.failing, Worker.alive = [], {}, set()
    return Worker


def settings(*cases, names=("keras", "torch", "DeepRNN"), rounds=3, **others):
    return Settings(cases or (TINY,), names, rounds, 0.1, **{"memory": None, **others})


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


# === The driver ===


def test_implementations_alternate_with_rotating_start(workers, tmp_path):
    results = new_results(ABOUT)
    run.run(settings(names=("keras", "DeepRNN")), results, tmp_path, start=workers)
    names = [name for name, operation in workers.asked if operation == "measure"]
    assert names == ["keras", "DeepRNN", "products", "DeepRNN", "products", "keras", "products", "keras", "DeepRNN"]
    assert load_results(tmp_path) == results and not workers.alive
    assert results["cases"][TINY.key]["keras"]["rounds_ms"] == [5.0] * 3


@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("operation", ["prepare", "measure"])
def test_failing_implementation_is_reported_and_others_continue(workers, tmp_path, operation, alive):
    workers.failing["torch", operation] = WorkerError("boom", alive)
    results, cases = new_results(ABOUT), (TINY, Case.of("1x4x2x4"))
    run.run(settings(*cases), results, tmp_path, start=workers)
    for case in cases:
        found = results["cases"][case.key]
        assert found["torch"] == {"error": "boom"} and found["DeepRNN"]["rounds_ms"] == [5.0] * 3
    assert workers.asked.count(("torch", operation)) == 2 and not workers.alive


def test_resume_measures_what_is_missing(workers, tmp_path):
    workers.failing["torch", "measure"] = WorkerError("boom", True)
    whole = {"memory": TINY, "epoch": TEXT_MODEL}
    run.run(settings(names=("torch",), **whole), new_results(ABOUT), tmp_path, start=workers)
    assert set(workers.asked[-2:]) == {("torch", "memory"), ("torch", "epoch")}
    workers.asked, workers.failing = [], {}
    results = resumed(load_results(tmp_path), ABOUT | {"date": "another"})
    run.run(settings(names=("torch",), **whole), results, tmp_path, start=workers)
    assert {operation for _, operation in workers.asked} == {"prepare", "measure"}
    workers.asked = []
    run.run(settings(names=("torch",), **whole), load_results(tmp_path), tmp_path, start=workers)
    assert workers.asked == []
    with pytest.raises(ValueError, match=r"device 'a device', here it is 'other'"):
        resumed(results, ABOUT | {"device": "other"})


def test_interrupted_run_keeps_its_measurements(workers, tmp_path):
    class Impatient(Watcher):
        def begin(self, words, worth):
            if "1x4x2x4 train: torch, round 2" in words:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run(settings(TINY, Case.of("1x4x2x4")), new_results(ABOUT), tmp_path, Impatient(), workers)
    assert list(load_results(tmp_path)["cases"]) == [TINY.key] and not workers.alive


def test_progress_adds_up_to_the_expected_time(workers, tmp_path):
    class Sum(Watcher):
        total = 0.0

        def begin(self, words, worth):
            self.total += worth

        skip = lambda self, worth: self.begin("", worth)  # noqa: E731

    workers.failing["torch", "prepare"] = WorkerError("boom", True)
    watcher, chosen = Sum(), settings(memory=TINY, epoch=TEXT_MODEL)
    run.run(chosen, new_results(ABOUT), tmp_path, watcher, workers)
    assert watcher.total == pytest.approx(run.expected_seconds(chosen))


# === The command ===


def bench_kernels(*arguments):
    return CliRunner().invoke(main, ["bench", "kernels", *map(str, arguments)], env={"COLUMNS": "250"})


@pytest.mark.parametrize(
    "arguments, words",
    [
        (
            ["--sizes", "2x256x32"],
            "size must be LxhxnxT, four whole numbers of at least 1 such as 2x256x32x35, got '2x25",
        ),
        (["--sizes", "0x1x1x1"], "got '0x1x1x1'"),
        (["--cell", "lstn"], "unknown cell 'lstn'; did you mean 'lstm'?"),
        (["--mode", "trian"], "unknown mode 'trian'; did you mean 'train'?"),
        (["--impl", "DepRNN"], "unknown implementation 'DepRNN'; choose from 'DeepRNN'"),
        (["--impl", "products"], "unknown implementation 'products'"),
        (["--rounds", "0"], "rounds must be a whole number of at least 1, got 0"),
        (["--seconds", "0"], "seconds must be a positive number of seconds, got 0.0"),
        (["--epoch-updates", "0"], "epoch_updates must be a whole number of at least 1, got 0"),
        (["--resume"], "--resume goes on with results.json in the folder --output; got --output None"),
        (["--output", __file__], "is a file; give a folder that does not exist yet"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(arguments, words, monkeypatch):
    monkeypatch.setattr(environment, "environment_of_worker", None)  # calling it would be a TypeError
    result = bench_kernels(*arguments)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit) and words in result.stderr


def test_command_measures_and_writes_its_files(workers, tmp_path, monkeypatch):
    monkeypatch.setattr(
        environment, "environment_of_worker", lambda: {k: ABOUT[k] for k in ("device", "versions", "python")}
    )
    monkeypatch.setattr(run.run, "__defaults__", (None, workers))
    workers.failing["DeepRNN", "measure"] = KeyboardInterrupt()
    chosen = ["--sizes", "1x4x2x3", "--cell", "lstm", "--output", tmp_path / "new", "--quick"]
    result = bench_kernels(*chosen, "--impl", "keras", "--impl", "DeepRNN")
    assert result.exit_code == 130 and "Interrupted before anything was measured" in result.stdout
    workers.failing = {}
    result = bench_kernels(*chosen, "--impl", "keras,DeepRNN", "--mode", "train")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "results.csv",
        "results.json",
        "results.md",
        "steps.png",
    ]
    assert "lstm 1x4x2x3 train" in result.stdout and "steps.png" in result.stdout
    result = bench_kernels(*chosen)
    assert result.exit_code == 1 and "exists and is not empty" in result.stderr


def test_busy_machine_is_noted(monkeypatch):
    monkeypatch.setattr(environment.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(environment.os, "getloadavg", lambda: (1.3, 0, 0))
    assert "load average 1.3 on 4 cores" in environment.busy()[0]
    monkeypatch.setattr(environment.os, "getloadavg", lambda: (1.1, 9, 9))
    assert environment.busy() == []


def test_missing_implementation_is_skipped(workers, tmp_path, monkeypatch):
    monkeypatch.setattr(
        environment, "environment_of_worker", lambda: {k: ABOUT[k] for k in ("device", "versions", "python")}
    )
    monkeypatch.setattr(run.run, "__defaults__", (None, workers))
    monkeypatch.setattr(implementations.importlib.util, "find_spec", lambda name: None if name == "torch" else name)
    result = bench_kernels("--sizes", "1x4x2x3", "--output", tmp_path / "new", "--quick")
    assert result.exit_code == 0 and "torch is left out: torch is not installed: pip install" in result.stdout
    assert "torch is left out" in (tmp_path / "new" / "results.md").read_text()
    assert {name for name, _ in workers.asked} == {"keras", "drop-ins", "DeepRNN", "products"}
    result = bench_kernels("--impl", "torch", "--output", tmp_path / "other")
    assert result.exit_code == 1 and "nothing is left to measure: torch" in result.stderr
