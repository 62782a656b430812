"""Table of contents of the site."""

from __future__ import annotations

PAGES_OF_FILES = {
    "README.md": "index",
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "zoo/README.md": "gallery",
    "zoo/results.csv": "gallery",
}
"""Files outside `docs/` that a page shows, {path: page}."""

SECTIONS = {
    "Start": [
        "installation",
        "have_text",
        "have_sensors",
        "have_slow_model",
        "have_torch_model",
        "have_phone",
        "have_guitar",
    ],
    "Tutorials": ["tutorials/*"],
    "Guides": [
        "layers",
        "kernels",
        "training",
        "data",
        "tuning",
        "shared_search",
        "zoo",
        "forecasting",
        "programs",
        "scoring",
        "export",
        "interop",
    ],
    "Questions": ["slow", "convergence", "many_machines", "from_keras", "from_pytorch", "from_addons"],
    "Reference": ["gallery", "api/index", "benchmarks", "glossary"],
    "Project": ["house", "contributing", "changelog"],
}
"""Pages in the order of the sidebar, {caption: pages}; `tutorials/*` stands for all tutorials."""
