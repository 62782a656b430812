"""Sources of the site: every public name, page, tutorial, and benchmark has its place; docstrings become Markdown."""

import re
import sys
import tomllib

import pytest
from source_files import PUBLIC_NAMES, ROOT, STUBS, SUBMODULES, module_name

from docs.builder import api, benchmarks, sources
from docs.builder.docstrings import first_sentence, to_markdown
from docs.builder.pages import Sources

DOCSTRING = """Return the sum of *values* in [0, 1), a_1 + a_2.

The sum is

    S_t = S_{t-1} + a_t

Args:
    values: Numbers, (n,), for example `[1, *rest]`.

        - first
        - second
    start, end: Positions.

Raises:
    ValueError: If a number is missing.

>>> total([1])
1
"""
MARKDOWN = r"""Return the sum of \*values\* in [0, 1), a\_1 + a\_2.

The sum is

    S_t = S_{t-1} + a_t

**Arguments**

`values` `Sequence[int]`
: Numbers, (n,), for example `[1, *rest]`.

  - first
  - second

`start, end` `int`
: Positions.

**Other arguments**

- `seed` `int`

**Raises**

`ValueError`
: If a number is missing.

```pycon
>>> total([1])
1
```"""


def listed_pages():
    return [page for pages in sources.sections().values() for page in pages]


def test_every_page_is_in_the_table_of_contents():
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    tutorials = {f"tutorials/{path.stem}" for path in (ROOT / "tutorials").glob("[0-9]*.py")}
    assert sorted(listed_pages()) == sorted(pages | tutorials | {"contributing", "changelog", "gallery", "api/index"})


def test_every_public_name_is_in_the_reference():
    pages = api.pages()
    exported = {("deeprnn_keras", name) for name in PUBLIC_NAMES}
    stubs = {module_name(directory / "__init__.py"): names for directory, names in STUBS.items()}
    exported |= {(module, name) for module, names in stubs.items() for name in names if names[name]}
    assert len(exported) > 90
    for module, name in exported:
        (entry,) = [entry for entry in api.public_names() if entry.name == name and module in entry.exporters]
        assert f"# {name}\n" in pages[entry.page] and f"`{name}`]({entry.path}.md)" in pages[f"api/{module}"]
    assert {f"api/deeprnn_keras.{name}" for name in SUBMODULES} <= set(pages)


def test_types_and_methods_are_in_the_reference():
    layer, stream = (api.pages()[f"api/deeprnn_keras.{name}"] for name in ("DeepRNN", "Stream"))
    assert "DeepRNN(units, num_layers=None, cell='lstm'" in layer and "`units` `int | Sequence[int]`\n: " in layer
    assert "{py:method} Stream.push(x, out=None) -> " in stream
    assert "{py:property} Stream.state\n:module: deeprnn_keras\n:type: dict[str, np.ndarray]" in stream


def test_every_benchmark_is_described():
    assert set(benchmarks.descriptions()) == set(benchmarks.directories())


def test_every_extra_is_on_the_page_of_installation():
    page = (ROOT / "docs" / "installation.md").read_text(encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    listed = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.*?) \|", page, re.MULTILINE)))
    assert sorted(listed) == sorted(extras)


def test_docstrings_become_markdown():
    types = {"values": "Sequence[int]", "start": "int", "end": "int", "seed": "int"}
    assert to_markdown(DOCSTRING, types) == MARKDOWN
    assert first_sentence(DOCSTRING) == r"Return the sum of \*values\* in [0, 1), a\_1 + a\_2"


def test_links_between_files_become_links_between_pages(tmp_path):
    pages = Sources(tmp_path)
    text = (
        "[a](layers.md#cells) [b](../tutorials/05_text.py) [c](#d) [e](https://keras.io) [f](examples/slurm.sh) `](x)`"
    )
    assert pages.linked(text, "docs/kernels.md", "deep/kernels") == (
        "[a](../layers.md#cells) [b](../tutorials/05_text.md) [c](#d) [e](https://keras.io) "
        "[f](../files/docs/examples/slurm.sh) `](x)`"
    )
    assert (tmp_path / "files" / "docs" / "examples" / "slurm.sh").is_file()
    with pytest.raises(ValueError, match=r"docs/kernels\.md links to no\.md, which is not a file of the repository"):
        pages.linked("[a](no.md)", "docs/kernels.md", "kernels")
    pages.add("kernels", "")
    with pytest.raises(ValueError, match="two pages of the site have the name 'kernels'"):
        pages.add("kernels", "")
    with pytest.raises(ValueError, match=r"setup\.py has no page; add it to docs/builder/contents\.py"):
        pages.add_file("setup.py")


def test_missing_package_names_the_extra(monkeypatch):
    from docs.builder.__main__ import main

    monkeypatch.setitem(sys.modules, "sphinx", None)
    message = r"Building the site requires the package sphinx; install it with: pip install 'deeprnn-keras\[docs\]'"
    with pytest.raises(ImportError, match=message):
        main()
