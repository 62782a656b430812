"""Parts of the GPU script `gpu.py`: what is measured, in which order, and by which worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from deeprnn_keras.bench.alternate import CaseMeasurement, estimate_case_seconds
from deeprnn_keras.bench.case import CELLS, SIZES, Case, grid
from deeprnn_keras.bench.deadline import TimedWorkerPool
from deeprnn_keras.bench.implementations import MASKED, MIXED
from deeprnn_keras.bench.masks import MASK_KINDS
from deeprnn_keras.bench.process import WorkerError
from deeprnn_keras.bench.progress import ProgressListener
from deeprnn_keras.bench.results import Figures, Results
from deeprnn_keras.bench.settings import Settings

COMPARING_WORKER = "DeepRNN"  # runs what is not timed, also for the variants
LIBRARIES = ("keras", "torch", "DeepRNN")
VARIANTS = tuple(dict.fromkeys((*MASKED, *MIXED)))
QUICK_VARIANTS = ("DeepRNN", "DeepRNN with gaps")
POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")
QUICK_POLICIES = ("float32", "mixed_float16")
UPDATES = 20  # updates whose losses are compared
MaskCases: TypeAlias = "tuple[tuple[str, bool, tuple[str | None, ...]], ...]"
# cell, bidirectional, and kinds of masks that are compared with the loop
MASK_CASES: MaskCases = (
    ("lstm", False, (None, *MASK_KINDS)),
    ("gru", False, ("right-padded", "gaps", "empty rows")),
    ("lstm", True, ("right-padded", "gaps")),
)
QUICK_MASK_CASES: MaskCases = (("lstm", False, ("right-padded", "gaps")),)
# for estimates of the remaining time
ENTRY_SECONDS, COMPARISON_SECONDS = 5.0, 4.0


class GpuResults(Results):
    """Content of the results file.

    Attributes:
        planned: Names of all parts of each section, in the order in which they are measured.
        operators: Result of `trace_entry` for each model of the zoo.
        masks: Result of `compare_with_loop` for each mask.
        precision: Result of `compare_with_loop` and losses for each cell and dtype policy.
        variants: Figures of masked and mixed-precision variants of `DeepRNN` by key of the case.
    """

    planned: dict[str, list[str]]
    operators: dict[str, dict[str, Any]]
    masks: dict[str, dict[str, Any]]
    precision: dict[str, dict[str, Any]]
    variants: dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Plan:
    """Selection of measurements of a run.

    Attributes:
        entries: Names of models of the zoo.
        settings: Cases whose update times are measured, rounds, seconds, and seed.
        variant_cases: Cases in which masked and mixed-precision variants are measured.
        variants: Names of these variants, and "DeepRNN".
        comparison_size: Size LxhxnxT of the comparisons with the loop.
        mask_cases: Cells and masks that are compared with the loop.
        cells: Cells that are compared in mixed precision.
        policies: Dtype policies in which they are compared.
        unavailable: {library: why it is not measured}.
        quick: If True, models are tiny.
    """

    entries: tuple[str, ...]
    settings: Settings
    variant_cases: tuple[Case, ...]
    variants: tuple[str, ...]
    comparison_size: str
    mask_cases: MaskCases
    cells: tuple[str, ...]
    policies: tuple[str, ...]
    unavailable: dict[str, str]
    quick: bool


def make_plan(entries: tuple[str, ...], quick: bool, seed: int, unavailable: dict[str, str]) -> Plan:
    """Return the plan of a run; with `quick`, everything is tiny, and there is one example of each measurement."""
    if quick:
        case = Case.from_size("1x4x3x5")
        return Plan(
            entries=entries,
            settings=Settings((case,), rounds=2, seconds=0.01, seed=seed),
            variant_cases=(case,),
            variants=QUICK_VARIANTS,
            comparison_size=case.size,
            mask_cases=QUICK_MASK_CASES,
            cells=("lstm",),
            policies=QUICK_POLICIES,
            unavailable=unavailable,
            quick=True,
        )
    return Plan(
        entries=entries,
        settings=Settings(tuple(grid(SIZES, CELLS, ("train",))), rounds=3, seconds=0.25, seed=seed),
        variant_cases=tuple(grid(("2x256x32x128",), ("lstm", "gru"), ("train",))),
        variants=VARIANTS,
        comparison_size="2x128x32x64",
        mask_cases=MASK_CASES,
        cells=("lstm", "gru"),
        policies=POLICIES,
        unavailable=unavailable,
        quick=False,
    )


class Part(NamedTuple):
    """Measurement whose result is one entry of a section of the results.

    Attributes:
        section: Key in the results.
        name: Key in the section.
        seconds: Expected duration.
        measure: Function that measures it.
    """

    section: str
    name: str
    seconds: float
    measure: Callable[[TimedWorkerPool, ProgressListener], Figures]


def operator_part(plan: Plan, entry: str, worker: str) -> Part:
    """Return the part that traces a model of the zoo in a worker."""
    arguments = {"name": entry, "quick": plan.quick, "seed": plan.settings.seed}

    def measure(pool: TimedWorkerPool, _: ProgressListener) -> Figures:
        return call(pool, worker, "benchmarks.gpu_zoo:trace_entry", arguments)

    return Part("operators", entry, ENTRY_SECONDS, measure)


def sequential_parts(plan: Plan) -> list[Part]:
    """Return all parts but the traces of the zoo; the most important ones come first."""
    masks = [_mask_part(plan, cell, both, mask) for cell, both, kinds in plan.mask_cases for mask in kinds]
    precision = [_precision_part(plan, cell, policy) for cell in plan.cells for policy in plan.policies]
    variants = [_case_part(plan, "variants", case, plan.variants) for case in plan.variant_cases]
    return [
        *masks,
        *precision,
        *variants,
        *(_case_part(plan, "cases", case, LIBRARIES) for case in plan.settings.cases),
    ]


def planned_names(plan: Plan) -> dict[str, list[str]]:
    """Return the names of all parts by section."""
    planned: dict[str, list[str]] = {"operators": list(plan.entries)}
    for part in sequential_parts(plan):
        planned.setdefault(part.section, []).append(part.name)
    return planned


def call(pool: TimedWorkerPool, worker: str, function: str, arguments: dict[str, object]) -> Figures:
    """Return the result of a function in a worker, or {"error": message}."""
    try:
        return pool.request(worker, "call", function=function, arguments=arguments)
    except WorkerError as error:
        return {"error": str(error)}


def _compare(pool: TimedWorkerPool, plan: Plan, cell: str, **arguments: object) -> Figures:
    options = {"size": plan.comparison_size, "cell": cell, "seed": plan.settings.seed, **arguments}
    return call(pool, COMPARING_WORKER, "deeprnn_keras.bench.agreement:compare_with_loop", options)


def _mask_part(plan: Plan, cell: str, bidirectional: bool, mask: str | None) -> Part:
    def measure(pool: TimedWorkerPool, _: ProgressListener) -> Figures:
        return _compare(pool, plan, cell, mask=mask, bidirectional=bidirectional)

    name = f"{'bidirectional ' * bidirectional}{cell}, {mask or 'no mask'}"
    return Part("masks", name, COMPARISON_SECONDS, measure)


def _precision_part(plan: Plan, cell: str, policy: str) -> Part:
    name = "DeepRNN" if policy == "float32" else f"DeepRNN {policy}"
    case = vars(Case.from_size(plan.comparison_size, cell))
    arguments = {"name": name, "case": case, "updates": UPDATES, "seed": plan.settings.seed}

    def measure(pool: TimedWorkerPool, _: ProgressListener) -> Figures:
        figures = _compare(pool, plan, cell, policy=policy)
        losses = call(pool, COMPARING_WORKER, "deeprnn_keras.bench.agreement:training_losses", arguments)
        return {**figures, **losses}

    return Part("precision", f"{cell}, {policy}", 2 * COMPARISON_SECONDS, measure)


def _case_part(plan: Plan, section: str, case: Case, names: tuple[str, ...]) -> Part:
    available = [name for name in names if name not in plan.unavailable]

    def measure(pool: TimedWorkerPool, listener: ProgressListener) -> Figures:
        figures = CaseMeasurement(pool, case, available, plan.settings, listener).run()
        return {**figures, **{name: {"unavailable": plan.unavailable[name]} for name in names if name not in figures}}

    return Part(section, case.key, estimate_case_seconds(case, available, plan.settings), measure)
