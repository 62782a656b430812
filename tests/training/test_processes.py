"""Data-parallel training in two processes on JAX, compared with one process; killed, interrupted, and resumed runs."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from jax_environment import python_with_jax
from source_files import ROOT

pytestmark = pytest.mark.long

PROGRAM = """
import os, sys
import keras, numpy as np
from deeprnn_keras import DeepRNN, Resume, TBPTTDataset, king_james, token_windows, zoo
from deeprnn_keras.optimizers import GuardedAdam
from deeprnn_keras.training import distribute

kind, directory, output, last = sys.argv[1:4] + [int(sys.argv[4])]
distribute(timeout=120)
keras.utils.set_random_seed(0)
corpus = king_james()
if kind == "windows":
    model = zoo.create_model("kjv_lstm_2x256", units=16, vocabulary=corpus.vocabulary.symbols)
    data = token_windows([corpus.vocabulary.encode(corpus.text[:1169])], 16, 8, seed=0)  # the last batch has 1 row
    loss = model.loss_function()
else:
    x, reset_mask = keras.Input(batch_shape=(4, None), dtype="int32"), keras.Input(batch_shape=(4,), dtype="bool")
    layer = DeepRNN(8, 2, "lstm", dropout=0.2, stateful=True, return_sequences=True)
    hidden = layer(keras.layers.Embedding(66, 4)(x), reset_mask=reset_mask)
    model = keras.Model([x, reset_mask], keras.layers.Dense(66)(hidden))
    data = TBPTTDataset(corpus.vocabulary.encode(corpus.text[:401]), 4, 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(GuardedAdam(0.01, global_clipnorm=0.1), loss)

class End(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == last:
            os._exit(9)

resume = Resume(directory, data, every=3)
history = model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[resume, End()]).history
np.savez(output, *model.get_weights())
print("RESULT", len(data), resume.resumed_at, int(model.optimizer.clipped), history["loss"][0])
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return python_with_jax(tmp_path_factory.mktemp("jax"))


def environment(**variables):
    return {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT), "XLA_FLAGS": "", **variables}


def run(python, arguments, processes):
    """Run a script in one or several processes; return (exit code, output) of each."""
    with subprocess.Popen(["true"]) as unused:
        port = 20_000 + unused.pid % 20_000
    children = []
    for index in range(processes):
        place = {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{port}",
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(processes),
            "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
        }
        command = [python, *(str(argument).replace("INDEX", str(index)) for argument in arguments)]
        children.append(
            subprocess.Popen(
                command,
                env=environment(**(place if processes > 1 else {})),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    outputs = [child.communicate(timeout=900)[0] for child in children]
    return [(child.returncode, output) for child, output in zip(children, outputs, strict=True)]


def trained(python, kind, directory, output, processes, last=0):
    """Train, and return the fields after RESULT of each process; with `last`, the processes end at this update."""
    results = run(python, ["-c", PROGRAM, kind, directory, f"{output}-INDEX.npz", last], processes)
    assert [code for code, _ in results] == [9 if last else 0] * processes, results
    return [re.findall(r"^RESULT (.*)$", text, re.MULTILINE) for _, text in results]


def weights(path):
    with np.load(path) as file:
        return [file[name] for name in file.files]


@pytest.mark.parametrize("kind", ["windows", "streams"])
def test_two_processes_train_to_the_weights_of_one(kind, python, tmp_path):
    """Also if they are killed, and the run is resumed with one process or with two; all gradients are clipped.

    The last batch of windows has a single row, which both processes read.
    """
    one = trained(python, kind, tmp_path / "one", tmp_path / "one", 1)
    two = trained(python, kind, tmp_path / "two", tmp_path / "two", 2)
    updates = 2 * int(one[0][0].split()[0])
    assert one[0][0].split()[1:3] == ["0", str(updates)]
    trained(python, kind, tmp_path / "killed", tmp_path / "killed", 2, last=updates - 2)
    shutil.copytree(tmp_path / "killed", tmp_path / "killed-2")
    resumed = [
        *trained(python, kind, tmp_path / "killed", tmp_path / "by-one", 1),
        *trained(python, kind, tmp_path / "killed-2", tmp_path / "by-two", 2),
    ]
    assert {result[0].split()[1] for result in resumed} == {str((updates - 2) // 3 * 3)}
    assert {result[0].split()[2] for result in [*two, *resumed]} == {str(updates)}
    expected = weights(tmp_path / "one-0.npz")
    for name in ("two-0", "two-1", "by-one-0", "by-two-0", "by-two-1"):
        for weight, other in zip(expected, weights(tmp_path / f"{name}.npz"), strict=True):
            np.testing.assert_allclose(other, weight, rtol=0, atol=1e-5, err_msg=name)


def test_error_of_the_first_process_ends_the_others(python, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "updates-000000003.safetensors").write_bytes(b"damaged")
    (first, other) = run(python, ["-c", PROGRAM, "windows", tmp_path / "run", tmp_path / "w-INDEX.npz", 0], 2)
    assert first[0] and "all checkpoints in" in first[1], first
    assert other[0] and "process 0 reports: all checkpoints in" in other[1], other


def test_example_of_the_page(python, tmp_path):
    page = (ROOT / "docs" / "many_machines.md").read_text()
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "distribute()" in code]
    code = f"import os; os.chdir(r'{tmp_path}')\n{code}"
    assert [code for code, _ in run(python, ["-c", code], 2)] == [0, 0]
    assert len(list((tmp_path / "checkpoints").glob("updates-*"))) == 2


def test_command_is_interrupted_and_resumed_with_one_process(python, tmp_path):
    """SIGTERM stops all processes after the same update; the result is that of a run in one process."""
    text = np.random.default_rng(0).choice(["the ", "king ", "of ", "david ", "said ", "unto "], size=2000)
    (tmp_path / "words.txt").write_text("".join(text))
    options = ["--text", "words.txt", "--units", "8", "--batch-size", "8", "--bptt", "10", "--epochs", "3"]
    command = [python, "-m", "deeprnn_keras.cli", "train", "kjv_lstm_2x256", *options]

    def train(*more):
        return subprocess.Popen([*command, *more], env=environment(), cwd=tmp_path)

    with train("--output", "two", "--processes", "2") as process:
        checkpoint = tmp_path / "two" / "checkpoints" / "updates-000000100.safetensors"
        while not checkpoint.exists():
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 130
    stopped = json.loads((tmp_path / "two" / "result.json").read_text())
    assert (stopped["ending"], stopped["processes"]) == ("interrupted", 2)
    names = [path.name for path in (tmp_path / "two" / "checkpoints").glob("updates-*")]
    assert f"updates-{stopped['updates']:09d}.safetensors" in names
    for arguments in (("--output", "two", "--resume"), ("--output", "one")):
        with train(*arguments) as process:
            assert process.wait(600) == 0
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("one", "two")]
    assert results[1]["resumed_at_update"] == stopped["updates"]
    bits = [result["validation"]["bits_per_character"] for result in results]
    np.testing.assert_allclose(*bits, rtol=1e-5)
