"""Pages of the results of the benchmarks: their report, plots, and table."""

from __future__ import annotations

import csv
import re

from docs.builder.pages import ROOT, Sources

RESULTS = ROOT / "benchmarks" / "results"
LINK = re.compile(r"\[([^\]]+)\]\(\.\./benchmarks/results/(\w+)/")


def directories() -> list[str]:
    """Return the names of the directories of results."""
    return sorted(path.name for path in RESULTS.iterdir() if path.is_dir())


def titles() -> dict[str, str]:
    """Return the titles that `docs/benchmarks.md` gives to the directories, {directory: title}."""
    links = LINK.findall((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"))
    return {directory: title for title, directory in links}


def add_benchmarks(sources: Sources) -> None:
    """Write one page for each directory of results."""
    for name in directories():
        page = f"benchmarks/{name}"
        text = _text(name)
        sources.add(page, sources.linked(text, f"benchmarks/results/{name}/page.md", page))


def _text(name: str) -> str:
    directory = RESULTS / name
    plots = "\n\n".join(f"![{path.stem}]({path.name})" for path in sorted(directory.glob("*.png")))
    report = directory / "results.md"
    if report.exists():
        heading, _, body = report.read_text(encoding="utf-8").partition("\n")
        return "\n\n".join(filter(None, [heading, plots, body.strip()])) + "\n"
    tables = [_table(path.read_text(encoding="utf-8")) for path in sorted(directory.glob("results.csv"))]
    texts = [f"```text\n{path.read_text(encoding='utf-8')}\n```" for path in sorted(directory.glob("*.txt"))]
    records = [f"```json\n{path.read_text(encoding='utf-8').strip()}\n```" for path in sorted(directory.glob("*.json"))]
    parts = [f"# {titles()[name]}", plots, *tables, *texts, "## All figures", *records]
    return "\n\n".join(filter(None, parts)) + "\n"


def _table(text: str) -> str:
    header, *rows = csv.reader(text.splitlines())
    lines = [[name.replace("_", " ") for name in header], ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)
