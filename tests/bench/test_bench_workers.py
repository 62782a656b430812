"""Worker processes of the benchmark and the steps that they run, without measuring times."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from deeprnn_keras import zoo
from deeprnn_keras.bench import epoch
from deeprnn_keras.bench.alternate import WorkerPool
from deeprnn_keras.bench.case import Case
from deeprnn_keras.bench.process import WorkerError, WorkerProcess
from deeprnn_keras.bench.results import load_results

# === Processes ===


def test_stderr_of_a_dead_process_is_reported():
    code = "import sys; input(); print('no memory', file=sys.stderr); sys.exit(3)"
    started = []

    def start(name):
        started.append(WorkerProcess(name, [sys.executable, "-c", code]))
        return started[-1]

    with WorkerPool(start) as pool:
        for _ in range(2):  # the second request starts a new worker, which also dies
            with pytest.raises(WorkerError, match=r"torch ended with exit code 3 during 'prepare'\nno memory"):
                pool.request("torch", "prepare")
    assert len(started) == 2


def test_worker_responds_despite_other_output():
    code = (
        "import os; from deeprnn_keras.bench import worker\n"
        "worker.Worker.echo = lambda self, word: print(word) or os.system('echo hello') or {'word': word}\n"
        "worker.main('keras')"
    )
    with WorkerProcess("keras", [sys.executable, "-c", code]) as process:
        assert process.request("echo", word="one") == {"word": "one"}
        with pytest.raises(WorkerError, match=r"AttributeError: .*unknown.*\nTraceback"):
            process.request("unknown")
        assert process.request("echo", word="two") == {"word": "two"}


def test_memory_growth_includes_freed_memory_of_a_step():
    code = (
        "import numpy as np; from deeprnn_keras.bench.memory import memory_growth\n"
        "np.ones(40 * 2**17).sum()\n"  # 42 MB before the first step are not counted
        "print(memory_growth(lambda: np.ones(100 * 2**17).sum()))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 100 < float(process.stdout) < 120, process.stderr  # 105 MB


# === Steps of the implementations ===


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("keras", "drop-ins")), "DeepRNN"]
)
def test_step_equals_fit_and_predict(name, rng):
    import keras

    from deeprnn_keras.bench import with_keras

    case = Case.from_size("1x4x3x5", "gru")
    assert with_keras.build_model(name, case.replace(num_layers=2)).count_params() == 2 * (3 * 4 * 8 + 24) + 5
    loss = with_keras.make_step(name, case, seed=3)()
    keras.utils.set_random_seed(3)
    model, generator = with_keras.build_model(name, case), np.random.default_rng(3)
    x = generator.standard_normal((3, 5, 4), dtype="float32")
    y = generator.standard_normal((3, 5, 1), dtype="float32")
    predicted = model.predict(x, verbose=0)
    assert model.fit(x, y, verbose=0).history["loss"] == [pytest.approx(loss, rel=1e-5)]
    step = with_keras.make_step(name, case.replace(mode="infer"), seed=3)
    np.testing.assert_allclose(step(), predicted, rtol=1e-4, atol=1e-6)


def test_batches_repeat_with_unknown_batch_size():
    from deeprnn_keras.bench import with_keras

    x, y = np.arange(12.0).reshape(3, 2, 2), np.arange(3.0)
    batches = with_keras.repeated_batch(x, y)
    assert batches.element_spec[0].shape.as_list() == [None, 2, 2]
    for _ in range(3):
        np.testing.assert_array_equal(next(batches)[0], x)


@pytest.mark.parametrize("cell, gates", [("lstm", 4), ("gru", 3), ("rnn", 1)])
def test_torch_step_trains_a_model_of_the_same_size(cell, gates):
    pytest.importorskip("torch")
    from deeprnn_keras.bench import with_torch

    case = Case.from_size("2x4x3x5", cell)
    counts = [parameter.numel() for parameter in with_torch.build_model(case).parameters()]
    assert sum(counts) == 2 * gates * (4 * 4 + 4 * 4 + 2 * 4) + 5
    step = with_torch.make_step("torch", case, 0)
    losses = [step() for _ in range(20)]
    assert all(later < earlier for earlier, later in pairwise(losses))
    assert with_torch.make_step("torch", case.replace(mode="infer"), 0)().shape == (3, 5, 1)


@pytest.mark.parametrize("mode", ["train", "infer"])
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_all_products_are_computed_and_counted(mode, compiled, transposed):
    from deeprnn_keras.bench import with_products

    case = Case.from_size("2x3x2x5", "gru", mode)
    products = with_products.MatrixProducts(case, transposed, compiled, seed=0)
    factors = {name: np.swapaxes(tensor, -1, -2) if transposed else tensor for name, tensor in products.tensors.items()}
    operations = 0
    for function, *pair in products._calls():
        left, right = (np.asarray(factors[name]) for name in pair)
        expected = (left @ right).reshape(-1, left.shape[-2], right.shape[-1])
        operations += 2 * expected.size * left.shape[-1]
        result = function(*(products.tensors[name] for name in pair)).numpy()
        np.testing.assert_allclose(result.T if transposed else result, expected.sum(0), rtol=1e-4, atol=1e-5)
    assert operations == case.operations
    assert np.isfinite(products()).all()


# === Training epochs ===


@pytest.fixture
def tiny_text(monkeypatch):
    """Return a function that replaces the text by pieces of 33 and 12 symbols: 6 + 2 windows of 5, 4 updates."""
    pieces = [np.arange(33) % 4, np.arange(12) % 3]
    config = epoch.epoch_config(zoo.info("kjv_lstm_2x256")) | {"vocabulary": "abcd", "embedding": 3, "units": 4}
    config["recipe"] |= {"bptt": 5, "batch_size": 2}

    def use(module):
        monkeypatch.setattr(module, "training_ids", lambda _: pieces)
        return config

    return use


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name, updates", [("keras", 3), ("DeepRNN", 9)])
def test_two_epochs_in_keras(name, updates, tiny_text):
    from deeprnn_keras.bench import epoch_keras

    result = epoch_keras.train(name, tiny_text(epoch_keras), updates, seed=0)
    assert (result["updates"], result["updates_per_epoch"]) == (min(updates, 4), 4)
    assert len(result["epochs_s"]) == 2 and 1.6 > result["loss"][0] > result["loss"][1] > 0.5


def test_two_epochs_in_torch(tiny_text):
    pytest.importorskip("torch")
    from deeprnn_keras.bench import epoch_torch

    config = tiny_text(epoch_torch)
    x, y = epoch_torch.text_windows(config, epoch.recipe_from_config(config))
    assert x.tolist()[5:7] == [[1, 2, 3, 0, 1], [0, 1, 2, 0, 1]] and y[5].tolist() == [2, 3, 0, 1, 2]
    result = epoch_torch.train("torch", config, 9, seed=0)
    assert (result["updates"], result["updates_per_epoch"]) == (4, 4)
    assert len(result["epochs_s"]) == 2 and 1.6 > result["loss"][0] > result["loss"][1] > 0.5


def test_models_of_keras_and_torch_have_equal_sizes(tiny_text):
    from deeprnn_keras.bench import epoch_keras, epoch_torch

    config = tiny_text(epoch_keras)
    count = epoch_keras.stock_model(config).count_params()
    assert (
        epoch_keras.language_model(config).count_params()
        == count
        == 4 * 3 + 4 * 4 * (3 + 4 + 1) + 4 * 4 * (4 + 4 + 1) + 20
    )
    pytest.importorskip("torch")  # PyTorch has a second bias per layer
    assert sum(p.numel() for p in epoch_torch.build_model(config).parameters()) == count + 2 * 4 * 4


# === Real workers ===


@pytest.mark.long
def test_command_measures_with_real_workers(tmp_path):
    command = [
        sys.executable,
        "-m",
        "deeprnn_keras.cli",
        "bench",
        "kernels",
        "--quick",
        "--output",
        str(tmp_path / "new"),
    ]
    command += ["--sizes", "1x4x2x3", "--impl", "keras", "--impl", "DeepRNN", "--rounds", "2", "--seconds", "0.01"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    results = load_results(tmp_path / "new")
    assert "cores" in results["about"]["device"] and results["about"]["versions"]["keras"]
    for key in ("lstm 1x4x2x3 train", "lstm 1x4x2x3 infer"):
        figures = results["cases"][key]
        assert figures.keys() == {"keras", "DeepRNN", "products"} and "DeepRNN" in process.stdout
        assert all(len(values["rounds_ms"]) == 2 and min(values["steps"]) >= 3 for values in figures.values())
        assert all(values["first_call_s"] > 0 for values in figures.values())


def test_real_worker_measures_memory():
    case = {"num_layers": 1, "units": 64, "batch_size": 8, "steps": 100, "cell": "lstm", "mode": "train"}
    pytest.importorskip("torch")
    with WorkerProcess("torch") as process:
        assert 0 < process.request("memory", case=case, seed=0)["growth_mb"] < 2000
