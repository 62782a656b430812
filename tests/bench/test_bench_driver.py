"""The driver of the benchmark: what it asks of its workers, failures, and resuming. No timings."""

import pytest
from bench_fakes import ABOUT, TEXT_MODEL, TINY, settings

from deeprnn_keras.bench import run
from deeprnn_keras.bench.case import Case
from deeprnn_keras.bench.process import WorkerError
from deeprnn_keras.bench.results import load_results, new_results, resumed
from deeprnn_keras.bench.watch import Watcher


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
