"""Convert all tutorials to notebooks: python tutorials/notebooks.py [DIRECTORY], by default notebooks/."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deeprnn_keras.extras import import_optional

if TYPE_CHECKING:
    from nbformat import NotebookNode

TUTORIALS = Path(__file__).resolve().parent
NOTE = "*Run the cells from top to bottom, for example with Run > Run All Cells: each uses names of earlier cells.*"


def read_notebook(path: Path) -> NotebookNode:
    """Return the notebook of a tutorial, with links to the notebooks of other tutorials."""
    jupytext = import_optional("jupytext", "docs", "Converting tutorials")
    notebook = jupytext.read(path)
    notebook.cells[0].source += f"\n\n{NOTE}"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\((\d\d_\w+)\.py\b", r"](\1.ipynb", cell.source)
    return notebook


def convert(directory: Path) -> list[Path]:
    """Write a notebook for each tutorial, without outputs, and copy the pictures; return the notebooks."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(TUTORIALS.glob("[0-9][0-9]_*.py")):
        written.append(directory / f"{path.stem}.ipynb")
        import_optional("jupytext", "docs", "Converting tutorials").write(read_notebook(path), written[-1])
    for picture in TUTORIALS.glob("*.png"):
        shutil.copy(picture, directory)
    return written


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TUTORIALS.parent / "notebooks"
    print(*convert(target), sep="\n")
