"""Tutorials: their form, a run at a small scale, and what they say if a package or an earlier cell is missing."""

import ast
import builtins
import re
import runpy
import subprocess
import symtable
import sys

import matplotlib.pyplot as plt
import pytest
from source_files import ROOT

from deeprnn_keras import specs
from deeprnn_keras.tutorial import start_tutorial

TUTORIALS = sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))
LONG = ("02", "03", "04", "05", "09", "12")  # they take more than 10 s, or read a package that .ci/long installs
MAX_PICTURE = 60_000  # bytes

each_tutorial = pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)


@pytest.fixture
def registries():
    """Remove entries that a tutorial adds to the registries of cells, tasks, and models."""
    from deeprnn_keras import tasks, zoo

    found = [specs.CELLS, tasks.families(), zoo.registry.models()]
    before = [dict(registry._entries) for registry in found]
    yield
    for registry, entries in zip(found, before, strict=True):
        registry._entries.clear()
        registry._entries.update(entries)
    zoo.registry._families_added.intersection_update(tasks.families().names())


@pytest.mark.usefixtures("eager", "registries")
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.long if path.stem[:2] in LONG else pytest.mark.slow)
        for path in TUTORIALS
    ],
)
def test_tutorial_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORIAL_SCALE", "0.01")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    plt.close("all")
    assert any(tmp_path.glob("*.png")), "no figure was saved"


# === Form ===


def cells(path):
    """Return the Markdown cells and the code cells of a tutorial, in order, as (is_code, text)."""
    parts = re.split(r"^# %%(.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [("[markdown]" not in kind, text) for kind, text in zip(parts[::2], parts[1::2], strict=True)]


@each_tutorial
def test_tutorial_opens_with_a_picture_and_ends_with_solutions(path):
    (_, opening), *_ = cells(path)
    opening = " ".join(line.removeprefix("#").strip() for line in opening.splitlines())
    assert "At the end you" in opening
    assert re.search(r"takes .*(minutes?|hour|seconds) on two CPU cores", opening)
    assert re.search(r"equires .*(extras?|no package)", opening)
    picture = ROOT / "tutorials" / re.search(r"\]\((\w+\.png)\)", opening)[1]
    assert picture.name.startswith(path.stem[:2]) and picture.stat().st_size < MAX_PICTURE
    headings = re.findall(r"^# ## (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[-2:] == ["Exercises", "Solutions"]
    exercises, solutions = path.read_text(encoding="utf-8").split("# ## Solutions")
    count = len(re.findall(r"^# \d\. ", exercises.split("# ## Exercises")[1], re.MULTILINE))
    assert [int(number) for number in re.findall(r"^# ### (\d)\. ", solutions, re.MULTILINE)] == [*range(1, count + 1)]


@each_tutorial
def test_links_lead_somewhere(path):
    text = "\n".join(text for is_code, text in cells(path) if not is_code)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith("http")]
    assert not [link for link in links if not (path.parent / link).exists()]


def test_readme_lists_every_tutorial():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \[\d\d\]\(tutorials/(\S+)\)", readme, re.MULTILINE) == [path.name for path in TUTORIALS]


# === Order of the cells ===


def scope_names(table):
    """Return the names that a module reads from its global scope, and those that it assigns."""
    used = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    assigned = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    nested = list(table.get_children())
    while nested:
        inner = nested.pop()
        used |= {symbol.get_name() for symbol in inner.get_symbols() if symbol.is_global()}
        nested += inner.get_children()
    return used, assigned


def read_and_assigned(code):
    """Return the names that a cell reads from other cells, and the names that it assigns."""
    statements = ast.parse(code).body
    tables = [symtable.symtable(ast.unparse(statement), "cell", "exec") for statement in statements]
    everything = set().union(*(scope_names(table)[1] for table in tables))
    read, assigned = set(), set()
    for statement, table in zip(statements, tables, strict=True):
        used, own = scope_names(table)
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):  # reads names when it is called, later in the cell
            read |= used - everything
        elif isinstance(statement, ast.Assign):  # reads its names before it assigns its own
            value = symtable.symtable(ast.unparse(statement.value), "cell", "exec")
            read |= (scope_names(value)[0] | (used - own)) - assigned
        else:
            read |= used - (assigned if isinstance(statement, ast.AugAssign) else assigned | own)
        assigned |= own
    return read - set(dir(builtins)) - {"__file__", "__name__"}, assigned


@each_tutorial
def test_cells_out_of_order_fail_instead_of_using_other_values(path):
    """A name that a cell reads from other cells is assigned in one cell only, and in an earlier one."""
    code = [read_and_assigned(text) for is_code, text in cells(path) if is_code]
    wrong = []
    for number, (read, _) in enumerate(code):
        for name in sorted(read):
            where = [other for other, (_, assigned) in enumerate(code) if name in assigned]
            if len(where) != 1 or where[0] >= number:
                wrong.append(f"code cell {number} reads {name}, which is assigned in code cells {where}")
    assert not wrong, "\n".join(wrong)


# === Bad input ===


def test_missing_packages_are_named_with_their_extras():
    with pytest.raises(ImportError) as caught:
        start_tutorial(tune=["no_such_tuner", "keras_tuner"], probe=["no_such_probe"], music=["json"])
    assert "requires no_such_tuner, no_such_probe; install them with: pip install 'deeprnn-keras[tune,probe]'" in str(
        caught.value
    )


@pytest.mark.parametrize("scale", ["0", "2", "nan", "small", "-1"])
def test_wrong_scale_is_an_error(scale, monkeypatch):
    monkeypatch.setenv("TUTORIAL_SCALE", scale)
    with pytest.raises(ValueError, match=rf"TUTORIAL_SCALE must be a number in \(0, 1\], got '{scale}'"):
        start_tutorial()


def test_name_error_in_a_notebook_asks_for_earlier_cells(monkeypatch):
    shown, handlers = [], []

    class Shell:
        def set_custom_exc(self, kinds, handler):
            handlers.append((kinds, handler))

        def showtraceback(self, info, tb_offset=None):
            shown.append(str(info[1]))

    module = type(sys)("IPython")
    module.get_ipython = Shell
    monkeypatch.setitem(sys.modules, "IPython", module)
    start_tutorial()
    ((kinds, handler),) = handlers
    for error in (NameError("name 'corpus' is not defined"), UnboundLocalError("local")):
        assert isinstance(error, kinds)
        handler(Shell(), type(error), error, None)
    assert re.match(r"name 'corpus' is not defined\. An earlier cell .* run the cells from the top", shown[0])
    assert shown[1] == "local"


# === Notebooks ===


@pytest.mark.long
def test_notebook_runs_in_order_and_explains_itself_out_of_order(tmp_path, monkeypatch):
    import nbclient
    import nbformat

    command = [sys.executable, str(ROOT / "tutorials" / "notebooks.py"), str(tmp_path)]
    written = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert [path.rpartition("/")[2] for path in written] == [f"{path.stem}.ipynb" for path in TUTORIALS]
    assert (tmp_path / "09_forecasting.png").exists()
    assert "](05_text.ipynb)" in (tmp_path / "01_deep_rnn_in_keras.ipynb").read_text(encoding="utf-8")
    monkeypatch.setenv("TUTORIAL_SCALE", "0.01")

    def execute(notebook):
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()

    notebook = nbformat.read(tmp_path / "08_live_signal.ipynb", as_version=4)
    assert "Run the cells from top to bottom" in notebook.cells[0].source
    execute(notebook)
    assert "equal to a stream without a restart: True" in str(notebook)

    code = [number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    del notebook.cells[code[2]]  # the cell that simulates the sensor
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="run the cells from the top"):
        execute(notebook)
