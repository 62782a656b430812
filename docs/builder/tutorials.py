"""Tutorials as pages: the cells of a script, with links to the script and to its notebook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from docs.builder.pages import COPIED, ROOT, Sources
from tutorials.notebooks import read_notebook

if TYPE_CHECKING:
    from nbformat import NotebookNode

SCRIPTS = sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))


def add_tutorials(sources: Sources) -> None:
    """Write the page and the notebook of every tutorial. They are not executed."""
    for script in SCRIPTS:
        add_tutorial(sources, script)


def add_tutorial(sources: Sources, script: Path) -> None:
    """Write the page and the notebook of a tutorial."""
    import jupytext

    page, path = f"tutorials/{script.stem}", f"tutorials/{script.name}"
    notebook = jupytext.read(script)
    cells = [_cell_text(cell, sources, path, page) for cell in notebook.cells]
    target = sources.directory / COPIED / "tutorials" / f"{script.stem}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    jupytext.write(read_notebook(script), target)
    target.with_suffix(".py").write_bytes(script.read_bytes())
    files = f"../{COPIED}/tutorials/{script.stem}"
    downloads = f"Download: [script]({files}.py), [notebook]({files}.ipynb)"
    title, _, rest = cells[0].partition("\n")
    number = script.stem[:2]
    heading = re.sub(r"^# ", f"# {number} · ", title)
    sources.add(page, "\n\n".join([heading, downloads, rest.strip(), *cells[1:]]) + "\n")


def _cell_text(cell: NotebookNode, sources: Sources, path: str, page: str) -> str:
    if cell.cell_type == "markdown":
        return sources.linked(cell.source, path, page)
    fence = "`" * (3 + max((len(run) for run in re.findall(r"`{3,}", cell.source)), default=0))
    return f"{fence}python\n{cell.source}\n{fence}"
