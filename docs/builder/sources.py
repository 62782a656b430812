"""All sources of the site."""

from __future__ import annotations

from pathlib import Path

from docs.builder import api, contents, gallery
from docs.builder.benchmarks import add_benchmarks, directories
from docs.builder.pages import ROOT, Sources, toctree
from docs.builder.tutorials import SCRIPTS, add_tutorials


def write_sources(directory: Path) -> None:
    """Write the Markdown files from which Sphinx builds the site.

    Args:
        directory: Directory to write to; its content is replaced.
    """
    sources = Sources(directory)
    landing = "docs/index.md"
    sources.add("index", sources.linked((ROOT / landing).read_text(encoding="utf-8"), landing, "index") + _toctrees())
    for path in [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        if path != ROOT / landing:
            sources.add_file(str(path.relative_to(ROOT)))
    add_tutorials(sources)
    add_benchmarks(sources)
    for page, text in {**api.pages(), **gallery.pages()}.items():
        sources.add(page, text)


def sections() -> dict[str, list[str]]:
    """Return the pages of the table of contents, {caption: pages}."""
    tutorials = [f"tutorials/{script.stem}" for script in SCRIPTS]
    return {
        caption: [page for entry in pages for page in (tutorials if entry == "tutorials/*" else [entry])]
        for caption, pages in contents.SECTIONS.items()
    }


def _toctrees() -> str:
    trees = [toctree(pages, caption) for caption, pages in sections().items()]
    return "\n".join(["", *trees, toctree(f"benchmarks/{name}" for name in directories())])
