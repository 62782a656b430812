"""Extension of Sphinx: equations as MathML, and links from names in code font to the API reference."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

from docs.builder import api

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

NAME = re.compile(r"([A-Za-z_][\w.]*)(\(.*\))?", re.DOTALL)
KERAS_NAMES = {"LSTM", "GRU", "RNN", "SimpleRNN"}  # names that keras.layers has, too: linked only with their module


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    app.add_post_transform(LinkNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _visit_inline(translator: HTML5Translator, node: nodes.Element) -> None:
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _visit_block(translator: HTML5Translator, node: nodes.Element) -> None:
    translator.body.append(f'<div class="equation">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


class LinkNames(SphinxPostTransform):
    """Link public names in code font, for example `DeepRNN` or `data.digits()`, to their pages."""

    default_priority = 20

    def run(self, **kwargs: Any) -> None:
        """Replace the names in a page."""
        docname = self.env.docname
        for literal in list(self.document.findall(nodes.literal)):
            page = page_of_name(literal.astext())
            if page and page != docname and not _is_in_link(literal):
                target = make_refnode(self.app.builder, docname, page, "", literal.deepcopy())
                literal.replace_self(target)


def page_of_name(text: str) -> str | None:
    """Return the page of the public name in a span of code, or None if it is not one."""
    match = NAME.fullmatch(text)
    return _pages_by_spelling().get(match[1]) if match else None


@cache
def _pages_by_spelling() -> dict[str, str]:
    names = api.public_names()
    pages = {spelling: name.page for name in names for spelling in name.spellings() if spelling not in KERAS_NAMES}
    return {**{module: f"api/{module}" for module in api.modules()[1:]}, **pages}


def _is_in_link(node: nodes.Node) -> bool:
    parent = node.parent
    while parent is not None:
        if isinstance(parent, (nodes.reference, nodes.title)):
            return True
        parent = parent.parent
    return False
