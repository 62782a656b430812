"""Code, commands, links, and generated parts of README.md, CONTRIBUTING.md, CHANGELOG.md, and docs/."""

import importlib
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import deeprnn_keras
from deeprnn_keras import ArrayDataset, Resume, TextCorpus, king_james, zoo
from deeprnn_keras.data import Vocabulary

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "zoo" / "README.md", *DOCS]


def text_of(path):
    return path.read_text(encoding="utf-8")


def page_id(path):
    return str(path.relative_to(ROOT))


def examples(path):
    return re.findall(r"```python\n(.*?)```", text_of(path), re.DOTALL)


def example_of(page, fragment):
    (found,) = [code for code in examples(ROOT / page) if fragment in code]
    return found


def shorten_king_james(monkeypatch, characters):
    corpus = TextCorpus(king_james().text[:characters], vocabulary=Vocabulary(zoo.info("kjv_lstm_2x256").vocabulary))
    monkeypatch.setattr(deeprnn_keras, "king_james", lambda: corpus)


def test_commands_are_one_line_each():
    for marker in ("run command", "test command"):
        (block,) = re.findall(rf"<!-- {marker} -->\n```bash\n(.*?)```", text_of(README), re.DOTALL)
        assert block.count("\n") == 1
        assert "python3 -m venv .venv" in block


def test_readme_is_short():
    assert text_of(README).count("\n") < 150


@pytest.mark.usefixtures("eager")
def test_readme_example_runs():
    rng = np.random.default_rng(0)
    (code,) = examples(README)
    exec(code, {"x": rng.normal(size=(4, 5, 8)), "y": rng.normal(size=(4, 1))})


LONGER = ("audio", "forecasting", "training", "tuning", "zoo")  # have tests of their own
SHORT = [(path, code) for path in DOCS for code in examples(path) if path.stem not in LONGER]
TASKS = tuple(path.stem for path in DOCS if path.stem.startswith("have_"))
SECONDS = ("index", "many_machines", "scoring", "shared_search", *TASKS)
# exporters/test_runtimes.py, program/test_engines.py, and training/test_processes.py run the others
ELSEWHERE = ("# export(", "__main__", "distribute()")
SHORT = [(path, code) for path, code in SHORT if not any(part in code for part in ELSEWHERE)]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    "code",
    [
        pytest.param(code, marks=pytest.mark.slow if path.stem in SECONDS else (), id=f"{path.stem}-{number}")
        for number, (path, code) in enumerate(SHORT)
    ],
)
def test_example_of_docs_runs(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # examples write files
    exec(code, {"__name__": "example"})


@pytest.mark.usefixtures("eager")
def test_audio_examples_run():
    names = {"__name__": "example"}  # the examples continue each other
    for code in examples(ROOT / "docs" / "audio.md"):
        exec(code, names)


@pytest.mark.slow
def test_forecasting_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example"}  # the examples continue each other
    for code in examples(ROOT / "docs" / "forecasting.md"):
        exec(code, names)


def test_drop_in_example_explains_two_layers(capsys):
    exec(example_of("docs/kernels.md", "explain_kernels"), {})
    assert capsys.readouterr().out.count("deeprnn_keras.LSTM") == 2


def test_zoo_example_runs(capsys, monkeypatch):
    shorten_king_james(monkeypatch, 20_000)
    exec(example_of("docs/zoo.md", "pretrained"), {})
    *_, bits, speakers = capsys.readouterr().out.splitlines()
    assert 0.5 < float(bits) < 1.6
    assert len(speakers.strip("[]").split()) == 3


@pytest.mark.slow
def test_recipe_example_runs_on_a_short_text(monkeypatch, tmp_path):
    shorten_king_james(monkeypatch, 20_000)
    monkeypatch.chdir(tmp_path)
    exec(example_of("docs/training.md", "kjv.keras"), {})
    assert (tmp_path / "kjv.keras").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_resume_example_resumes(monkeypatch, tmp_path):
    shorten_king_james(monkeypatch, 2_000)
    monkeypatch.chdir(tmp_path)
    code = example_of("docs/training.md", "Resume(")
    small = code.replace("units=256", "units=8").replace("bptt=64", "bptt=8").replace("128", "16")
    for runs in (0, 1):
        keras.utils.set_random_seed(0)
        names = {}
        exec(small, names)
        assert names["resume"].resumed_at == runs * 2 * len(names["train"])


@pytest.mark.usefixtures("eager")
def test_callback_state_example_restores_the_phase(tmp_path):
    """The first run ends its epoch in the main phase; the second has nothing to train, and restores the phase."""
    names, phases = {}, []
    exec(example_of("docs/training.md", "class Phases"), names)
    for _ in range(2):
        data = ArrayDataset(np.zeros((4, 2)), np.zeros(4), batch_size=2, seed=0)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        callback = names["Phases"]()
        resume = Resume(tmp_path, data, [callback])
        phases.append(callback.phase)
        model.fit(data, epochs=1, callbacks=[resume], shuffle=False, verbose=0)
        phases.append(callback.phase)
    assert phases == ["warm-up", "main"] * 2 and resume.resumed_at == 2


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_tuning_example_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in examples(ROOT / "docs" / "tuning.md"):
        exec(code.replace("max_trials=20", "max_trials=1"), names)
    assert names["model"].count_params() <= 300_000 and names["best"].horizon == 3


def test_speedup_of_two_workers_is_that_of_benchmarks():
    found = json.loads(text_of(ROOT / "benchmarks" / "results" / "tune_workers" / "results.json"))
    (shown,) = re.findall(r"<!-- workers -->(.*?)<!-- end of workers -->", text_of(ROOT / "docs" / "tuning.md"))
    assert shown == f"{found['narrow']['ratio']:.2f} times as fast on two cores"


@pytest.mark.parametrize(
    "program", ["kernels", "serving", "king_james", "highlights", "forecasters", "king_james_cells", "awd_parts"]
)
def test_blocks_of_pages_are_those_of_benchmarks(program):
    from benchmarks.generated import replace_block

    module = importlib.import_module(f"benchmarks.{program}")
    for page, text in module.build_blocks().items():
        assert replace_block(text_of(ROOT / page), module.NAME, text) == text_of(ROOT / page), page


def test_page_without_its_block_is_an_error():
    from benchmarks.generated import replace_block

    with pytest.raises(ValueError, match="one block between <!-- result --> and <!-- end of result -->, got 0"):
        replace_block("no block", "result", "text")


def anchors(path):
    headings = re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
