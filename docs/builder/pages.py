"""Sources of the site: every page as Markdown, with links between the files of the repository made links of pages."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from docs.builder import contents

ROOT = Path(__file__).resolve().parents[2]
LINK_OR_CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)|\]\(([^)\s]+)\)", re.DOTALL | re.MULTILINE)
COPIED = "files"  # directory of the site for files that pages show or offer for download
ORPHAN = "---\norphan: true\n---\n\n"  # begins a page that a table lists, and not the sidebar of every page
BENCHMARK = re.compile(r"benchmarks/results/(\w+)/[\w.]+\.(?:md|csv|json)")


def page_of(path: PurePosixPath) -> str | None:
    """Return the page that shows a file of the repository, or None if no page does.

    Args:
        path: Path relative to the root of the repository.
    """
    if str(path) in contents.PAGES_OF_FILES:
        return contents.PAGES_OF_FILES[str(path)]
    if path.suffix == ".md" and path.parent == PurePosixPath("docs"):
        return path.stem
    if path.suffix == ".py" and path.parent == PurePosixPath("tutorials"):
        return f"tutorials/{path.stem}"
    benchmark = BENCHMARK.fullmatch(str(path))
    return f"benchmarks/{benchmark[1]}" if benchmark else None


def toctree(pages: Iterable[str], caption: str = "") -> str:
    """Return the directive that puts pages into the sidebar, below the page that contains it."""
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["```{toctree}", *options, "", *pages, "```"]) + "\n"


class Sources:
    """Directory of the Markdown files of the site.

    Args:
        directory: Directory to write to; its content is replaced.
    """

    def __init__(self, directory: Path) -> None:
        if directory.exists():
            shutil.rmtree(directory)
        self.directory = directory

    def add(self, page: str, text: str) -> None:
        """Write a page.

        Raises:
            ValueError: If there is such a page.
        """
        path = self.directory / f"{page}.md"
        if path.exists():
            raise ValueError(f"two pages of the site have the name {page!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def add_file(self, path: str) -> None:
        """Write a Markdown file of the repository as a page."""
        page = page_of(PurePosixPath(path))
        if page is None:
            raise ValueError(f"{path} has no page; add it to docs/builder/contents.py")
        self.add(page, self.linked((ROOT / path).read_text(encoding="utf-8"), path, page))

    def linked(self, text: str, path: str, page: str) -> str:
        """Return Markdown with links to files replaced by links to pages; other files are copied.

        Args:
            text: Markdown of the file.
            path: Path of the file, to which its links are relative.
            page: Page for which the text is.
        """

        def replace(match: re.Match[str]) -> str:
            code, link = match.groups()
            return code if code is not None else f"]({self._target(link, path, page)})"

        return LINK_OR_CODE.sub(replace, text)

    def _target(self, link: str, path: str, page: str) -> str:
        file, hash_mark, anchor = link.partition("#")
        if not file or re.match(r"\w+:", link):
            return link
        target = PurePosixPath(os.path.normpath(PurePosixPath(path).parent / file))
        if not (ROOT / target).is_file():
            raise ValueError(f"{path} links to {link}, which is not a file of the repository")
        shown = page_of(target)
        if shown is None:
            copy = self.directory / COPIED / target
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / target, copy)
        new = f"{shown}.md" if shown else f"{COPIED}/{target}"
        return os.path.relpath(new, PurePosixPath(page).parent) + hash_mark + anchor
