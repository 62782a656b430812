"""Pages of the results of the benchmarks: their report, plots, and table."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator

from docs.builder.pages import ROOT, Sources

RESULTS = ROOT / "benchmarks" / "results"
ROW = re.compile(r"^\| \[([^\]]+)\]\(\.\./benchmarks/results/(\w+)/[^)]*\) \| (`[^`]+`) \| (.*) \|$", re.MULTILINE)


def directories() -> list[str]:
    """Return the names of the directories of results."""
    return sorted(path.name for path in RESULTS.iterdir() if path.is_dir())


def descriptions() -> dict[str, tuple[str, str, str]]:
    """Return what `docs/benchmarks.md` states, {directory: (title, command, subject)}."""
    rows = ROW.findall((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"))
    return {directory: (title, command, subject) for title, directory, command, subject in rows}


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
    title, command, subject = descriptions()[name]
    tables = [_table(path.read_text(encoding="utf-8")) for path in sorted(directory.glob("results.csv"))]
    texts = [f"```text\n{path.read_text(encoding='utf-8')}\n```" for path in sorted(directory.glob("*.txt"))]
    records = [path.read_text(encoding="utf-8").strip() for path in sorted(directory.glob("*.json"))]
    devices = [sentence for record in records for sentence in _conditions(json.loads(record))]
    details = [f"<details><summary>All figures</summary>\n\n```json\n{one}\n```\n\n</details>" for one in records]
    parts = [f"# {title}", f"{command}: {subject}.", *devices, plots, *tables, *texts, *details]
    return "\n\n".join(filter(None, parts)) + "\n"


def _conditions(record: object) -> Iterator[str]:
    """Yield the conditions of the measurements that a record states, itself or under "about", at any depth."""
    if not isinstance(record, dict):
        return
    about = record.get("about", record)
    if "device" in about:
        versions = [f"{name} {number}" for name, number in about["versions"].items()]
        yield f"Measured on {about['device']} ({', '.join([*versions, 'Python ' + about['python']])})."
        yield from about.get("notes", ())
    for key, value in record.items():
        if key != "about":
            yield from _conditions(value)


def _table(text: str) -> str:
    header, *rows = csv.reader(text.splitlines())
    lines = [[name.replace("_", " ") for name in header], ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)
