"""Build the site: `python -m docs.builder [DIRECTORY]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deeprnn_keras.extras import import_optional
from docs.builder.pages import ROOT
from docs.builder.sources import write_sources

DEFAULT = ROOT / "build" / "site"
PACKAGES = ("sphinx", "furo", "myst_parser", "sphinx_copybutton", "latex2mathml", "jupytext")
STRICT = ["--fail-on-warning", "--nitpicky", "--keep-going", "--quiet"]


def main() -> int:
    """Write the sources of the site and build it; return the exit status of Sphinx.

    Raises:
        ImportError: If a package of the extra docs is missing.
    """
    for package in PACKAGES:
        import_optional(package, "docs", "Building the site")
    from sphinx.cmd.build import build_main

    parser = argparse.ArgumentParser(prog="python -m docs.builder", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=DEFAULT, help="output directory")
    directory = parser.parse_args().directory.resolve()
    sources, site = directory / "sources", directory / "html"
    write_sources(sources)
    options = ["-b", "html", "-c", str(ROOT / "docs"), "-d", str(directory / "cache"), *STRICT]
    status = build_main([*options, str(sources), str(site)])
    if status == 0:
        print(f"{len(list(site.rglob('*.html')))} pages: {site / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
