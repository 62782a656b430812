"""Verdicts and Markdown page of the results of `gpu.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.gpu_plan import POLICIES, GpuResults
from deeprnn_keras._types import Config
from deeprnn_keras.bench.implementations import MASKED, MIXED
from deeprnn_keras.bench.report import environment_line, markdown_table
from deeprnn_keras.bench.results import Figures, new_results
from deeprnn_keras.bench.summary import ratio
from deeprnn_keras.bench.tables import EMPTY, TextTable, case_table, failure_table, first_call_table, group_table
from deeprnn_keras.writing import save_text

PAGE = "results.md"
MASK_LIMIT = 1e-4
# float16 has 11 significant bits, bfloat16 has 8
PRECISION_LIMITS = {"float32": 1e-4, "mixed_float16": 5e-3, "mixed_bfloat16": 3e-2}
LOSS_LIMIT = 1e-2
MODES = {"forward": "forward pass", "train": "training step"}

INTRODUCTION = (
    "`python -m benchmarks.gpu` measures this page; its models have {size}. A case LxhxnxT has L layers of h units, "
    "batch size n, and T time steps."
)
OPERATORS = (
    "The operators are those in a profile of TensorFlow's executor during one call of the compiled step that `predict` "
    "or `fit` runs. cuDNN: number of operators CudnnRNNV3 in the forward pass, and of CudnnRNNV3 and "
    "CudnnRNNBackpropV3 in the training step. loops: loops over the steps. XLA: programs compiled by XLA that ran. "
    "claimed: `explain_kernels` of the built model; card: `explain_kernels` of `zoo.info(name)`. Each layer that is "
    "claimed to run on cuDNN must run one forward operator, and in training one backward operator; a claimed loop must "
    "run as a loop or, if Keras compiles the whole step (jit), within a program of XLA. The batch has 4 rows of at "
    "most 32 steps, unless the model fixes their number; the selection does not depend on these sizes."
)
TIMES = (
    "A time is the median over rounds of the median step time of a round; ± is the largest deviation of a round from "
    "this median. The implementations alternate, each in a separate process. One step is a training update with Adam "
    "as `fit` runs it, including the copy of the batch to the device. All libraries use their default precision: "
    "TensorFlow uses TensorFloat-32 for matrix products and cuDNN, PyTorch for cuDNN."
)
COMPARISONS = (
    "Relative errors of a `DeepRNN` with the selected implementation, compared with Keras' loop in float32 on the same "
    "device, without TensorFloat-32: the norm of the difference divided by the norm, for the outputs and states "
    "(values), and the largest of the inputs and all weights (gradients)."
)


def save_page(results: GpuResults, directory: Path) -> Path:
    """Write the page in one atomic step, and return its path."""
    save_text(page(results), directory / PAGE)
    return directory / PAGE


def page(results: GpuResults) -> str:
    """Return the page in Markdown."""
    about = results["about"]
    gpu = ", ".join(f"{name} {version}" for name, version in about["gpu"].items()) or "no GPU was used"
    size = "6 units, and all other sizes are tiny" if about["quick"] else "their published sizes"
    parts = ["# GPU measurements", environment_line(about), f"GPU: {gpu}.", INTRODUCTION.format(size=size)]
    lists = {"Notes": [*results["notes"], *profile_notes(results)], "Missing": missing(results)}
    lists["Disagreements in the measured parts"] = problems(results)
    parts += [_list(title, items) for title, items in lists.items()]
    parts += ["## Operators of the models of the zoo", OPERATORS, markdown_table(operator_table(results))]
    parts += ["## Update times", TIMES, *_sections(time_tables(results))]
    parts += ["## Masks", COMPARISONS, *_sections(mask_tables(results))]
    parts += ["## Mixed precision", *_sections(precision_tables(results))]
    parts += _sections(failures(results))
    return "\n\n".join(parts) + "\n"


def profile_notes(results: GpuResults) -> list[str]:
    """Return a note if a GPU was used and no profile contains an event of it, else an empty list."""
    traced = [figures for figures in results["operators"].values() if "error" not in figures]
    if not results["about"]["gpu"] or not traced or any(figures["train"]["gpu_events"] for figures in traced):
        return []
    return [
        "The profiles contain no events of the GPU: CUPTI is missing, or the driver does not permit its use. The "
        "operators are those that TensorFlow's executor recorded on the host."
    ]


def _list(title: str, items: Sequence[str]) -> str:
    return f"**{title}**:\n\n" + "\n".join(f"- {item}" for item in items) if items else f"**{title}**: none."


def _sections(tables: Iterable[TextTable]) -> list[str]:
    return [f"### {table.title}\n\n{markdown_table(table)}" for table in tables if table.rows]


# === Verdicts ===


def missing(results: GpuResults) -> list[str]:
    """Return one line per section with the planned parts that have no figures."""
    lines = []
    for section, names in results["planned"].items():
        absent = [name for name in names if name not in results[section]]
        lines += [f"{section}, {len(absent)} of {len(names)}: {'; '.join(absent)}"] * bool(absent)
    return lines


def problems(results: GpuResults) -> list[str]:
    """Return every disagreement between a claim and a measurement."""
    found = [f"{name}: {text}" for name, figures in results["operators"].items() for text in entry_problems(figures)]
    found += [f"{name}: {text}" for name, figures in results["masks"].items() for text in mask_problems(figures)]
    for name in results["precision"]:
        found += [f"{name}: {text}" for text in precision_problems(results["precision"], name)]
    return found


def entry_problems(figures: Figures) -> list[str]:
    """Return the disagreements between the operators of a model and what `explain_kernels` states."""
    if "error" in figures:
        return []
    layers = figures["layers"]
    found = [
        f"{layer['path']}: the model claims {layer['claimed']}, its card {layer['card']}"
        for layer in layers
        if layer["claimed"] != layer["card"]
    ]
    claimed = [layer["claimed"] for layer in layers]
    for mode, description in MODES.items():
        texts = operator_problems(claimed, figures[mode], mode == "train", figures["jit_compile"])
        found += [f"{description}: {text}" for text in texts]
    return found


def operator_problems(claimed: Sequence[str], operators: Config, backward: bool, jit_compile: bool) -> list[str]:
    """Return the disagreements between claimed implementations of the layers and the operators that ran.

    Args:
        claimed: Claimed implementation of each recurrent layer.
        operators: Result of `trace`.
        backward: True if the gradients were computed, too.
        jit_compile: True if XLA compiles the whole step.
    """
    layers, found = claimed.count("cudnn"), []
    for kind, expected in (("cudnn", layers), ("cudnn_backward", layers if backward else 0)):
        if operators[kind] != expected:
            text = f"{layers} layers are claimed to run on cuDNN, {operators[kind]} operators of cuDNN ran"
            found.append(f"{text} in the backward pass" if kind == "cudnn_backward" else text)
    if "xla" in claimed and not operators["executables"]:
        found.append(f"{claimed.count('xla')} layers are claimed to run on XLA, no program of XLA ran")
    if "native" in claimed and not operators["native"]:
        found.append(f"{claimed.count('native')} layers are claimed to run in native code, no native code ran")
    if "loop" in claimed and not (operators["loops"] or (jit_compile and operators["executables"])):
        found.append(f"{claimed.count('loop')} layers are claimed to run in a loop, no loop ran")
    unknown = sorted(set(claimed) - {"cudnn", "native", "xla", "loop"})
    return found + [f"the claim {name!r} has no known operator" for name in unknown]


def mask_problems(figures: Figures) -> list[str]:
    """Return the disagreements of a masked layer with the loop, in its results and its operators."""
    if "error" in figures:
        return []
    return _error_problems(figures, MASK_LIMIT) + _comparison_operator_problems(figures)


def precision_problems(section: dict[str, Figures], name: str) -> list[str]:
    """Return the disagreements of a layer with a dtype policy with the loop in float32."""
    figures, (cell, policy) = section[name], name.split(", ")
    if "error" in figures:
        return []
    found = _error_problems(figures, PRECISION_LIMITS[policy]) + _comparison_operator_problems(figures)
    if None in figures["losses"]:
        return [*found, f"the loss of update {figures['losses'].index(None) + 1} is not finite"]
    error = loss_error(section, cell, policy)
    if error is not None and error > LOSS_LIMIT:
        found.append(f"the last loss differs from that in float32 by {error:.1e}, more than {LOSS_LIMIT:.0e}")
    return found


def loss_error(section: dict[str, Figures], cell: str, policy: str) -> float | None:
    """Return the relative difference of the last loss from that in float32, or None if one is missing."""
    (loss, expected) = (
        (section.get(f"{cell}, {name}", {}).get("losses") or [None])[-1] for name in (policy, POLICIES[0])
    )
    return None if loss is None or expected is None else abs(loss - expected) / abs(expected)


def _error_problems(figures: Figures, limit: float) -> list[str]:
    found = []
    for part in ("values", "gradients"):
        if figures[part] is None:
            found.append(f"{part} are not finite")
        elif figures[part] > limit:
            found.append(f"{part} differ from the loop's by {figures[part]:.1e}, more than {limit:.0e}")
    return found


def _comparison_operator_problems(figures: Figures) -> list[str]:
    return operator_problems(figures["implementations"], figures["operators"], backward=True, jit_compile=False)


# === Tables ===


def operator_table(results: GpuResults) -> TextTable:
    """Return the table of claims and operators of the models of the zoo."""
    rows = []
    for name, figures in sorted(results["operators"].items()):
        if "error" in figures:
            rows.append([name, "failed", *[EMPTY] * 8])
            continue
        claims = [_count_names([layer[key] for layer in figures["layers"]]) for key in ("claimed", "card")]
        forward, train = figures["forward"], figures["train"]
        rows.append(
            [
                name,
                *claims,
                str(forward["cudnn"]),
                f"{train['cudnn']} + {train['cudnn_backward']}",
                f"{forward['loops']}, {train['loops']}",
                f"{forward['native']}, {train['native']}",
                f"{forward['executables']}, {train['executables']}{' (jit)' * figures['jit_compile']}",
                ", ".join(train["gpu_kernels"]) or EMPTY,
                "disagrees" if entry_problems(figures) else "agrees",
            ]
        )
    headings = ["model", "claimed", "card", "cuDNN forward", "cuDNN training", "loops", "native", "XLA", "GPU kernels"]
    return TextTable("", [*headings, "verdict"], rows, "lllrrrrrll")


def _count_names(names: Sequence[str]) -> str:
    """Return, for example, "2 cudnn, 1 loop"."""
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))


def time_tables(results: GpuResults) -> list[TextTable]:
    """Return the tables of update times and first calls of the libraries."""
    return [group_table(results), case_table(results, "train"), first_call_table(results)]


def _variant_table(results: GpuResults, selected: Sequence[str]) -> TextTable:
    """Return the table of update times of some variants, with their ratios to the time of the plain `DeepRNN`."""
    cases = {
        key: {name: figures[name] for name in selected if name in figures}
        for key, figures in results["variants"].items()
    }
    table = case_table({**new_results(results["about"]), "cases": cases}, "train")
    names = [name for name in table.headings[1:] if name != "DeepRNN"]
    ratios = [[ratio(cases[f"{row[0]} train"], name, "DeepRNN") for name in names] for row in table.rows]
    return TextTable(
        "Milliseconds per training update, and the time of each variant divided by that of DeepRNN",
        [*table.headings, *[f"{name} / DeepRNN" for name in names]],
        [
            [*row, *[EMPTY if r is None else f"{r:.2f}" for r in more]]
            for row, more in zip(table.rows, ratios, strict=True)
        ],
        table.alignments + "r" * len(names),
    )


def mask_tables(results: GpuResults) -> list[TextTable]:
    """Return the tables of errors and update times with masks."""
    rows = [
        [name, *_error_cells(figures), "disagrees" if mask_problems(figures) else "agrees"]
        for name, figures in results["masks"].items()
        if "error" not in figures
    ]
    headings = ["cell, mask", "implementation", "cuDNN operators", "values", "gradients", "verdict"]
    errors = TextTable(f"Errors relative to the loop, at most {MASK_LIMIT:.0e}", headings, rows, "llrrrl")
    return [errors, _variant_table(results, MASKED)]


def precision_tables(results: GpuResults) -> list[TextTable]:
    """Return the tables of errors, losses, and update times with dtype policies."""
    rows = []
    for name, figures in results["precision"].items():
        if "error" in figures:
            continue
        losses, error = figures["losses"], loss_error(results["precision"], *name.split(", "))
        finite = "yes" if None not in losses else "no"
        verdict = "disagrees" if precision_problems(results["precision"], name) else "agrees"
        rows.append([name, *_error_cells(figures), finite, EMPTY if error is None else f"{error:.1e}", verdict])
    limits = ", ".join(f"{limit:.0e} for {policy}" for policy, limit in PRECISION_LIMITS.items())
    headings = ["cell, policy", "implementation", "cuDNN operators", "values", "gradients"]
    headings += ["finite losses", "last loss", "verdict"]
    title = f"Errors relative to the loop in float32, at most {limits}; of the last loss, at most {LOSS_LIMIT:.0e}"
    return [TextTable(title, headings, rows, "llrrrlrl"), _variant_table(results, MIXED)]


def _error_cells(figures: Figures) -> list[str]:
    operators = figures["operators"]
    errors = ["not finite" if figures[part] is None else f"{figures[part]:.1e}" for part in ("values", "gradients")]
    return [
        _count_names(figures["implementations"]),
        f"{operators['cudnn']} + {operators['cudnn_backward']}",
        *errors,
    ]


def failures(results: GpuResults) -> list[TextTable]:
    """Return the table of errors, without rows if there are none."""
    rows = [
        [f"{section}: {name}", "DeepRNN", figures["error"].splitlines()[0]]
        for section in ("operators", "masks", "precision")
        for name, figures in results[section].items()
        if "error" in figures
    ]
    variants = failure_table({**new_results(results["about"]), "cases": results["variants"]})
    table = failure_table(results)
    return [table._replace(rows=[*rows, *table.rows, *variants.rows])]
