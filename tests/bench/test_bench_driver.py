"""Driver of the benchmark: requests to the workers, failures, and resuming, without measuring times."""

import pytest
from bench_fakes import ABOUT, TEXT_MODEL, TINY, settings

from deeprnn_keras.bench import run
from deeprnn_keras.bench.case import Case
from deeprnn_keras.bench.process import WorkerError
from deeprnn_keras.bench.progress import ProgressListener
from deeprnn_keras.bench.results import load_results, new_results, resume_results


def test_implementations_alternate_with_rotating_start(workers, tmp_path):
    results = new_results(ABOUT)
    run.run(settings(names=("keras", "DeepRNN")), results, tmp_path, start=workers)
    names = [name for name, operation in workers.requests if operation == "measure"]
    assert names == ["keras", "DeepRNN", "products", "DeepRNN", "products", "keras", "products", "keras", "DeepRNN"]
    assert load_results(tmp_path) == results and not workers.alive
    assert results["cases"][TINY.key]["keras"]["rounds_ms"] == [5.0] * 3


@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("operation", ["prepare", "measure"])
def test_failing_implementation_is_reported_and_others_continue(workers, tmp_path, operation, alive):
    workers.failures["torch", operation] = WorkerError("boom", alive)
    results, cases = new_results(ABOUT), (TINY, Case.from_size("1x4x2x4"))
    run.run(settings(*cases), results, tmp_path, start=workers)
    for case in cases:
        figures = results["cases"][case.key]
        assert figures["torch"] == {"error": "boom"} and figures["DeepRNN"]["rounds_ms"] == [5.0] * 3
    assert workers.requests.count(("torch", operation)) == 2 and not workers.alive


def test_resume_measures_missing_parts_only(workers, tmp_path):
    workers.failures["torch", "measure"] = WorkerError("boom", True)
    other_parts = {"memory": TINY, "epoch": TEXT_MODEL}
    run.run(settings(names=("torch",), **other_parts), new_results(ABOUT), tmp_path, start=workers)
    assert set(workers.requests[-2:]) == {("torch", "memory"), ("torch", "epoch")}
    workers.requests, workers.failures = [], {}
    results = resume_results(load_results(tmp_path), ABOUT | {"date": "another"})
    run.run(settings(names=("torch",), **other_parts), results, tmp_path, start=workers)
    assert {operation for _, operation in workers.requests} == {"prepare", "measure"}
    workers.requests = []
    run.run(settings(names=("torch",), **other_parts), load_results(tmp_path), tmp_path, start=workers)
    assert workers.requests == []
    with pytest.raises(ValueError, match=r"device 'a device', this run has 'other'"):
        resume_results(results, ABOUT | {"device": "other"})


def test_interrupted_run_keeps_its_measurements(workers, tmp_path):
    class Interrupting(ProgressListener):
        def begin(self, description, seconds):
            if "1x4x2x4 train: torch, round 2" in description:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run(settings(TINY, Case.from_size("1x4x2x4")), new_results(ABOUT), tmp_path, Interrupting(), workers)
    assert list(load_results(tmp_path)["cases"]) == [TINY.key] and not workers.alive


def test_progress_adds_up_to_the_estimated_duration(workers, tmp_path):
    class Sum(ProgressListener):
        total = 0.0

        def begin(self, description, seconds):
            self.total += seconds

        skip = lambda self, seconds: self.begin("", seconds)  # noqa: E731

    workers.failures["torch", "prepare"] = WorkerError("boom", True)
    listener, chosen = Sum(), settings(memory=TINY, epoch=TEXT_MODEL)
    run.run(chosen, new_results(ABOUT), tmp_path, listener, workers)
    assert listener.total == pytest.approx(run.estimate_seconds(chosen))
