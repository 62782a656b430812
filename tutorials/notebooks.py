"""Convert all tutorials to notebooks: python tutorials/notebooks.py [DIRECTORY], by default notebooks/."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from deeprnn_keras.extras import import_optional

TUTORIALS = Path(__file__).resolve().parent
NOTE = "*Run the cells from top to bottom, for example with Run > Run All Cells: each uses names of earlier cells.*"


def convert(directory: Path) -> list[Path]:
    """Write a notebook for each tutorial, without outputs, and copy the pictures; return the notebooks.

    Links between tutorials become links between notebooks.
    """
    jupytext = import_optional("jupytext", "docs", "Converting tutorials")
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(TUTORIALS.glob("[0-9][0-9]_*.py")):
        notebook = jupytext.read(path)
        notebook.cells[0].source += f"\n\n{NOTE}"
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = re.sub(r"\]\((\d\d_\w+)\.py\b", r"](\1.ipynb", cell.source)
        written.append(directory / f"{path.stem}.ipynb")
        jupytext.write(notebook, written[-1])
    for picture in TUTORIALS.glob("*.png"):
        shutil.copy(picture, directory)
    return written


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TUTORIALS.parent / "notebooks"
    print(*convert(target), sep="\n")
