"""Google docstrings as Markdown."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise

SECTION = re.compile(r"^([A-Z][a-z]+(?: [a-z]+)*):\n(?=[ ]+\S)", re.MULTILINE)
ITEM = re.compile(r"^(\*{0,2}[A-Za-z_][\w.]*(?:, \*{0,2}[A-Za-z_][\w.]*)*): ", re.MULTILINE)
CODE_SPAN = re.compile(r"(`[^`]*`)")
MARKUP = re.compile(r"([*_$<\\]|\](?=\())")
TITLES = {"Args": "Arguments"}
DESCRIBING = ("Args", "Attributes")  # the attributes of a dataclass are its arguments


def to_markdown(docstring: str, types: Mapping[str, str] | None = None) -> str:
    """Return a docstring as Markdown.

    Args:
        docstring: Docstring without indentation, as `inspect.getdoc` returns it.
        types: Types of the arguments, {name: type}. They are shown beside the descriptions; if the docstring describes
            some of the arguments, the others are listed with their types.
    """
    types = types or {}
    described = described_names(docstring)
    others = [f"- `{name}` `{kind}`" for name, kind in types.items() if described and name not in described]
    parts = []
    for title, body in sections(docstring):
        items = split_items(body)
        if title is None:
            parts.append(prose(body))
        elif items is None:
            parts.append(f"**{title}**\n\n{prose(body)}")
        else:
            known = types if title in DESCRIBING else {}
            parts.append("\n\n".join([f"**{TITLES.get(title, title)}**", *_definitions(items, known)]))
        if title in DESCRIBING and others:
            parts.append("\n".join(["**Other arguments**\n", *others]))
            others = []
    return "\n\n".join(parts)


def described_names(docstring: str) -> set[str]:
    """Return the names that the sections on arguments and attributes describe."""
    return {name for title, body in sections(docstring) if title in DESCRIBING for name in _names(body)}


def first_sentence(docstring: str) -> str:
    """Return the first sentence of a docstring as Markdown, without its period."""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return escape(re.split(r"(?<=[a-z`)\d])\.(?: |$)", paragraph)[0].removesuffix("."))


def sections(docstring: str) -> Iterator[tuple[str | None, str]]:
    """Return the (title, text) parts of a docstring; the title is None for text outside sections."""
    position = 0
    for match in SECTION.finditer(docstring):
        if match.start() < position:
            continue
        yield from _plain(docstring[position : match.start()])
        body = re.match(r"(?:[ ]+\S.*\n?|[ ]*\n)*", docstring[match.end() :])
        position = match.end() + (body.end() if body else 0)
        yield match[1], textwrap.dedent(docstring[match.end() : position]).strip("\n")
    yield from _plain(docstring[position:])


def split_items(body: str) -> list[tuple[str, str]] | None:
    """Return the (names, description) items of a section, or None if it is prose."""
    if not ITEM.match(body):
        return None
    starts = [*(match.start() for match in ITEM.finditer(body)), len(body)]
    items = []
    for start, end in pairwise(starts):
        names, _, description = body[start:end].partition(": ")
        first, _, more = description.partition("\n")
        items.append((names, f"{first}\n{textwrap.dedent(more)}".strip()))
    return items


def prose(text: str) -> str:
    """Return text as Markdown: examples become blocks of code, indented equations stay as they are."""
    lines: list[str] = []
    in_example = False
    for line in text.splitlines():
        begins = line.lstrip().startswith(">>> ")
        if begins and not in_example:
            lines += ["", "```pycon"]
        elif in_example and not line.strip():
            lines.append("```")
        in_example = begins or (in_example and bool(line.strip()))
        lines.append(line if in_example or line.startswith("    ") else escape(line))
    return "\n".join([*lines, "```"] if in_example else lines).strip("\n")


def escape(text: str) -> str:
    """Return text in which only spans of code are markup."""
    parts = CODE_SPAN.split(text)
    return "".join(part if part.startswith("`") else MARKUP.sub(r"\\\1", part) for part in parts)


def _plain(text: str) -> Iterator[tuple[None, str]]:
    if text.strip():
        yield None, text.strip("\n")


def _names(body: str) -> list[str]:
    return [name.lstrip("*") for names, _ in split_items(body) or () for name in names.split(", ")]


def _definitions(items: list[tuple[str, str]], types: Mapping[str, str]) -> Iterator[str]:
    for names, description in items:
        found = [types[name.lstrip("*")] for name in names.split(", ") if types.get(name.lstrip("*"))]
        term = f"`{names}`" + "".join(f" `{kind}`" for kind in dict.fromkeys(found))
        yield f"{term}\n: {textwrap.indent(prose(description), '  ').strip()}"
