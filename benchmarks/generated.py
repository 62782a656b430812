"""Generated blocks of pages: the text between `<!-- name -->` and `<!-- end of name -->`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def replace_block(page: str, name: str, text: str) -> str:
    """Return a page with the text of its block `name` replaced.

    Raises:
        ValueError: If the page does not have exactly one such block.
    """
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
    page, count = re.subn(pattern, lambda match: f"{match[1]}{text}{match[2]}", page, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"a page must have one block between <!-- {name} --> and <!-- end of {name} -->, got {count}")
    return page


def update_pages(name: str, texts: Mapping[str, str]) -> None:
    """Write the block `name` of pages, which are paths relative to the root of the repository."""
    for page, text in texts.items():
        path = ROOT / page
        path.write_text(replace_block(path.read_text(encoding="utf-8"), name, text), encoding="utf-8")
