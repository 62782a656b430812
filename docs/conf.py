"""Configuration of Sphinx. `python -m docs.builder` writes the sources and builds the site."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

project = "deeprnn-keras"
author = "the deeprnn-keras contributors"
copyright = "the deeprnn-keras contributors, Apache License 2.0"
version = release = installed_version("deeprnn-keras")

extensions = ["myst_parser", "sphinx_copybutton", "docs.builder.extension"]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # pages of the repository begin with the level that suits a code host
html_math_renderer = "mathml"
pygments_dark_style = "github-dark"
highlight_language = "text"  # indented blocks are equations
copybutton_exclude = ".linenos, .gp, .go"
toc_object_entries_show_parents = "hide"
# types in signatures, except those with a full name of this package, have no page
nitpick_ignore_regex = [("py:.*", r"(?!deeprnn_keras\.).*")]

html_theme = "furo"
html_title = "deeprnn-keras"
html_static_path = ["theme"]
html_favicon = "theme/logo.svg"
html_css_files = ["site.css"]
html_show_search_summary = False  # summaries are fetched, which browsers refuse for pages that are files
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_logo": "logo.svg",
    "dark_logo": "logo.svg",
    "navigation_with_keys": True,
    "light_css_variables": {
        "color-brand-primary": "#0b7a70",
        "color-brand-content": "#0b6f66",
        "color-brand-visited": "#0b6f66",
        "color-api-name": "#0b6f66",
        "color-api-pre-name": "#6b7280",
    },
    "dark_css_variables": {
        "color-brand-primary": "#4cc9bb",
        "color-brand-content": "#62d2c5",
        "color-brand-visited": "#62d2c5",
        "color-api-name": "#62d2c5",
        "color-api-pre-name": "#9ca3af",
    },
}
