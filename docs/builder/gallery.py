"""Gallery of the zoo: a page with search and filters, and one page per model with its card."""

from __future__ import annotations

import json
from collections.abc import Sequence

from deeprnn_keras import zoo
from deeprnn_keras.zoo.configuration import Configuration
from deeprnn_keras.zoo.results import STEP_TIME, results_of
from docs.builder.pages import ORPHAN

SIZES = (
    (0, "below 100,000"),
    (100_000, "100,000 to 1 million"),
    (1_000_000, "1 to 10 million"),
    (10**7, "above 10 million"),
)
GALLERY = """\
# Zoo gallery

Deep recurrent networks by name. "Measured" is a result of this project, "published" the one that the source reports.
Models with trained weights contain them in the package: `zoo.create_model(name, pretrained=True)` loads them.

<form id="zoo-filters" role="search" aria-label="Filters of the gallery">
<label class="zoo-query">Search <input type="search" name="query" placeholder="name, paper, data, …"></label>
<label>Task <select name="task"><option value="">all</option></select></label>
<label>Cell <select name="cell"><option value="">all</option></select></label>
<label>Parameters <select name="size"><option value="">all</option></select></label>
<label>Order <select name="order"><option value="name">name</option><option value="params">parameters</option></select>
</label>
<label class="zoo-check"><input type="checkbox" name="trained"> trained weights</label>
<label class="zoo-check"><input type="checkbox" name="measured"> measured</label>
</form>
<p id="zoo-count" role="status"></p>
<div id="zoo-cards"></div>
<noscript><p>The cards need JavaScript; the table below lists all models.</p></noscript>
<script>const zoo = {data};</script>
<script src="_static/gallery.js"></script>
"""


def pages() -> dict[str, str]:
    """Return the pages of the gallery, {page: Markdown}."""
    configs = [zoo.info(name) for name in zoo.list_models()]
    rows = "\n".join(f"| [`{one.name}`](zoo/{one.name}.md) | {one.title} | {one.count_params():,} |" for one in configs)
    table = f"## All models\n\n| Name | Description | Parameters |\n|---|---|---:|\n{rows}\n"
    cards = {f"zoo/{one.name}": _card_page(one) for one in configs}
    return {"gallery": f"{GALLERY.replace('{data}', _data(configs))}\n{table}", **cards}


def _data(configs: Sequence[Configuration]) -> str:
    """Return the data of the gallery as JavaScript, which is part of the page: it works without a server."""
    facts = {"sizes": SIZES, "models": [_facts(config) for config in configs]}
    return json.dumps(facts, ensure_ascii=False).replace("</", r"<\/")


def _facts(config: Configuration) -> dict[str, object]:
    results = [result for result in results_of(config.name) if result.metric != STEP_TIME]
    return {
        "name": config.name,
        "title": config.title,
        "task": config.task,
        "cells": config.cell_name().split("-"),
        "architecture": config.architecture(),
        "params": config.count_params(),
        "paper": config.paper,
        "data": config.data,
        "trained": config.weights is not None,
        "published": config.published or "",
        "measured": [[result.value, result.metric, f"{result.data}, {result.split}"] for result in results],
    }


def _card_page(config: Configuration) -> str:
    rows = "\n".join(f"| {label} | {_cell_text(value)} |" for label, value in config.card())
    create = f'from deeprnn_keras import zoo\n\nmodel = zoo.create_model("{config.name}"'
    create += ", pretrained=True)" if config.weights else ")"
    if not config.buildable:
        create = f'from deeprnn_keras import zoo\n\nzoo.count_params("{config.name}")  # too large to be built'
    parts = [
        f"{ORPHAN}# {config.name}",
        "[Zoo gallery](../gallery.md)",
        f"{config.title}.",
        f"```python\n{create}\n```",
        f"```text\n{config.diagram()}\n```",
        f"| Card | |\n|---|---|\n{rows}",
    ]
    return "\n\n".join(parts) + "\n"


def _cell_text(value: str) -> str:
    return value.replace("|", "/").replace("_", r"\_").replace("*", r"\*")
