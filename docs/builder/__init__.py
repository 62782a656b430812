"""Site of the documentation: pages, tutorials, API reference, gallery of the zoo, and results of the benchmarks.

`python -m docs.builder` writes Markdown files into a directory of sources, from which Sphinx builds the site.
"""
