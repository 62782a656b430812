"""A task family of another package, found through its entry point: the example of CONTRIBUTING.md."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = """
import json, sys
from click.testing import CliRunner
from deeprnn_keras import zoo
from deeprnn_keras.cli import main

assert "deeprnn_parity" not in sys.modules, "entry points must be loaded lazily"
outputs = []
for line in sys.argv[1:]:
    result = CliRunner().invoke(main, line.split(), env={"COLUMNS": "150"})
    if line.startswith(("list", "info")):
        assert not {"keras", "tensorflow"} & set(sys.modules), line
    outputs.append([result.exit_code, result.stdout, result.stderr])
zoo.save_preset(zoo.create_model("parity_gru_1x16", units=3), "preset")
assert zoo.create_model("preset").configuration == zoo.info("parity_gru_1x16", units=3)
print(json.dumps(outputs))
"""


def install(directory, modules, entry_points):
    """Install a distribution of single-file modules into a directory."""
    for name, code in modules.items():
        (directory / f"{name}.py").write_text(code, encoding="utf-8")
    about = directory / "deeprnn_parity-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: deeprnn-parity\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    (about / "entry_points.txt").write_text("[deeprnn_keras.families]\n" + "\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """{command: (exit code, stdout, stderr)} with the family of CONTRIBUTING.md, and one that fails to import."""
    site, work = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("work")
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    examples = dict(re.findall(r"<!-- example: (\S+) -->\n```python\n(.*?)```", text, re.DOTALL))
    parity = examples["deeprnn_parity.py"]
    modules = {"deeprnn_parity": parity, "deeprnn_broken": "import a_missing_module"}
    install(site, modules, {"parity": "deeprnn_parity:Parity", "broken": "deeprnn_broken:Broken"})
    name = "parity_gru_1x16"
    commands = [
        "list --task parity",
        "list --task langage",
        f"info {name}",
        f"tune {name}",
        f"train {name} --quick",
        f"train {name} --units 4 --epochs 3 --output run",
        "evaluate run",
        "generate run --prompt 1",
        f"train {name} --resume --output run",
        f"train {name} --publish weights --output published",
    ]
    path = [str(site), str(ROOT)]
    code = f"import sys; sys.path[:0] = {path!r}\n{COMMANDS}"
    process = subprocess.run([sys.executable, "-c", code, *commands], cwd=work, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return {"run": work / "run", **dict(zip(commands, json.loads(process.stdout), strict=True))}


def test_family_of_another_package_is_listed(outputs):
    code, stdout, _ = outputs["list --task parity"]
    assert code == 0 and "parity_gru_1x16" in stdout and "a GRU that counts modulo two" in stdout
    assert "did you mean 'language'" in outputs["list --task langage"][2]


def test_info_shows_the_card(outputs):
    code, stdout, _ = outputs["info parity_gru_1x16"]
    assert code == 0 and "keeps one bit in memory" in stdout and "The task is artificial." in stdout
    assert "H^(1)  (n, 16)" in stdout


def test_train_and_evaluate_agree(outputs):
    code, stdout, stderr = outputs["train parity_gru_1x16 --units 4 --epochs 3 --output run"]
    assert code == 0, stdout + stderr
    result = json.loads((outputs["run"] / "result.json").read_text())
    assert result["ending"] == "finished" and result["data"] == "bits" and result["updates"] == 3 * 12
    files = {path.name for path in outputs["run"].glob("[!.]*")}
    assert files == {
        "model.keras",
        "model.program.safetensors",
        "history.csv",
        "result.json",
        "run.json",
    }
    assert set(result["score"]) == {"loss", "accuracy"}
    code, evaluated, stderr = outputs["evaluate run"]
    assert code == 0, stderr
    for text in (stdout, evaluated):
        assert f"accuracy  {result['score']['accuracy']:.4f}" in text


def test_weights_are_published_with_their_record(outputs):
    code, stdout, stderr = outputs["train parity_gru_1x16 --publish weights --output published"]
    assert code == 0, stdout + stderr
    record = json.loads((outputs["run"].parent / "weights" / "parity_gru_1x16.json").read_text())
    assert record["updates"] == 2 * 12 and record["architecture"]["units"] == 16 and len(record["golden"]) == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("tune parity_gru_1x16", "deeprnn tune does not support task family 'parity'"),
        ("train parity_gru_1x16 --quick", "task family 'parity' of model 'parity_gru_1x16' does not support --quick"),
        ("generate run --prompt 1", "does not support generation"),
        ("train parity_gru_1x16 --resume --output run", "holds no run to resume: its run has finished"),
    ],
)
def test_unsupported_commands_are_errors(outputs, command, message):
    code, _, stderr = outputs[command]
    assert code == 1 and message in stderr


def test_family_that_fails_to_import_is_a_warning(outputs):
    message = outputs["list --task parity"][2]
    assert "task family 'broken' (entry point 'deeprnn_broken:Broken') could not be loaded" in message
    assert "a_missing_module" in message and "parity" not in message
