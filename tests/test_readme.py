"""What the README shows runs."""

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import deeprnn_keras
from deeprnn_keras import TextCorpus, zoo

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LAYER_EXAMPLE, TEXT_EXAMPLE, KERNELS_EXAMPLE, RESUME_EXAMPLE, TRAINED_EXAMPLE, TUNER_EXAMPLE = re.findall(
    r"```python\n(.*?)```", README, re.DOTALL
)


def test_commands_are_one_line_each():
    for marker in ("run command", "test command"):
        (block,) = re.findall(rf"<!-- {marker} -->\n```bash\n(.*?)```", README, re.DOTALL)
        assert block.count("\n") == 1
        assert "python3 -m venv .venv" in block


@pytest.mark.usefixtures("eager")
def test_layer_example_runs():
    rng = np.random.default_rng(0)
    exec(LAYER_EXAMPLE, {"x": rng.normal(size=(4, 5, 8)), "y": rng.normal(size=(4, 1))})


@pytest.mark.slow
def test_text_example_runs_on_a_short_text(monkeypatch, tmp_path):
    text = deeprnn_keras.king_james().text[:20_000]
    vocabulary = deeprnn_keras.data.Vocabulary(zoo.info("kjv_lstm_2x256").vocabulary)
    monkeypatch.setattr(deeprnn_keras, "king_james", lambda: TextCorpus(text, vocabulary=vocabulary))
    monkeypatch.chdir(tmp_path)
    exec(TEXT_EXAMPLE, {})
    assert (tmp_path / "kjv.keras").exists()


def test_kernels_example_runs(capsys):
    exec(KERNELS_EXAMPLE, {})
    assert capsys.readouterr().out.count("deeprnn_keras.LSTM") == 2


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_resume_example_runs_twice(monkeypatch, tmp_path):
    text = deeprnn_keras.king_james().text[:2_000]
    monkeypatch.setattr(deeprnn_keras, "king_james", lambda: TextCorpus(text))
    monkeypatch.chdir(tmp_path)
    small = RESUME_EXAMPLE.replace("units=256", "units=8").replace("bptt=64", "bptt=8").replace("128", "16")
    for runs in (0, 1):
        keras.utils.set_random_seed(0)
        names = {}
        exec(small, names)
        assert names["resume"].resumed_at == runs * 2 * len(names["train"])


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_tuner_example_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = {"x": rng.normal(size=(8, 5, 8)), "y": rng.normal(size=(8, 1))}
    names |= {"x_held_out": names["x"], "y_held_out": names["y"]}
    exec(TUNER_EXAMPLE.replace("max_trials=20", "max_trials=1"), names)
    assert names["model"].count_params() <= 300_000


def test_example_of_trained_models_runs(capsys, monkeypatch):
    whole = deeprnn_keras.king_james()
    monkeypatch.setattr(
        deeprnn_keras, "king_james", lambda: TextCorpus(whole.text[:20_000], vocabulary=whole.vocabulary)
    )
    exec(TRAINED_EXAMPLE, {})
    *text, bits, speakers = capsys.readouterr().out.splitlines()
    assert text[0].startswith("In the beginning") and 0.5 < float(bits) < 1.6
    assert len(speakers.strip("[]").split()) == 3


def test_gain_of_two_workers_is_that_of_benchmarks():
    found = json.loads((ROOT / "benchmarks" / "results" / "tune_workers" / "results.json").read_text())
    (shown,) = re.findall(r"<!-- workers -->(.*?)<!-- end of workers -->", README)
    assert shown == f"{found['narrow']['ratio']:.2f} times as fast on two cores"


def test_kernels_section_is_that_of_benchmarks():
    from benchmarks.kernels import current, with_section

    assert with_section(README, current()) == README


def test_result_is_that_of_benchmarks():
    from benchmarks.king_james import current, with_paragraph

    assert with_paragraph(README, current()) == README
    assert current() in README


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)h][^)]*)\)", README))))
def test_linked_files_exist(path):
    assert (ROOT / path).exists()
