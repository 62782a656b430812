"""Measurements on a GPU: operators that run, update times, masks, and mixed precision. Takes less than 8 minutes.

python -m benchmarks.gpu                            # on a machine with an NVIDIA GPU, in runs/benchmark_gpu
python -m benchmarks.gpu --resume                   # continues an interrupted run
python -m benchmarks.gpu --device cpu --quick       # runs the whole script on a CPU, at tiny sizes

The output directory contains results.json, results.md, and steps.png. Parts that the time budget has cut off are
listed as missing; `--resume` measures them. The exit status is 0 if all measured parts agree with what
`explain_kernels` states and with Keras' loop, 1 if a part disagrees or fails, and 130 after Ctrl-C.
"""

from __future__ import annotations

import fnmatch
import functools
import sys
from pathlib import Path

import click
from rich.console import Console

from benchmarks.gpu_plan import GpuResults, Plan, make_plan
from benchmarks.gpu_report import PAGE, failures, missing, problems, save_page
from benchmarks.gpu_run import estimate_seconds, new_gpu_results, run
from deeprnn_keras import checks, zoo
from deeprnn_keras._types import Config
from deeprnn_keras.bench.deadline import DeadlineReachedError, TimedWorkerPool
from deeprnn_keras.bench.environment import load_notes
from deeprnn_keras.bench.implementations import missing_packages
from deeprnn_keras.bench.plot import plot_step_times
from deeprnn_keras.bench.process import WorkerError, WorkerProcess
from deeprnn_keras.bench.progress import ProgressBar
from deeprnn_keras.bench.results import COMMON_METADATA, FILE, resume_results, run_metadata, save_results
from deeprnn_keras.cli.exit_codes import FAILED, INTERRUPTED
from deeprnn_keras.reading import read_record

DEFAULT_OUTPUT = Path("runs") / "benchmark_gpu"
COMMON = (*COMMON_METADATA, "gpu", "quick")
NO_GPU = (
    "No GPU is visible to TensorFlow. On a machine with an NVIDIA GPU, install deeprnn-keras[gpu]; "
    "--device cpu --quick runs the whole script on the CPU at tiny sizes."
)
NOT_INSTALLED, SEES_NO_GPU = "not installed", "no GPU visible"


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=DEFAULT_OUTPUT,
    show_default=True,
    help="Output directory; must not exist, except with --resume.",
)
@click.option("--resume", is_flag=True, help="Continue the interrupted run in --output.")
@click.option(
    "--budget",
    type=click.FloatRange(min=1),
    default=450.0,
    show_default=True,
    help="Time in seconds after which the run stops and lists what is missing.",
)
@click.option("--device", type=click.Choice(["gpu", "cpu"]), default="gpu", show_default=True)
@click.option("--quick", is_flag=True, help="Run everything at tiny sizes, to test the script.")
@click.option("--entries", default="*", show_default=True, help="Pattern of the names of the models of the zoo.")
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed for weights and data.")
def main(output: Path, resume: bool, budget: float, device: str, quick: bool, entries: str, seed: int) -> None:
    """Measure the recurrent layers on a GPU, and compare them with what explain_kernels states."""
    names = tuple(fnmatch.filter(zoo.list_models(), entries))
    if not names:
        raise click.ClickException(f"--entries must match a model of the zoo, got {entries!r}")
    try:
        _check_output(output, resume)
        status = _measure(names, output, resume, budget, device, quick, seed)
    except DeadlineReachedError as error:
        message = f"TensorFlow did not start within --budget {budget:g}; pass a larger one"
        raise click.ClickException(message) from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(status)


def _check_output(output: Path, resume: bool) -> None:
    if resume and not (output / FILE).is_file():
        raise ValueError(f"--resume requires an --output directory that holds {FILE}, got --output {output}")
    if not resume:
        checks.new_directory("--output", output)


def _measure(
    names: tuple[str, ...], output: Path, resume: bool, budget: float, device: str, quick: bool, seed: int
) -> int:
    """Run all parts, write the report, and return the exit status."""
    console, interrupted = Console(), False
    with TimedWorkerPool(budget, functools.partial(WorkerProcess, device=device)) as pool:
        with console.status("starting TensorFlow"):
            environment = _environment(pool, device)
            unavailable = unavailable_libraries(pool, device)
        plan = make_plan(names, quick, seed, unavailable)
        about = {"gpu": {}, **run_metadata(plan.settings, environment), "quick": quick}
        results = _results(plan, about, output if resume else None)
        try:
            with ProgressBar(console, estimate_seconds(plan)).shown() as progress_bar:
                run(plan, results, output, pool, progress_bar)
        except KeyboardInterrupt:
            interrupted = True
    return report(results, output, console, interrupted)


def _environment(pool: TimedWorkerPool, device: str) -> Config:
    """Return the environment of a worker.

    Raises:
        ValueError: If a GPU is requested and TensorFlow sees none, or if TensorFlow does not start.
    """
    try:
        environment = pool.request("DeepRNN", "environment")
    except WorkerError as error:
        raise ValueError(f"TensorFlow does not run on this machine: {error}") from error
    if device == "gpu" and "gpu" not in environment:
        raise ValueError(NO_GPU)
    return environment


def unavailable_libraries(pool: TimedWorkerPool, device: str) -> dict[str, str]:
    """Return {library: why it is not measured}."""
    if missing_packages(["torch"]):
        return {"torch": NOT_INSTALLED}
    if device == "cpu":
        return {}
    try:
        sees_gpu = pool.request("torch", "sees_gpu")["sees_gpu"]
    except WorkerError:
        return {}  # the measurement reports the error
    return {} if sees_gpu else {"torch": SEES_NO_GPU}


def _results(plan: Plan, about: Config, existing: Path | None) -> GpuResults:
    """Return new results, or those in a directory."""
    results = new_gpu_results(about, plan)
    if existing is not None:
        earlier = read_record(existing / FILE, GpuResults, "the results of the GPU script")
        results = {**resume_results(earlier, about, COMMON), "planned": results["planned"]}
    notes = [*results["notes"], *load_notes()]
    reasons = {NOT_INSTALLED: "pip install 'deeprnn-keras[torch]'", SEES_NO_GPU: "install its build for CUDA"}
    notes += [f"{name} is not measured ({why}): {reasons[why]}." for name, why in plan.unavailable.items()]
    results["notes"] = list(dict.fromkeys(notes))
    return results


def report(results: GpuResults, output: Path, console: Console, interrupted: bool = False) -> int:
    """Write the files, print what disagrees, failed, or is missing, and return the exit status."""
    save_results(results, output)
    save_page(results, output)
    plot_step_times(results, output / "steps.png")
    (failed,) = failures(results)
    found, absent = problems(results), missing(results)
    lines = [f"Disagreement: {text}" for text in found]
    lines += [f"Failure: {' '.join(row)}" for row in failed.rows] + [f"Missing: {text}" for text in absent]
    if absent:
        lines.append(f"To measure what is missing, repeat the command with --resume --output {output}")
    complete = "incomplete" if absent else "complete"
    lines.append(f"{complete}, {len(found)} disagreements, {len(failed.rows)} failures: {output / PAGE}")
    console.print(*lines, sep="\n", highlight=False, markup=False, soft_wrap=True)
    if interrupted:
        return INTERRUPTED
    return FAILED if found or failed.rows else 0


if __name__ == "__main__":
    main()
