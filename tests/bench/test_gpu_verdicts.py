"""Verdicts and page of the GPU script, for synthetic results."""

import pytest
from bench_fakes import ABOUT, comparison, operators, traced_entry

from benchmarks import gpu_report, gpu_run
from benchmarks.gpu_plan import make_plan

ON_XLA = {"forward": operators(executables=2), "train": operators(executables=4)}
ON_NATIVE = {"forward": operators(native=1), "train": operators(native=2)}
ON_LOOP = {"forward": operators(loops=1), "train": operators(loops=2)}
IN_PROGRAM = {"forward": operators(executables=1), "train": operators(executables=1)}


@pytest.fixture
def results():
    plan = make_plan(("a", "b"), quick=True, seed=0, unavailable={"torch": "not installed"})
    return gpu_run.new_gpu_results({**ABOUT, "quick": True, "gpu": {"driver": "1.2"}}, plan)


@pytest.mark.parametrize(
    "figures, found",
    [
        (traced_entry("cudnn", "cudnn"), []),
        (traced_entry("xla", **ON_XLA), []),
        (traced_entry("native", **ON_NATIVE), []),
        (traced_entry("loop", **ON_LOOP), []),
        (traced_entry("loop", **IN_PROGRAM, jit_compile=True), []),
        ({"error": "boom"}, []),
        (traced_entry("cudnn", **ON_LOOP), ["forward pass: 1 layers", "training step: 1", "in the backward pass"]),
        (traced_entry("cudnn", "cudnn", forward=operators(1)), ["2 layers are claimed to run on cuDNN, 1 operators"]),
        (traced_entry("cudnn", train=operators(1, 0)), ["0 operators of cuDNN ran in the backward pass"]),
        (traced_entry("loop"), ["0 layers are claimed", "no loop ran", "0 layers", "0 layers", "no loop ran"]),
        (traced_entry("loop", **IN_PROGRAM), ["no loop ran", "no loop ran"]),
        (traced_entry("xla", **ON_LOOP), ["no program of XLA ran"] * 2),
        (traced_entry("native", **ON_XLA), ["no native code ran"] * 2),
        (traced_entry("error", **ON_LOOP), ["'error' has no known operator"] * 2),
        (
            traced_entry(layers=[{"path": "p", "claimed": "cudnn", "card": "loop"}]),
            ["p: the model claims cudnn, its card loop"],
        ),
    ],
)
def test_operators_of_a_model_are_compared_with_the_claims(figures, found):
    problems = gpu_report.entry_problems(figures)
    assert len(problems) == len(found) and all(text in problem for text, problem in zip(found, problems, strict=True))


@pytest.mark.parametrize(
    "figures, found",
    [
        (comparison(), []),
        (comparison(values=2e-4, gradients=3e-4), ["values differ from the loop's by 2.0e-04", "gradients differ"]),
        (comparison(gradients=None), ["gradients are not finite"]),
        (comparison(operators=operators(loops=2)), ["0 operators of cuDNN ran", "in the backward pass"]),
    ],
)
def test_masked_layer_is_compared_with_the_loop(figures, found):
    problems = gpu_report.mask_problems(figures)
    assert len(problems) == len(found) and all(text in problem for text, problem in zip(found, problems, strict=True))


@pytest.mark.parametrize(
    "figures, found",
    [
        (comparison(values=4e-3, losses=[2.0, 1.009]), []),
        (comparison(values=6e-3, losses=[2.0, 1.0]), ["values differ"]),
        (comparison(losses=[None, 1.0]), ["the loss of update 1 is not finite"]),
        (comparison(losses=[2.0, 1.1]), ["the last loss differs from that in float32 by 1.0e-01"]),
    ],
)
def test_mixed_precision_is_compared_with_float32(figures, found):
    section = {"lstm, float32": comparison(losses=[2.0, 1.0]), "lstm, mixed_float16": figures}
    problems = gpu_report.precision_problems(section, "lstm, mixed_float16")
    assert len(problems) == len(found) and all(text in problem for text, problem in zip(found, problems, strict=True))


def test_page_notes_a_profile_without_events_of_the_gpu(results):
    results["operators"] = {"a": traced_entry()}
    assert "no events of the GPU" not in gpu_report.page(results)
    results["operators"]["a"]["train"]["gpu_events"] = 0
    assert "The profiles contain no events of the GPU" in gpu_report.page(results)
    results["about"]["gpu"] = {}
    assert "no events of the GPU" not in gpu_report.page(results)


def test_page_lists_disagreements_failures_and_missing_parts(results):
    results["operators"] = {"a": traced_entry("cudnn", **ON_LOOP), "b": {"error": "out of memory\ndetails"}}
    results["masks"] = {"lstm, gaps": comparison()}
    results["precision"] = {"lstm, float32": comparison(losses=[1.0])}
    times = {"DeepRNN": {"rounds_ms": [2.0]}, "DeepRNN with gaps": {"rounds_ms": [3.0]}}
    results["variants"] = {"lstm 1x4x3x5 train": times}
    text = gpu_report.page(results)
    assert "a: forward pass: 1 layers are claimed to run on cuDNN, 0 operators" in text
    assert "| a | 1 cudnn | 1 cudnn | 0 | 0 + 0 | 1, 2 | 0, 0 | 0, 0 | - | disagrees |" in text
    assert "| operators: b | DeepRNN | out of memory |" in text and "driver 1.2" in text
    assert "- masks, 1 of 2: lstm, right-padded\n- precision, 1 of 2: lstm, mixed_float16\n- cases, 1 of 1: l" in text
    assert "| lstm, gaps | 1 cudnn | 1 + 1 | 1.0e-06 | 2.0e-06 | agrees |" in text
    assert "| lstm 1x4x3x5 | 2.00 ±0% | 3.00 ±0% | 1.50 |" in text
    assert all(
        len({row.replace("\\|", "").count("|") for row in part.splitlines()}) == 1
        for part in text.split("\n\n")
        if part[0] == "|"
    )
